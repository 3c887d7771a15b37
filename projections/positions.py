"""Positions: how far each partition is applied, and who may move it.

A position is moved by comparing first, in the transaction that applies the events: the owner's
epoch and the offset must be what this projector left there. That is what makes a projection
exactly once; everything else is liveness. The owner's epoch is raised by each claim, so that a
former owner, woken late, moves nothing.
"""

import os
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from psycopg import Connection, sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import TupleRow

from eventstore.log import LogPosition
from projections import defaults
from projections.generations import Generation
from projections.log import Batch, TopicPartition

APPLICATION: Final = "foldlog "
"""How the `application_name` of a projector's connection begins; its owner's name follows."""

_READ: Final = (
    "SELECT topic, partition, next_offset, epoch, writer, next_sequence, owner_epoch, owner,"
    " extract(epoch FROM clock_timestamp() - owner_seen)::float8, last_offset, last_event"
    " FROM foldlog.positions WHERE projection = %s AND generation = %s"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """A position as PostgreSQL holds it."""

    topic: str
    partition: int
    position: LogPosition
    """The next offset, or that of the first record of the append being collected."""
    owner_epoch: int
    """Raised by each claim."""
    owner: str | None
    """Who moves it; None: nobody now."""
    seen: float | None
    """Seconds since the owner was seen."""
    last: tuple[int, str] | None
    """Offset and id of the last event applied or skipped."""

    @property
    def key(self) -> TopicPartition:
        """Topic and partition."""
        return (self.topic, self.partition)

    @property
    def is_owned(self) -> bool:
        """Whether its owner was seen within the time that an owner may be silent."""
        return (
            self.owner is not None
            and self.seen is not None
            and self.seen < defaults.OWNER_SEEN_SECONDS
        )


def new_owner() -> str:
    """A name for this projector that no other has: host, process and random digits."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{secrets.token_hex(4)}"


def read(
    db: Connection[TupleRow], generation: Generation, *, locked: bool = False
) -> dict[TopicPartition, Stored]:
    """All positions of a generation, in order; ``locked`` until the transaction ends."""
    query = _READ + " ORDER BY topic, partition" + (" FOR UPDATE" if locked else "")
    rows = db.execute(query.encode(), (generation.projection, generation.number))
    return {stored.key: stored for stored in map(_stored, rows)}


def read_locked(
    db: Connection[TupleRow], generation: Generation, partition: TopicPartition
) -> Stored:
    """One position, its row locked until the transaction ends: no commit on it is under way."""
    query = _READ + " AND topic = %s AND partition = %s FOR UPDATE"
    row = db.execute(query.encode(), (*_generation_key(generation), *partition)).fetchone()
    if row is None:
        raise LookupError(f"generation {generation.schema!r} was dropped, and its positions")
    return _stored(row)


def _generation_key(generation: Generation) -> tuple[str, int]:
    return (generation.projection, generation.number)


def _stored(row: TupleRow) -> Stored:
    topic, partition, offset, epoch, writer, sequence, owner_epoch, owner, seen, *last = row
    return Stored(
        topic,
        partition,
        LogPosition(offset, epoch, bytes(writer), sequence),
        owner_epoch,
        owner,
        seen,
        None if last[0] is None else (last[0], last[1]),
    )


def claim(
    db: Connection[TupleRow], generation: Generation, partition: TopicPartition, owner: str
) -> Stored:
    """Take a position: raise its owner's epoch, and return it as it is now.

    A former owner that hangs inside a transaction holds the row; after `LOCK_SECONDS` its
    session is ended, which rolls that transaction back. Commits.

    Raises:
        LockNotAvailable: The row is held by something that is not a projector.
    """
    for last_try in (False, True):
        try:
            return _claim(db, generation, partition, owner)
        except LockNotAvailable:
            db.rollback()
            if last_try or not _end_former_owner(db, generation, partition):
                raise
    raise AssertionError


def _claim(
    db: Connection[TupleRow], generation: Generation, partition: TopicPartition, owner: str
) -> Stored:
    milliseconds = int(defaults.LOCK_SECONDS * 1000)
    db.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(milliseconds)))
    stored = read_locked(db, generation, partition)
    db.execute(
        "UPDATE foldlog.positions SET owner_epoch = owner_epoch + 1, owner = %s,"
        " owner_seen = clock_timestamp()"
        " WHERE projection = %s AND generation = %s AND topic = %s AND partition = %s",
        (owner, *_generation_key(generation), *partition),
    )
    db.commit()
    return Stored(
        stored.topic,
        stored.partition,
        stored.position,
        stored.owner_epoch + 1,
        owner,
        0.0,
        stored.last,
    )


def _end_former_owner(
    db: Connection[TupleRow], generation: Generation, partition: TopicPartition
) -> bool:
    """End the session that holds the row, if it is the recorded owner's; whether it was."""
    ended = db.execute(
        "SELECT pg_terminate_backend(a.pid, 5000) FROM foldlog.positions p"
        " JOIN pg_stat_activity a ON a.application_name = %s || p.owner"
        " WHERE p.projection = %s AND p.generation = %s AND p.topic = %s AND p.partition = %s"
        " AND a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()",
        (APPLICATION, *_generation_key(generation), *partition),
    ).fetchall()
    db.commit()
    return bool(ended)


def move(
    db: Connection[TupleRow], generation: Generation, held: Stored, batch: Batch
) -> Stored | None:
    """Move a held position over a batch, by comparing first; None: it is not ours to move."""
    last = batch.last or held.last
    offset, event_id = last or (None, None)
    cursor = db.execute(
        "UPDATE foldlog.positions SET next_offset = %s, epoch = %s, writer = %s,"
        " next_sequence = %s, owner_seen = clock_timestamp(), last_offset = %s, last_event = %s"
        " WHERE projection = %s AND generation = %s AND topic = %s AND partition = %s"
        " AND owner_epoch = %s AND next_offset = %s",
        (
            *batch.position,
            offset,
            event_id,
            *_generation_key(generation),
            *held.key,
            held.owner_epoch,
            held.position.next_offset,
        ),
    )
    if cursor.rowcount != 1:
        return None
    return Stored(*held.key, batch.position, held.owner_epoch, held.owner, 0.0, last)


def seen(db: Connection[TupleRow], generation: Generation, owner: str) -> None:
    """Show that the owner lives. Rows are locked in order, as a switch does. Commits."""
    db.execute(
        "WITH mine AS (SELECT topic, partition FROM foldlog.positions"
        " WHERE projection = %s AND generation = %s AND owner = %s"
        " ORDER BY topic, partition FOR UPDATE)"
        " UPDATE foldlog.positions p SET owner_seen = clock_timestamp() FROM mine"
        " WHERE p.projection = %s AND p.generation = %s"
        " AND p.topic = mine.topic AND p.partition = mine.partition",
        (*_generation_key(generation), owner, *_generation_key(generation)),
    )
    db.commit()


def release(
    db: Connection[TupleRow],
    generation: Generation,
    owner: str,
    partitions: Iterable[TopicPartition],
) -> None:
    """Give positions up, so that another may take them at once. Commits."""
    for topic, partition in sorted(partitions):
        db.execute(
            "UPDATE foldlog.positions SET owner = NULL, owner_seen = NULL"
            " WHERE projection = %s AND generation = %s AND topic = %s AND partition = %s"
            " AND owner = %s",
            (*_generation_key(generation), topic, partition, owner),
        )
    db.commit()
