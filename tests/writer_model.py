"""A writer's parts on a log and a database in memory, stepped by hand, faults included.

What decides is the real code: `Partition`, `Session`, `Heads`, `Transport`, `Restorer` and the
reader's rule. In memory are only the broker (a list), the client's queue, and the two tables.
"""

import copy
import enum
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from eventstore.errors import CheckpointFenced, EventStoreError
from eventstore.events import Event
from eventstore.kafka.checkpointer import Stored
from eventstore.kafka.header import HEADER, Header, unpack
from eventstore.kafka.messages import EncodedEvent, Encoder
from eventstore.kafka.partition import Partition, Phase
from eventstore.kafka.requests import AppendRequest, Question
from eventstore.kafka.restorer import FAR, STORED_AT_ONCE, Restored, Restorer
from eventstore.kafka.rule import ReaderRule
from eventstore.kafka.session import Session
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.transport import Transport
from eventstore.log import LOG_START, LogPosition
from eventstore.postgres.checkpoints import (
    Applied,
    Checkpoint,
    Found,
    LookUp,
    PartitionKey,
    Tip,
    TipRow,
)
from eventstore.store import Append

KEY = PartitionKey("accounts", "topic-id", 0)
SETTINGS = KafkaSettings("memory:1")


class Fate(enum.Enum):
    """What becomes of a record whose delivery is reported as failed."""

    LANDS = "it is in the log all the same"
    LOST = "it never is"
    LATER = "it is still under way, and lands when others have written"


class Read(NamedTuple):
    """A record as a consumer gives it."""

    at: int
    stream: bytes
    raw: bytes | None

    def offset(self) -> int:
        return self.at

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return self.stream

    def headers(self) -> list[tuple[str, bytes]] | None:
        return None if self.raw is None else [(HEADER, self.raw)]


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.records: list[Read] = []
        self.under_way: list[tuple[bytes, bytes]] = []

    def add(self, stream: bytes, raw: bytes | None) -> Read:
        record = Read(len(self.records), stream, raw)
        self.records.append(record)
        return record

    def land(self, number: int) -> None:
        """A record under way comes to stand in the log."""
        if self.under_way:
            self.add(*self.under_way.pop(number % len(self.under_way)))

    def appends(self) -> Iterator[list[tuple[int, str, Header]]]:
        """The appends that are valid, by the reader's rule."""
        rule: ReaderRule[tuple[int, str, Header]] = ReaderRule()
        for offset, stream, raw in self.records:
            if raw is None:
                rule.foreign(offset)
                continue
            header = unpack(raw)
            if append := rule.read(offset, header, (offset, stream.decode(), header)):
                yield list(append)


class Database:
    """The rows of one partition, as `eventstore.postgres.checkpoints` keeps them."""

    def __init__(self) -> None:
        self.position = LOG_START
        self.heads: dict[str, Tip] = {}
        self.appends: dict[bytes, Applied] = {}

    def store(self, checkpoint: Checkpoint) -> Stored:
        row = self.position
        expected = row.epoch <= checkpoint.epoch and row.next_offset == checkpoint.expected
        if not expected and not checkpoint.may_follow(row):
            return Stored.FENCED
        self.position = checkpoint.position
        for stream, tip in checkpoint.heads.items():
            before = self.heads.get(stream, Tip(*tip))
            self.heads[stream] = Tip(*tip)._replace(first_offset=before.first_offset)
        for append, applied in checkpoint.appends.items():
            self.appends.setdefault(append, Applied(*applied))
        return Stored.COMMITTED

    def copy(self) -> "Database":
        """A backup."""
        return copy.deepcopy(self)

    def put_back(self, backup: "Database") -> None:
        """Restore a backup in place."""
        self.__dict__.update(copy.deepcopy(backup).__dict__)

    def look_up(self, wanted: Sequence[LookUp]) -> dict[LookUp, Found | None]:
        offset, epoch = self.position[:2]
        return {
            ask: Found(offset, epoch, self.heads.get(ask.stream), self.appends.get(ask.append))
            for ask in wanted
        }


