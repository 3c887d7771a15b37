"""The errors of the read side.

ProjectionError
├── InvalidProjection       a projection class or its table cannot be kept exactly once
├── InvalidRow              a fold gave a row that is not the row of its key
├── TransactionEnded        a projection's own code committed or rolled back
├── GenerationError         the tables in the database are not what this code feeds
│   ├── ProjectionChanged   the live generation was built by other code; rebuild it
│   ├── UnfinishedRebuild   a generation is still being built, or was left behind
│   └── ViewError           a view cannot be put where readers look
├── PositionError           a position is not what this projector may move
│   ├── ProjectorFenced     another projector claimed the partition
│   └── LogChanged          the log does not hold the event that was applied last
├── ProjectionStopped       events that could not be applied; their partitions stand before them
└── SwitchFailed            the views could not be switched; readers see the old generation
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LISTED: Final = 10


class ProjectionError(Exception):
    """Any error of the read side."""


class InvalidProjection(ProjectionError):
    """A projection or its table cannot be kept; raised when the class is defined."""

    def __init__(self, projection: str, found: str, advice: str) -> None:
        self.projection, self.found, self.advice = projection, found, advice
        super().__init__(f"the projection {projection!r} cannot be kept: {found}; {advice}")


class InvalidRow(ProjectionError):
    """`fold` or `key` gave something that cannot stand in the table; stops the partition."""

    def __init__(self, projection: str, key: object, found: str, advice: str) -> None:
        self.projection, self.key = projection, key
        super().__init__(f"{projection!r}, key {key!r}: found {found}; {advice}")


class TransactionEnded(ProjectionError):
    """`project` committed, rolled back or began a transaction that is the projector's."""

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(
            f"expected `project` to leave the transaction to the projector; found {found}: "
            "use db.begin_nested() for a savepoint, and remove everything that commits, "
            "begins or rolls back"
        )


class GenerationError(ProjectionError):
    """The tables in the database are not what this code feeds."""

    def __init__(self, projection: str, message: str) -> None:
        self.projection = projection
        super().__init__(message)


class ProjectionChanged(GenerationError):
    """The live generation was built by other code: other tables, topics or another version."""

    def __init__(self, projection: str, generation: int, found: str, advice: str) -> None:
        self.generation = generation
        super().__init__(
            projection,
            f"expected generation {generation} of {projection!r} to be of this code; "
            f"found {found}: {advice}",
        )


class UnfinishedRebuild(GenerationError):
    """A generation is still being built, by another process or one that died."""

    def __init__(self, projection: str, generation: int) -> None:
        self.generation = generation
        super().__init__(
            projection,
            f"expected no rebuild of {projection!r} under way; found generation {generation} "
            "being built: if no other process builds it, drop it and begin again with --discard",
        )


class ViewError(GenerationError):
    """A view cannot be put where readers look."""

    def __init__(self, projection: str, view: str, found: str, advice: str) -> None:
        self.view = view
        super().__init__(
            projection, f"the view {view} of {projection!r} cannot be made: {found}; {advice}"
        )


class PositionError(ProjectionError):
    """A position is not what this projector may move."""

    def __init__(self, projection: str, topic: str, partition: int, message: str) -> None:
        self.projection, self.topic, self.partition = projection, topic, partition
        super().__init__(f"{projection!r} at {topic}[{partition}]: {message}")


class ProjectorFenced(PositionError):
    """Another projector claimed the partition; nothing of this one's batch was kept."""

    def __init__(self, projection: str, topic: str, partition: int, owner: str | None) -> None:
        self.owner = owner
        super().__init__(
            projection,
            topic,
            partition,
            f"expected to own the partition; found it claimed by {owner or 'another process'}: "
            "run one projector of a projection per partition",
        )


class LogChanged(PositionError):
    """The log does not hold the event that was applied last: it is not the log we followed."""

    def __init__(
        self,
        projection: str,
        topic: str,
        partition: int,
        *,
        offset: int,
        expected: str,
        found: str | None,
    ) -> None:
        self.offset, self.expected, self.found = offset, expected, found
        super().__init__(
            projection,
            topic,
            partition,
            f"expected event {expected} at offset {offset}; found {found or 'none'}: the log was "
            "truncated, restored or made again; restore it, or rebuild the projection",
        )


@dataclass(frozen=True, slots=True)
class Stop:
    """One partition that stands before an append that could not be applied."""

    topic: str
    partition: int
    offset: int
    """The offset of the event that failed; -1: not known."""
    event_id: str
    """The id of the event that failed; empty: not known."""
    cause: Exception

    def __str__(self) -> str:
        event = f", event {self.event_id}" if self.event_id else ""
        cause = f"{type(self.cause).__name__}: {self.cause}".partition("\n")[0]
        return f"{self.topic}[{self.partition}]@{self.offset}{event}: {cause}"


class ProjectionStopped(ProjectionError):
    """Events could not be applied; their partitions stand before them, the others went on."""

    def __init__(self, projection: str, stops: Sequence[Stop]) -> None:
        self.projection, self.stops = projection, tuple(stops)
        listed = "".join(f"\n  {stop}" for stop in self.stops[:_LISTED])
        listed += f"\n  and {len(stops) - _LISTED} more" if len(stops) > _LISTED else ""
        super().__init__(
            f"expected every event to be applied to {projection!r}; found {len(stops)} that "
            f"could not be:{listed}\nmend the projection or its data and start again: "
            "nothing was skipped"
        )


class SwitchFailed(ProjectionError):
    """The views could not be switched; readers still see the old generation."""

    def __init__(self, projection: str, generation: int, found: str, advice: str) -> None:
        self.projection, self.generation = projection, generation
        super().__init__(
            f"expected to switch {projection!r} to generation {generation}; found {found}: {advice}"
        )
