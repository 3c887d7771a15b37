"""Reads partitions for the writer: heads and append ids, from a checkpoint to where it must be.

Only keys and headers are read; no event is decoded, and no user's code runs here.

A partition that is far ahead of its checkpoint (the database was dropped, or is a backup) is read
for its epoch alone before it is claimed. After that it is read again, and checkpoints are stored
on the way: so memory stays bounded, and who begins again goes on from the last of them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from psycopg import Connection, OperationalError
from psycopg.rows import TupleRow

from eventstore.defaults import CONNECT_SECONDS, HEADS_LOADED
from eventstore.errors import (
    CheckpointFenced,
    EventStoreError,
    OffsetGone,
    PartitionsChanged,
    StoreClosed,
    TopicMissing,
    TopicRecreated,
    UnreadablePartition,
)
from eventstore.kafka._admin import Admin
from eventstore.kafka._trouble import LOGGER, named
from eventstore.kafka.checkpointer import bound_waiting
from eventstore.kafka.header import Header, Kind
from eventstore.kafka.heads import Heads
from eventstore.kafka.messages import header_of
from eventstore.kafka.rule import ReaderRule
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.tails import Tails
from eventstore.log import LOG_START, LogPosition
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Checkpoint, Found, LookUp, PartitionKey, TipRow

T = TypeVar("T")

RECORDS: Final = 5_000
"""Records taken from the client at once."""
NEAR: Final = 2_000
"""Records short of its end that a partition is followed, and not read in bulk."""
FAR: Final = 200_000
"""Records above its checkpoint from which on a partition is read for its epoch alone, if that is
all that is wanted."""
STORED_AT_ONCE: Final = 50_000
"""Appends above the checkpoint after which, once the partition is claimed, the next is stored."""
STALLED_SECONDS: Final = 30.0
"""Seconds without a record, short of the offset aimed at, before a read is given up."""


@dataclass(slots=True)
class Restored:
    """A partition as read so far: the rule's state, and heads above a checkpoint."""

    rule: ReaderRule[tuple[int, bytes, Header]]
    heads: Heads
    begin: LogPosition
    """Where it was begun; the record before it is compared when it is read."""
    compared: bool
    noting: bool = True
    """Whether heads are noted; if not, it is read for its epoch alone."""
    store: "Callable[[Restored], None] | None" = None
    """Called after each append that is noted: it may store a checkpoint."""
    partitions: int | None = None
    """The topic's number of partitions by the first accepted claim that was read."""


