"""Mutants of the code: each takes one ingredient of the protocol away, in a worker that is told so.

A campaign with any of them must fail the checker, or the checker is of no use.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eventstore.errors import ConcurrencyError
from eventstore.kafka.claiming import Claiming
from eventstore.kafka.heads import Heads
from eventstore.kafka.partition import Partition, Phase
from eventstore.kafka.session import Session

VARIABLE: Final = "FOLDLOG_SABOTAGE"

# Methods are replaced by others, which no checker of types likes.
claiming: Any = Claiming
heads: Any = Heads
partition: Any = Partition
session: Any = Session


def contiguity() -> None:
    """A record counts as acknowledged wherever it stands."""
    acknowledge = session.acknowledge

    def anywhere(self: Any, offsets: Sequence[int | None]) -> None:
        first = self.offset_of(self.acknowledged + 1)
        acknowledge(self, range(first, first + len(offsets)))

    session.acknowledge = anywhere


def reading_up_to_the_claim() -> None:
    """A claim is served as soon as it is acknowledged, with the heads from before it."""

    def at_once(self: Any, one: Any, restored: Any, claim: Any) -> None:
        one.phase = Phase.CONFIRMING
        self._confirmed(one, restored, claim)

    claiming._confirm = at_once


def acknowledgement() -> None:
    """An append is answered when it was handed to the client."""
    send = partition._send

    def answered(self: Any, request: Any, version: int, previous: int) -> None:
        send(self, request, version, previous)
        if request.id in self._by_id:
            tail = self._tails[request.append.stream]
            request.answer(tail.version, tail.last_offset)

    partition._send = answered


def new_epoch_after_doubt() -> None:
    """After doubt, what is in flight is sent again in the same epoch, at the shifted offsets."""
    doubted = partition.doubted

    def again(self: Any, reason: str) -> None:
        shifted = re.search(r"at offset (\d+), not at (\d+)", reason)
        if shifted is None:
            doubted(self, reason)
            return
        old = self.session
        self.session = new = Session(
            epoch=old.epoch,
            writer=old.writer,
            claim_offset=old.claim_offset + int(shifted[1]) - int(shifted[2]),
            completed=self.completed,
            doubted=self.doubted,
        )
        new.next_sequence = old.next_sequence
        new.acknowledged = new.committed = old.next_sequence - 1
        self._report = self._transport.reporter(new)
        self.waiting.extendleft(reversed([sent.request for sent in old.in_flight]))
        self._tails, self._by_id = {}, {}

    partition.doubted = again


def append_ids() -> None:
    """Nobody remembers which append ids were applied."""

    class Nothing(OrderedDict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            """Forget it."""

        def setdefault(self, key: Any, default: Any = None) -> Any:
            """Forget it."""
            return default

        def move_to_end(self, key: Any, last: bool = True) -> None:  # noqa: FBT001, FBT002
            """Nothing is there."""

    begin = heads.__init__

    def forgetful(self: Any, *given: Any) -> None:
        begin(self, *given)
        self.applied = Nothing()

    heads.__init__ = forgetful


def look_ups_of_append_ids() -> None:
    """An append id that is not in memory counts as new."""
    needs = partition.needs_look_up

    def never(self: Any, request: Any) -> bool:
        request.needs_id = False
        return bool(needs(self, request))

    partition.needs_look_up = never


def committed_heads() -> None:
    """A conflict with what is in flight is refused at once, and for good."""
    decide = partition._decide

    def hasty(self: Any, request: Any) -> None:
        append, tail = request.append, self._tails.get(request.append.stream)
        if request.expected is not None and tail is not None and request.expected < tail.version:
            found = tail.version
            request.refuse(
                ConcurrencyError(append.stream, append.append_id, request.expected, found)
            )
        else:
            decide(self, request)

    partition._decide = hasty


def answers_after_doubt() -> None:
    """After doubt, what was in flight is answered as if it had happened."""
    settle = partition.settle

    def settled(self: Any) -> None:
        old = self.session
        if old is not None:
            for sent in old.in_flight:
                sent.request.answer(sent.version, old.offset_of(sent.last_sequence))
            old.in_flight = deque()
        settle(self)

    partition.settle = settled


MUTANTS: Final[Mapping[str, Callable[[], None]]] = {
    each.__name__: each
    for each in (
        contiguity,
        reading_up_to_the_claim,
        acknowledgement,
        new_epoch_after_doubt,
        append_ids,
        look_ups_of_append_ids,
        committed_heads,
        answers_after_doubt,
    )
}
"""The ingredients, each with what takes it away."""


def install(name: str | None) -> None:
    """Take an ingredient away; None: nothing."""
    if name is not None:
        MUTANTS[name]()
