"""Two partitions whose sessions share a producer: what breaks one may end the other.

Each partition is a world of its own. The writer of this number on one and on the other is one
process, with one producer, whose error ends all that was under way on it, unreported.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tests.model.bounds import Bounds
from tests.model.ingredients import Ingredient
from tests.model.log import Log
from tests.model.world import State, World, under_way, with_writer


class Pair(NamedTuple):
    """The states of both partitions."""

    first: State
    second: State

    @property
    def log(self) -> tuple[Log, Log]:
        """Both logs."""
        return self.first.log, self.second.log


PairStep: TypeAlias = tuple[str, Pair]


class SharedWorld:
    """All that may happen on either partition, and an error of what they share."""

    def __init__(self, bounds: Bounds, without: frozenset[Ingredient] = frozenset()) -> None:
        self.world = World(bounds, without)
        self._ends_all = Ingredient.ERROR_ENDS_ALL not in without

    def begin(self) -> Pair:
        """Nothing was written to either."""
        return Pair(self.world.begin(), self.world.begin())

    def violation(self, pair: Pair) -> str | None:
        """What is wrong on either, if anything."""
        return self.world.violation(pair.first) or self.world.violation(pair.second)

    def steps(self, pair: Pair) -> Iterator[PairStep]:
        """All that may happen next."""
        for what, after in self.world.steps(pair.first):
            yield f"first partition: {what}", pair._replace(first=after)
        for what, after in self.world.steps(pair.second):
            yield f"second partition: {what}", pair._replace(second=after)
        both = {each.id for each in pair.first.writers} & {each.id for each in pair.second.writers}
        for process in sorted(both):
            first, second = self._fails(pair.first, process), self._fails(pair.second, process)
            what = f"the producer of process {process} fails"
            if self._ends_all:
                yield what, Pair(first, second)
            else:
                yield f"{what} on the first", Pair(first, self._goes_on(pair.second, process))
                yield f"{what} on the second", Pair(self._goes_on(pair.first, process), second)

    def _fails(self, state: State, process: int) -> State:
        """Its session is over; what it has sent lands late, or never."""
        writer = next(each for each in state.writers if each.id == process)
        return self.world.dropped(state, writer, "")[1]

    def _goes_on(self, state: State, process: int) -> State:
        """Its session is not; nobody hears what becomes of what it has sent."""
        writer = next(each for each in state.writers if each.id == process)
        after = with_writer(state, writer._replace(channel=(), reports=()))
        return under_way(after, writer.channel)
