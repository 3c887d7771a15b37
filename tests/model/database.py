"""What is remembered of a log: in the database of the model, on the way to it, by a writer."""

from typing import NamedTuple, TypeAlias

from eventstore.log import LOG_START, LogPosition
from tests.model.log import Applied, Head

Heads: TypeAlias = tuple[Head | None, ...]
"""The head of each stream."""


class Database(NamedTuple):
    """What PostgreSQL holds of the partition."""

    position: LogPosition
    heads: Heads
    applied: tuple[Applied | None, ...]


class Stored(NamedTuple):
    """A checkpoint on its way: what a writer wants stored."""

    writer: int
    epoch: int
    expected: int
    """The offset of the checkpoint that it follows."""
    position: LogPosition
    heads: Heads
    applied: tuple[Applied | None, ...]


class Found(NamedTuple):
    """What a look-up found: the checkpoint's row, a stream's head and an append id."""

    command: int
    next_offset: int
    epoch: int
    head: Head | None
    applied: Applied | None


class Memory(NamedTuple):
    """Heads and append ids that a writer remembers, over a checkpoint."""

    checkpoint: int
    heads: Heads
    applied: tuple[Applied | None, ...]
    heads_whole: bool
    """No head stands in the database alone."""
    applied_whole: bool


def empty(streams: int, commands: int) -> Database:
    """A database without a row."""
    return Database(LOG_START, (None,) * streams, (None,) * commands)


def store(database: Database, stored: Stored) -> Database:
    """The database after a checkpoint that was not fenced."""
    return Database(
        stored.position,
        _merged(stored.heads, database.heads),
        _merged(database.applied, stored.applied),
    )


def _merged(
    newer: tuple[Head | None, ...], older: tuple[Head | None, ...]
) -> tuple[Head | None, ...]:
    """Each of ``newer``, and of ``older`` where there is none."""
    return tuple([new or old for new, old in zip(newer, older, strict=True)])
