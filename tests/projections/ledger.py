"""The accounts' log as tests write it: one writer of all partitions, straight to Kafka."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer, murmur2

from eventstore import Event, Recorded
from eventstore.kafka.header import HEADER, LAYOUT, NO_APPEND, NO_FINGERPRINT, Header, Kind, pack
from eventstore.kafka.messages import Encoder
from eventstore.kafka.reader import LogReader
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics
from eventstore.log import LOG_START
from projections import ReadModel
from projections.projection import AnyProjection
from tests.bank import Account

TOPIC = Account.topic


@dataclass
class Session:
    """A writer's term on one partition."""

    writer: bytes = field(default_factory=lambda: os.urandom(8))
    epoch: int = 1
    sequence: int = 0


class Ledger:
    """Writes accounts' events, reads them all back, and opens read models of them."""

    def __init__(self, kafka: str, postgres: str, partitions: int = 3) -> None:
        self.postgres = postgres
        self.partitions = partitions
        self._settings = KafkaSettings(kafka)
        topics = Topics(self._settings, "single", partitions, postgres=postgres)
        topics.ensure(TOPIC)
        self.check_topics = lambda: topics.check(TOPIC)
        self._registry = SchemaRegistry(self._settings, topics)
        self._registry.register(event.codec for event in Account.event_types)
        self._encoder = Encoder(self._registry)
        self._producer: Producer = self._settings.producer()
        self._sessions: dict[int, Session] = {}
        self._versions: dict[str, int] = {}

    def partition(self, stream: str) -> int:
        """The partition of a stream."""
        return murmur2(stream.encode(), self.partitions)

    def append(self, stream: str, *events: Event, missing: int = 0) -> None:
        """Append events to a stream; ``missing`` more were to follow, and never do."""
        partition = self.partition(stream)
        session = self._session(partition)
        append, count = uuid4().bytes, len(events) + missing
        for index, event in enumerate(events):
            session.sequence += 1
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            [(value, fingerprint, at)] = self._encoder.encode([event], [time.time_ns() // 1000])
            self._produce(
                partition,
                session,
                Header(
                    LAYOUT,
                    Kind.EVENT,
                    index,
                    count,
                    session.epoch,
                    session.sequence,
                    version,
                    at,
                    -1,
                    session.writer,
                    append,
                    fingerprint,
                ),
                stream.encode(),
                value,
            )

    def claim(self, partition: int) -> None:
        """Take a partition anew: what was left incomplete is dead."""
        before = self._sessions.get(partition)
        session = Session(epoch=before.epoch + 1 if before else 1)
        self._sessions[partition] = session
        header = Header(
            LAYOUT,
            Kind.CLAIM,
            0,
            self.partitions,
            session.epoch,
            0,
            0,
            time.time_ns() // 1000,
            -1,
            session.writer,
            NO_APPEND,
            NO_FINGERPRINT,
        )
        self._produce(partition, session, header, b"", None)

    def flush(self) -> None:
        """Wait until everything is in the log."""
        assert self._producer.flush(60) == 0

    def log(
        self, topics: Mapping[str, Sequence[type[Event]]], only: Sequence[type[Event]] | None
    ) -> LogReader:
        """A reader of the log."""
        return LogReader(self._settings, topics, self._registry, only=only)

    def read_model(self, projection: AnyProjection, **options: Any) -> ReadModel:
        """A read model of the accounts."""
        return ReadModel(
            projection,
            postgres=self.postgres,
            log=self.log,
            partitions={TOPIC: self.partitions},
            check_topics=self.check_topics,
            **options,
        )

    def history(self) -> list[Recorded[Event]]:
        """All valid events, partition by partition."""
        self.flush()
        with closing(self.log({TOPIC: Account.event_types}, None)) as log:
            keys = [(TOPIC, partition) for partition in range(self.partitions)]
            log.assign(dict.fromkeys(keys, LOG_START))
            found: list[Recorded[Event]] = []
            while log.at_end() != set(keys):
                for batch in log.read(events=10_000, timeout=1.0):
                    found += batch.recorded
        return sorted(found, key=lambda recorded: (recorded.partition, recorded.offset))

    def _session(self, partition: int) -> Session:
        if partition not in self._sessions:
            self.claim(partition)
        return self._sessions[partition]

    def _produce(
        self, partition: int, _: Session, header: Header, key: bytes, value: bytes | None
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    TOPIC,
                    value=value,
                    key=key,
                    partition=partition,
                    headers=[(HEADER, pack(header))],
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