class Client:
    """The client's queue of records that are not delivered."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.queue: deque[tuple[bytes, bytes, Callable[[Any, Any], None]]] = deque()
        self.fates: deque[Fate] = deque([Fate.LOST])

    def __len__(self) -> int:
        return len(self.queue)

    def produce(  # noqa: PLR0917 - the order of the client's own
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        partition: int,
        callback: Callable[[Any, Any], None] | None = None,
        on_delivery: Callable[[Any, Any], None] | None = None,
        timestamp: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        report = callback or on_delivery
        assert report is not None
        self.queue.append((key, headers[0][1], report))

    def deliver(self) -> None:
        """The oldest lands, and its report comes."""
        if self.queue:
            key, raw, report = self.queue.popleft()
            report(None, self.log.add(key, raw))

    def fail(self, code: int) -> None:
        """The oldest is reported as failed, whatever became of it."""
        key, raw, report = self.queue.popleft()
        self.strand(key, raw)
        report(KafkaError(code), Read(0, key, raw))  # failed reports carry bogus offsets

    def strand(self, key: bytes, raw: bytes) -> None:
        """Nobody knows what becomes of a record."""
        fate = self.fates[0]
        self.fates.rotate(-1)
        if fate is Fate.LANDS:
            self.log.add(key, raw)
        elif fate is Fate.LATER:
            self.log.under_way.append((key, raw))

    def purge(self) -> None:
        while self.queue:
            self.fail(KafkaError._PURGE_QUEUE)

    def poll(self, seconds: float) -> None:
        """Everything was reported when it was purged."""


class MemoryTransport(Transport):
    """The transport over `Client`."""

    def __init__(self, log: Log) -> None:
        super().__init__(SETTINGS)
        self.client = Client(log)

    def _opened(self) -> Producer:
        self._producer = cast("Producer", self.client)
        return self._producer


class MemoryConsumer:
    """Reads the log from where it is assigned."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.at = 0

    def assign(self, where: list[TopicPartition]) -> None:
        self.at = where[0].offset

    def unassign(self) -> None:
        """Nothing is kept."""

    def poll(self, seconds: float) -> Message | None:
        assert self.at < len(self.log.records), "it reads past the end"
        self.at += 1
        return cast("Message", self.log.records[self.at - 1])

    def consume(self, count: int, seconds: float) -> list[Message]:
        rest = self.log.records[self.at :]
        self.at = len(self.log.records)
        return cast("list[Message]", rest)


class MemoryRestorer(Restorer):
    """The restorer over a log and a database in memory."""

    def __init__(
        self,
        log: Log,
        database: Database,
        *,
        far: int = FAR,
        at_once: int = STORED_AT_ONCE,
        few: int = 0,
    ) -> None:
        super().__init__(SETTINGS, "memory", far=far, at_once=at_once)
        self.database = database
        self.few = few
        self.memory = MemoryConsumer(log)

    def _opened(self) -> Consumer:
        return cast("Consumer", self.memory)

    def _end(self, key: PartitionKey) -> int:
        return len(self.memory.log.records)

    def _follow(self, key: PartitionKey, restored: Restored, end: int) -> None:
        self._read(key, restored, end)

    def _position(self, key: PartitionKey, *, create: bool = False) -> LogPosition:
        return self.database.position

    def _few_heads(
        self, key: PartitionKey, position: LogPosition, *, most: int
    ) -> dict[str, TipRow] | None:
        heads = self.database.heads
        if self.database.position != position or len(heads) > min(most, self.few):
            return None
        oldest_first = sorted(heads.items(), key=lambda each: each[1].last_offset)
        return {stream: tip.row() for stream, tip in oldest_first} or None

    def _store(self, checkpoint: Checkpoint) -> None:
        assert self.database.store(checkpoint) is Stored.COMMITTED

    def _check_topic(self, key: PartitionKey, partitions: int) -> None:
        """It is always the same one."""


class Plain(Encoder):
    """An encoder that writes nothing."""

    def __init__(self) -> None:
        """It needs no schemas."""

    def encode(self, events: Sequence[Event], times: Sequence[int]) -> list[EncodedEvent]:
        return [(b"", event.codec.fingerprint, at) for event, at in zip(events, times, strict=True)]


