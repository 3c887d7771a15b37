"""Checkpoints: heads and append ids of a log prefix, in PostgreSQL, fenced by the claim's epoch.

A checkpoint is a function of a prefix of the log, never of what a writer believes: whoever reads
the same prefix writes the same rows. Its row says where the prefix ends (`LogPosition`); the rows
of ``heads`` and ``appends`` say what stands in it, and perhaps a little of what follows.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, NamedTuple, TypeAlias, TypeVar

from psycopg import Connection, DataError
from psycopg.rows import TupleRow

from eventstore.defaults import APPEND_IDS_KEPT_DAYS
from eventstore.errors import TopicRecreated
from eventstore.log import LOG_START, LogPosition

K = TypeVar("K")
R = TypeVar("R")

ROWS_AT_ONCE: Final = 20_000
"""Rows in one statement, at most: PostgreSQL takes no message above 1 GB, and ends a transaction
in which it hears nothing for too long while they are prepared."""
FORGOTTEN_AT_ONCE: Final = 10_000
"""Append ids deleted in one transaction, at most: they are in memory and locked meanwhile."""

TipRow: TypeAlias = tuple[int, bytes, int, int]
"""A `Tip` as a plain tuple, which the garbage collector need not look at again."""
AppliedRow: TypeAlias = tuple[str, int, int, int, tuple[int, ...] | None]
"""An `Applied` as a plain tuple."""


class Tip(NamedTuple):
    """A stream's head as a writer keeps it."""

    version: int
    append: bytes
    first_offset: int
    """Offset of the stream's first event; -1: not known here, the database knows it."""
    last_offset: int

    def row(self) -> TipRow:
        """As it is kept."""
        return (self.version, self.append, self.first_offset, self.last_offset)


class Applied(NamedTuple):
    """What an append id led to: enough to give its first answer again."""

    stream: str
    version: int
    events: int
    last_offset: int
    offsets: tuple[int, ...] | None = None
    """Where its events stand, if not side by side: a dead record may have come in between."""

    def row(self) -> AppliedRow:
        """As it is kept."""
        return (self.stream, self.version, self.events, self.last_offset, self.offsets)


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """One partition of one topic, as it was when the topic was made."""

    topic: str
    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one checkpoint stores."""

    key: PartitionKey
    epoch: int
    """The epoch of the writer that stores it."""
    expected: int
    """The offset of the checkpoint that it follows."""
    position: LogPosition
    """Where the prefix ends."""
    heads: Mapping[str, TipRow]
    appends: Mapping[bytes, AppliedRow]

    def may_follow(self, found: LogPosition) -> bool:
        """Whether it may be stored where the row stands, though not where it was expected.

        So after a commit whose outcome never came, and after the last checkpoint of an earlier
        session: each is of a prefix of this one's.
        """
        between = self.expected <= found.next_offset <= self.position.next_offset
        return between and found.epoch <= self.epoch


class LookUp(NamedTuple):
    """What is asked about one append: its stream's head, and its id."""

    topic: str
    partition: int
    stream: str
    append: bytes


class Found(NamedTuple):
    """The answer to a `LookUp`, with the checkpoint that it stood under."""

    next_offset: int
    epoch: int
    tip: Tip | None
    applied: Applied | None


_READ: Final = """
SELECT topic_id, next_offset, epoch, writer, next_sequence
FROM foldlog.checkpoints WHERE topic = %s AND partition = %s"""

_CREATE: Final = """
INSERT INTO foldlog.checkpoints
    (topic, partition, topic_id, next_offset, epoch, writer, next_sequence)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""

_MOVE: Final = """
UPDATE foldlog.checkpoints
SET next_offset = %s, epoch = %s, writer = %s, next_sequence = %s
WHERE topic = %s AND partition = %s AND topic_id = %s AND epoch <= %s AND next_offset = %s"""

# Columns travel as arrays in PostgreSQL's own notation, joined here: with lists of Python objects a
# checkpoint took this process two and a half times as long, and nothing else of it ran meanwhile.
_HEADS: Final = """
INSERT INTO foldlog.heads
    (topic, partition, stream, version, append_id, first_offset, last_offset)
