"""Searches every state that a world can come to, the nearest first."""

import time
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar


class HasLog(Hashable, Protocol):
    """A state: it can be compared, and has a log."""

    @property
    def log(self) -> Hashable:
        """What was written, of which the states of one search have many."""
        ...


S = TypeVar("S", bound=HasLog)


class Searchable(Protocol[S]):
    """A world: its first state, what may follow on a state, and what is wrong with it."""

    def begin(self) -> S: ...
    def steps(self, state: S, /) -> Iterator[tuple[str, S]]: ...
    def violation(self, state: S, /) -> str | None: ...


@dataclass(frozen=True)
class Explored:
    """What a search found."""

    states: int
    steps: int
    depth: int
    """The most steps from the first state to one that was explored."""
    logs: int
    seconds: float
    complete: bool
    """Every state within the bounds was explored."""
    violation: str | None
    trace: tuple[str, ...]
    """The shortest way to the violation."""


def explore(world: Searchable[S], *, seconds: float = 600.0, states: int = 50_000_000) -> Explored:
    """Breadth first, to a violation, to the end, or for so long.

    Of a state that was seen, only the hash is kept (64 bits) and the state that it came from.
    """
    began = time.process_time()
    first = world.begin()
    came_from: dict[int, int] = {hash(first): 0}
    logs = {hash(first.log)}
    frontier, depth, steps = deque([(first, 0)]), 0, 0
    complete = True
    found: tuple[str, S] | None = None
    while frontier and found is None:
        state, depth = frontier.popleft()
        origin = hash(state)
        for _, after in world.steps(state):
            steps += 1
            seen = hash(after)
            if seen in came_from:
                continue
            came_from[seen] = origin
            logs.add(hash(after.log))
            wrong = world.violation(after)
            if wrong is not None:
                found = wrong, after
                break
            frontier.append((after, depth + 1))
        if len(came_from) > states or time.process_time() - began > seconds:
            complete = not frontier
            break
    trace = _trace(world, came_from, hash(found[1])) if found else ()
    return Explored(
        states=len(came_from),
        steps=steps,
        depth=depth,
        logs=len(logs),
        seconds=time.process_time() - began,
        complete=complete and found is None,
        violation=found[0] if found else None,
        trace=trace,
    )


def _trace(world: Searchable[S], came_from: dict[int, int], last: int) -> tuple[str, ...]:
    path = [last]
    while came_from[path[-1]]:
        path.append(came_from[path[-1]])
    state, told = world.begin(), list[str]()
    for seen in reversed(path[:-1]):
        what, state = next(step for step in world.steps(state) if hash(step[1]) == seen)
        told.append(what)
    return tuple(told)