class Process:
    """One process's writer of the partition; each method is a step of `Writer`."""

    def __init__(
        self,
        log: Log,
        database: Database,
        *,
        limit: int,
        far: int = FAR,
        at_once: int = STORED_AT_ONCE,
        few: int = 0,
    ) -> None:
        self.database, self.limit = database, limit
        self.transport = MemoryTransport(log)
        self.restorer = MemoryRestorer(log, database, far=far, at_once=at_once, few=few)
        self.partition = Partition(KEY, 1, encoder=Plain(), transport=self.transport)
        self.found: dict[LookUp, Found | None] | None = None
        self.told: list[tuple[Checkpoint, Stored]] = []
        self.under_way: Checkpoint | None = None
        """A checkpoint that is on its way to the database."""

    @property
    def client(self) -> Client:
        return self.transport.client

    def submit(self, append: Append) -> AppendRequest:
        request = AppendRequest(append, 0)
        self.partition.waiting.append(request)
        return request

    def ask(self, question: Question[Any]) -> None:
        self.partition.questions.append(question)

    def claim(self) -> None:
        """Read to the end, answer what is asked, and claim if there is to append."""
        partition = self.partition
        if partition.phase is not Phase.IDLE or not partition.wanted:
            return
        known, partition.restored = partition.restored, None
        questions = partition.take_questions()
        restored = self.restorer.read_on(KEY, known, cached=self.limit, asked=bool(questions))
        found = self.database.look_up([each.look_up for each in questions])
        for question in questions:
            question.answer(restored.heads, found)
        if not partition.waiting:
            partition.restored = restored if restored.noting else None
            return
        partition.phase = Phase.CLAIMING
        epoch, writer = restored.rule.position.epoch + 1, os.urandom(8)
        partition.claiming = writer

        def claimed(offset: int | None, why: str) -> None:
            if partition.claiming != writer:
                return
            if offset is None:
                partition.claiming = None
                partition.pause()
            else:
                self._confirm(restored, LogPosition(offset + 1, epoch, writer, 1))

        self.transport.claim(KEY, epoch=epoch, writer=writer, partitions=1, claimed=claimed)

    def _confirm(self, restored: Restored, claim: LogPosition) -> None:
        partition = self.partition
        try:
            confirmed = self.restorer.confirm(KEY, restored, claim, partitions=1)
        except CheckpointFenced:
            confirmed = None
        if confirmed is None:
            partition.claiming = None
            partition.pause()
            return
        session: Session[AppendRequest] = Session(
            epoch=claim.epoch,
            writer=claim.writer,
            claim_offset=claim.next_offset - 1,
            completed=partition.completed,
            doubted=partition.doubted,
        )
        partition.claimed(session, confirmed)

    def look_up(self) -> None:
        """Ask the database; the answers are used later."""
        if self.partition.serving and self.found is None:
            self.found = self.database.look_up(list(self.partition.unknown()))

    def serve(self) -> None:
        """Decide what waits; only between look-ups it is heard what became of checkpoints."""
        found, self.found = self.found or {}, None
        if self.partition.serving:
            self.partition.answer_questions(found)
            self.partition.serve_waiting(found, room=lambda: True)
            self.transport.send()
        while self.told:
            self.partition.checkpointed(*self.told.pop(0))
        self.settle()

    def deliver(self, records: int) -> None:
        for _ in range(min(records, len(self.client))):
            self.client.deliver()
        self.settle()

    def break_producer(self, code: int, fates: Sequence[Fate]) -> None:
        """The oldest record's delivery fails, and with it the producer."""
        if not self.client.queue:
            return
        self.client.fates = deque(fates)
        self.client.fail(code)
        self.transport.poll(0)
        partition = self.partition
        if partition.session is not None:
            partition.session.doubt("the producer failed")
        elif partition.claiming is not None:
            partition.claiming = None
            partition.pause()
        self.transport.discard()
        self.settle()

    def settle(self) -> None:
        self.transport.poll(0)
        partition = self.partition
        session = partition.session
        if partition.phase is Phase.DOUBTING and session is not None and not session.outstanding:
            partition.settle()

    def checkpoint(self) -> None:
        """Send a checkpoint."""
        if self.partition.serving and not self.partition.checkpointing:
            self.under_way = self.partition.checkpoint()
            self.partition.checkpointing = self.under_way is not None

    def store(self, *, stored: bool = True, heard: bool = True) -> None:
        """The checkpoint comes to the database, or not; and that is heard, or not."""
        checkpoint, self.under_way = self.under_way, None
        if checkpoint is not None:
            outcome = self.database.store(checkpoint) if stored else Stored.FAILED
            self.told.append((checkpoint, outcome if heard else Stored.FAILED))

    def crash(self, fates: Sequence[Fate]) -> None:
        """The process dies, and its records have each their fate."""
        self.client.fates = deque(fates)
        while self.client.queue:
            self.client.strand(*self.client.queue.popleft()[:2])

    def drain(self) -> None:
        """Nothing goes wrong any more: everything that waits gets its answer."""
        for _ in range(200):
            if not self.partition.busy and not self.partition.questions:
                return
            self.claim()
            self.look_up()
            self.serve()
            self.deliver(1_000)
            self.store()
        raise EventStoreError("it never ends")