class Restorer:
    """Reads partitions; used by one thread at a time, with a consumer and connection of its own."""

    def __init__(
        self,
        settings: KafkaSettings,
        postgres: str | None,
        *,
        far: int = FAR,
        at_once: int = STORED_AT_ONCE,
    ) -> None:
        self._settings = settings
        self._postgres = postgres
        self._far = far
        self._at_once = at_once
        self._admin = Admin(settings)
        self._consumer: Consumer | None = None
        self._asking: Consumer | None = None
        """Is asked for ends, and reads nothing: a question waits behind the fetches before it."""
        self._tails = Tails(settings)
        self._connection: Connection[TupleRow] | None = None
        self._stopped = False
        self.seen = 0.0
        """When something last moved here, by the monotonic clock."""

    def stop(self) -> None:
        """Let what runs end soon, with an error; called from another thread."""
        self._stopped = True

    def close(self) -> None:
        """Close the consumer and the connection; the next read opens others.

        Also after any failure: a client that has met an outage may go on to believe, long after,
        that a topic has no partitions.
        """
        consumers, self._consumer, self._asking = (self._consumer, self._asking), None, None
        connection, self._connection = self._connection, None
        self._tails.close()
        for consumer in consumers:
            if consumer is not None:
                consumer.close()
        if connection is not None:
            connection.close()

    def read_on(
        self, key: PartitionKey, restored: Restored | None, *, cached: int, asked: bool = True
    ) -> Restored:
        """Read the partition to its end as it is now, from its checkpoint or from ``restored``.

        ``cached`` bounds the heads, as `Heads.limit`; ``asked``: whether they are asked for.

        Raises:
            TopicRecreated: The checkpoint is of another topic of this name.
            OffsetGone: The checkpoint is not of this log: it was truncated.
            UnreadablePartition: The log does not give what stands between.
        """
        self.seen = time.monotonic()
        if restored is None or restored.heads.crowded:
            position = self._position(key)
            if restored is None or position.next_offset > restored.heads.checkpoint:
                restored = self._begin(key, position, cached)
        end = self._end(key)
        if self._postgres is not None and not asked and end - restored.rule.next_offset > self._far:
            restored.noting = False
        if restored.compared and 0 < end - restored.rule.next_offset <= NEAR:
            self._follow(key, restored, end)
        else:
            self._read(key, restored, end)
        return restored

    def confirm(
        self, key: PartitionKey, restored: Restored, claim: LogPosition, *, partitions: int
    ) -> Restored | None:
        """Read up to our claim, then the checkpoint's row; None: another writer was quicker.

        ``claim`` is where a reader stands right after our claim if it was accepted. Only then
        is the row read: a checkpoint that moved meanwhile is met, and one that went back (an
        older database) is started from again.

        Raises:
            CheckpointFenced: A checkpoint of a later epoch is stored, or one beyond our claim.
            TopicRecreated, PartitionsChanged: The topic is not the one that we knew, or that
                those before us claimed.
        """
        self.seen = time.monotonic()
        self._read(key, restored, claim.next_offset)
        if restored.rule.position != claim:
            return None
        self._check_topic(key, partitions)
        self._check_claims(key, restored, partitions)
        position = self._position(key, create=True)
        if position.epoch > claim.epoch or position.next_offset > claim.next_offset:
            mine, found = ((each.epoch, each.next_offset) for each in (claim, position))
            raise CheckpointFenced(key.topic, key.partition, mine, found)
        if self._must_replay(restored, position):
            cached = restored.heads.limit
            restored.heads = Heads()  # what it holds may be much
            restored = self._replay(key, position, claim, cached)
            self._check_claims(key, restored, partitions)
        else:
            restored.heads.checkpointed(position.next_offset)
        return restored

    def _must_replay(self, restored: Restored, position: LogPosition) -> bool:
        """Whether it is read again: it went back, was not noted, or is more than to be kept."""
        heads = restored.heads
        if self._postgres is None:
            return False
        return (
            not restored.noting
            or position.next_offset < heads.checkpoint
            or len(heads.fresh_applied) > self._at_once
        )

    def _replay(
        self, key: PartitionKey, begin: LogPosition, claim: LogPosition, cached: int
    ) -> Restored:
        """Read from the checkpoint up to our claim, and store checkpoints on the way."""
        restored = self._begin(key, begin, cached)

        def store(at: Restored) -> None:
            if len(at.heads.fresh_applied) < self._at_once:
                return
            tips, applied = at.heads.take_fresh()
            position = at.rule.position
            self._store(Checkpoint(key, claim.epoch, at.heads.checkpoint, position, tips, applied))
            at.heads.checkpointed(position.next_offset)
            told = (named(key), position.next_offset, claim.next_offset)
            LOGGER.info("%s: a checkpoint is stored up to offset %d of %d", *told)

        restored.store = store
        self._read(key, restored, claim.next_offset)
        restored.store = None
        return restored

    def _store(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint on the way to our claim.

        Raises:
            UnreadablePartition: It was moved meanwhile: the partition must be read once more.
        """

        def stored(connection: Connection[TupleRow]) -> bool:
            bound_waiting(connection)
            return checkpoints.store(connection, checkpoint)

        if not self._ask(stored):
            key = checkpoint.key
            why = "its checkpoint in PostgreSQL was moved by another process; it is read again"
            raise UnreadablePartition(key.topic, key.partition, why)

    def look_up(
        self, key: PartitionKey, restored: Restored, wanted: Sequence[LookUp]
    ) -> dict[LookUp, Found | None]:
        """Heads and append ids that are not in memory.

        Raises:
            UnreadablePartition: The database went back behind what was read from it.
        """
        if not wanted or self._postgres is None:
            return {}
        rows = self._ask(lambda connection: checkpoints.look_up(connection, wanted))
        for row in rows:
            if row is None or row.next_offset < restored.heads.checkpoint:
                why = "its checkpoint in PostgreSQL went back; try again"
                raise UnreadablePartition(key.topic, key.partition, why)
        return dict(zip(wanted, rows, strict=True))

    def _begin(self, key: PartitionKey, position: LogPosition, cached: int) -> Restored:
        heads = Heads(position.next_offset, cached)
        if position.next_offset:
            few = self._few_heads(key, position, most=min(cached, HEADS_LOADED))
            if few is not None:
                heads.load(few)
        return Restored(ReaderRule(position), heads, position, not position.next_offset)

    def _check_topic(self, key: PartitionKey, partitions: int) -> None:
        described = self._admin.describe_known(key.topic)
        if described is None:
            raise TopicMissing(key.topic, key.topic_id)
        if described.topic_id != key.topic_id:
            raise TopicRecreated(key.topic, key.topic_id, described.topic_id)
        if described.partitions != partitions:
            raise PartitionsChanged(key.topic, partitions, described.partitions)

    def _check_claims(self, key: PartitionKey, restored: Restored, partitions: int) -> None:
        if restored.partitions is not None and restored.partitions != partitions:
            raise PartitionsChanged(key.topic, restored.partitions, partitions)

    def _position(self, key: PartitionKey, *, create: bool = False) -> LogPosition:
        if self._postgres is None:
            return LOG_START

        def read(connection: Connection[TupleRow]) -> LogPosition:
            if create:
                bound_waiting(connection)
                checkpoints.create(connection, key)
            return checkpoints.read(connection, key, locked=create)

        return self._ask(read)

    def _few_heads(
        self, key: PartitionKey, position: LogPosition, *, most: int
    ) -> dict[str, TipRow] | None:
        return self._ask(
            lambda connection: checkpoints.few_heads(connection, key, position, most=most)
        )

    def _ask(self, question: Callable[[Connection[TupleRow]], T]) -> T:
        """Ask PostgreSQL in a transaction; once more where the connection was cut meanwhile.

        A commit whose outcome that leaves open is met by asking again: all that is asked here
        may be asked twice.
        """
        idle = self._connection
        try:
            return self._answer(question)
        except OperationalError:
            if idle is None or not idle.closed:
                raise
            return self._answer(question)

    def _answer(self, question: Callable[[Connection[TupleRow]], T]) -> T:
        if self._postgres is None:
            raise EventStoreError("expected PostgreSQL; found a writer that was given none")
        if self._connection is None or self._connection.closed:
            self._connection = address.connect(self._postgres)
        with self._connection.transaction():
            return question(self._connection)

    def _opened(self) -> Consumer:
        if self._consumer is None:
            self._consumer = self._settings.consumer("tail")
        return self._consumer

    def _read(self, key: PartitionKey, restored: Restored, end: int) -> None:
        at = restored.rule.next_offset
        if at > end:
            raise OffsetGone(key.topic, key.partition, at, f"its end at {end}")
        before = bool(at) and not restored.compared
        if at == end and not before:
            return
        consumer = self._opened()
        consumer.assign([TopicPartition(key.topic, key.partition, at - before)])
        try:
            self._consume(consumer, key, restored, end)
        finally:
            consumer.unassign()

    def _end(self, key: PartitionKey) -> int:
        if self._asking is None:
            self._asking = self._settings.consumer("single")
        where = TopicPartition(key.topic, key.partition)
        return self._asking.get_watermark_offsets(where, timeout=CONNECT_SECONDS, cached=False)[1]

    def _follow(self, key: PartitionKey, restored: Restored, end: int) -> None:
        """Read what is new in a partition that is nearly read: it is followed from then on."""
        self.seen = time.monotonic()
        while restored.rule.next_offset < end:
            at = restored.rule.next_offset
            for message in self._tails.read(key.topic, key.partition, at, end, seconds=0.1):
                _take(message, key, restored, end)
            self._check_progress(key, end, moved=restored.rule.next_offset > at)

    def _check_progress(self, key: PartitionKey, end: int, *, moved: bool) -> None:
        if self._stopped:
            raise StoreClosed("expected an open store; found it closed: open it again")
        if moved:
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > STALLED_SECONDS:
            why = f"no record for {STALLED_SECONDS:g} s, short of offset {end}"
            raise UnreadablePartition(key.topic, key.partition, why)

    def _consume(self, consumer: Consumer, key: PartitionKey, restored: Restored, end: int) -> None:
        self.seen = time.monotonic()
        while restored.rule.next_offset < end or not restored.compared:
            first = consumer.poll(0.1)
            self._check_progress(key, end, moved=first is not None)
            if first is not None:
                for message in (first, *consumer.consume(RECORDS, 0)):
                    _take(message, key, restored, end)


def _take(message: Message, key: PartitionKey, restored: Restored, end: int) -> None:
    rule, offset = restored.rule, message.offset()
    error = message.error()
    if error is not None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            rule.skip_to(min(end, offset or 0))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            raise OffsetGone(key.topic, key.partition, rule.next_offset, error.str())
        elif not error.retriable():
            raise KafkaException(error)
        return
    if offset is None or offset >= end:
        return
    header = header_of(message)
    if offset < rule.next_offset:
        _compare(offset, header, key, restored)
        return
    if header is None:
        rule.foreign(offset)
    elif append := rule.read(offset, header, (offset, message.key() or b"", header)):
        _note_append(append, restored)
    elif header.kind == Kind.CLAIM and restored.partitions is None:
        _note_claim(header, restored)


def _note_append(append: Sequence[tuple[int, bytes, Header]], restored: Restored) -> None:
    """Between two appends, and right after a live event, is where a checkpoint may stand."""
    if restored.noting:
        restored.heads.note_append(append)
    if restored.store is not None:
        restored.store(restored)


def _note_claim(header: Header, restored: Restored) -> None:
    accepted = restored.rule.position
    if (header.epoch, header.writer) == (accepted.epoch, accepted.writer):
        restored.partitions = header.count


def _compare(offset: int, header: Header | None, key: PartitionKey, restored: Restored) -> None:
    """A checkpoint ends with a record of its writer: another there means another log."""
    begin = restored.begin
    if offset != begin.next_offset - 1:
        return
    expected = (begin.epoch, begin.writer, begin.next_sequence - 1)
    if header is None or (header.epoch, header.writer, header.sequence) != expected:
        found = "another record there than when the checkpoint was stored"
        raise OffsetGone(key.topic, key.partition, offset, found)
    restored.compared = True