SELECT %s, %s, stream, version, append_id, first_offset, last_offset
FROM unnest(%s::text[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[])
     AS q (stream, version, append_id, first_offset, last_offset)
ON CONFLICT (topic, partition, stream) DO UPDATE SET
    version = excluded.version,
    append_id = excluded.append_id,
    last_offset = excluded.last_offset"""

_APPENDS: Final = """
INSERT INTO foldlog.appends
    (topic, partition, append_id, stream, version, count, last_offset, offsets)
SELECT %s, %s, append_id, stream, version, count, last_offset, offsets::bigint[]
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::int[], %s::bigint[], %s::text[])
     AS q (append_id, stream, version, count, last_offset, offsets)
ON CONFLICT (topic, partition, append_id) DO NOTHING"""

# Append ids come back as bytes: as UUID objects they were most of the cost of a look-up.
_LOOK_UP: Final = """
SELECT c.next_offset, c.epoch, h.version, uuid_send(h.append_id), h.first_offset, h.last_offset,
       a.stream, a.version, a.count, a.last_offset, a.offsets
FROM unnest(%s::text[], %s::int[], %s::text[], %s::uuid[])
     WITH ORDINALITY AS q (topic, partition, stream, append_id, n)
JOIN foldlog.checkpoints c ON (c.topic, c.partition) = (q.topic, q.partition)
LEFT JOIN foldlog.heads h
     ON (h.topic, h.partition, h.stream) = (q.topic, q.partition, q.stream)
LEFT JOIN foldlog.appends a
     ON (a.topic, a.partition) = (q.topic, q.partition)
     AND a.append_id = q.append_id
ORDER BY q.n"""

# One statement, so that heads and position are of one moment.
_FEW_HEADS: Final = """
SELECT h.stream, h.version, uuid_send(h.append_id), h.first_offset, h.last_offset
FROM foldlog.checkpoints c JOIN foldlog.heads h USING (topic, partition)
WHERE c.topic = %(topic)s AND c.partition = %(partition)s
  AND c.next_offset = %(next_offset)s AND c.epoch = %(epoch)s
  AND %(most)s >= (SELECT count(*) FROM (
      SELECT FROM foldlog.heads WHERE topic = %(topic)s AND partition = %(partition)s
      LIMIT %(most)s + 1) AS counted)
ORDER BY h.last_offset"""

# A few rows, and those of which nobody else is taking care.
_FORGET: Final = """
DELETE FROM foldlog.appends WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM foldlog.appends WHERE at < now() - make_interval(days => %s)
    ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED))"""


def read(connection: Connection[TupleRow], key: PartitionKey, *, locked: bool) -> LogPosition:
    """Where the partition's checkpoint stands; `LOG_START` where there is none yet.

    ``locked`` takes the row's lock until the transaction ends, so that a commit of unknown
    outcome is over, one way or the other, before the row is read.

    Raises:
        TopicRecreated: The checkpoint is of another topic of this name.
    """
    query = _READ + (" FOR UPDATE" if locked else "")
    row = connection.execute(query, (key.topic, key.partition)).fetchone()
    if row is None:
        return LOG_START
    topic_id, next_offset, epoch, writer, next_sequence = row
    if topic_id != key.topic_id:
        raise TopicRecreated(key.topic, topic_id, key.topic_id)
    return LogPosition(next_offset, epoch, bytes(writer), next_sequence)


def create(connection: Connection[TupleRow], key: PartitionKey) -> None:
    """Make the row of a partition that has none, at the log's start."""
    connection.execute(_CREATE, (key.topic, key.partition, key.topic_id, *LOG_START))


def write(connection: Connection[TupleRow], checkpoint: Checkpoint) -> bool:
    """Store a checkpoint that follows the one it expects; False: that is not there."""
    key, position = checkpoint.key, checkpoint.position
    moved = connection.execute(
        _MOVE,
        (
            position.next_offset,
            position.epoch,
            position.writer,
            position.next_sequence,
            key.topic,
            key.partition,
            key.topic_id,
            checkpoint.epoch,
            checkpoint.expected,
        ),
    )
    if moved.rowcount != 1:
        return False
    where = (key.topic, key.partition)
    for heads in _parts(checkpoint.heads):
        connection.execute(_HEADS, (*where, *_head_columns(heads)))
    for appends in _parts(checkpoint.appends):
        connection.execute(_APPENDS, (*where, *_append_columns(appends)))
    return True


def store(connection: Connection[TupleRow], checkpoint: Checkpoint) -> bool:
    """Store a checkpoint where it was expected to follow, or where the row, read locked, stands.

    In the current transaction. False: it was fenced, and nothing was written.

    Raises:
        TopicRecreated: The row is of another topic of this name.
    """
    if write(connection, checkpoint):
        return True
    found = read(connection, checkpoint.key, locked=True)
    if not checkpoint.may_follow(found):
        return False
    return write(connection, replace(checkpoint, expected=found.next_offset))


def look_up(connection: Connection[TupleRow], wanted: Sequence[LookUp]) -> list[Found | None]:
    """Heads and append ids, with the checkpoints they stand under, in one statement.

    None: the partition has no checkpoint row.
    """
    rows = _found(connection, wanted)
    if len(rows) == len(wanted):
        return list(rows)
    # Some partition has no row: rare, so one by one.
    return [found[0] if (found := _found(connection, [ask])) else None for ask in wanted]


def few_heads(
    connection: Connection[TupleRow], key: PartitionKey, position: LogPosition, *, most: int
) -> dict[str, TipRow] | None:
    """All heads beneath the checkpoint at ``position``, from the oldest to the newest.

    None: there are more than ``most``, or the checkpoint is not there any more.
    """
    where = {
        "topic": key.topic,
        "partition": key.partition,
        "next_offset": position.next_offset,
        "epoch": position.epoch,
        "most": most,
    }
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_FEW_HEADS, where).fetchall()
    return {stream: (*tip,) for stream, *tip in rows} or None


def forget_old_appends(connection: Connection[TupleRow]) -> bool:
    """Delete some append ids older than the stated period; whether there may be more."""
    deleted = connection.execute(_FORGET, (APPEND_IDS_KEPT_DAYS, FORGOTTEN_AT_ONCE))
    return deleted.rowcount == FORGOTTEN_AT_ONCE


def _found(connection: Connection[TupleRow], wanted: Sequence[LookUp]) -> list[Found]:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_LOOK_UP, _asked_columns(wanted), prepare=True).fetchall()
    return [
        Found(
            next_offset,
            epoch,
            None if rest[0] is None else Tip(*rest[:4]),
            None if rest[4] is None else Applied._make((*rest[4:8], rest[8] and tuple(rest[8]))),
        )
        for next_offset, epoch, *rest in rows
    ]


def _parts(rows: Mapping[K, R]) -> Iterator[dict[K, R]]:
    """The rows, so many at a time as one statement takes."""
    left = iter(rows.items())
    while part := dict(islice(left, ROWS_AT_ONCE)):
        yield part


def _head_columns(rows: Mapping[str, TipRow]) -> list[str]:
    versions, appends, first_offsets, last_offsets = zip(*rows.values(), strict=True)
    return [
        _texts(rows),
        _numbers(versions),
        _uuids(appends),
        _numbers(first_offsets),
        _numbers(last_offsets),
    ]


def _append_columns(rows: Mapping[bytes, AppliedRow]) -> list[str]:
    """Offsets as text, since arrays within an array must be of one length."""
    streams, versions, counts, last_offsets, offsets = zip(*rows.values(), strict=True)
    return [
        _uuids(rows),
        _texts(streams),
        _numbers(versions),
        _numbers(counts),
        _numbers(last_offsets),
        _array(",".join("NULL" if each is None else f'"{_numbers(each)}"' for each in offsets)),
    ]


def _asked_columns(wanted: Sequence[LookUp]) -> list[str]:
    topics, partitions, streams, appends = zip(*wanted, strict=True)
    return [_texts(topics), _numbers(partitions), _texts(streams), _uuids(appends)]


def _texts(values: Collection[str]) -> str:
    """Quoted all at once: U+0000, which PostgreSQL refuses, stands between them meanwhile."""
    joined = "\0".join(values)
    if joined.count("\0") >= len(values):
        raise DataError("expected text that PostgreSQL takes; found U+0000 in it: leave it out")
    quoted = joined.replace("\\", r"\\").replace('"', r"\"").replace("\0", '","')
    return _array(f'"{quoted}"')


def _numbers(values: Iterable[int]) -> str:
    return _array(str([*values])[1:-1])


def _uuids(values: Iterable[bytes]) -> str:
    return _array(b"".join(values).hex(",", 16))


def _array(elements: str) -> str:
    """An array as PostgreSQL reads it: its manual, 8.15.6, "Array Input and Output Syntax"."""
    return f"{{{elements}}}"
