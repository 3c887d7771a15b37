"""Writes a partition's records one by one: what writers, zombies and strangers would write."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaError, Message, Producer

from eventstore.events import Event
from eventstore.kafka.header import HEADER, LAYOUT, NO_APPEND, NO_FINGERPRINT, Header, Kind, pack
from eventstore.kafka.messages import Encoder, timestamp_of
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics
from tests.bank import AccountOpened, MoneyDeposited, MoneyWithdrawn

BANK = (AccountOpened, MoneyDeposited, MoneyWithdrawn)
AT = 1_357_000_000_000_000


@dataclass
class ScriptedWriter:
    """One writer of one partition: its term, and what it numbers next."""

    epoch: int
    id: bytes = field(default_factory=lambda: os.urandom(8))
    sequence: int = 0


class ScriptedLog:
    """A topic and what is put into one partition of it; each method returns offsets."""

    def __init__(self, bootstrap: str, topic: str, *, partitions: int = 1) -> None:
        self.settings = KafkaSettings(bootstrap)
        self.topics = Topics(self.settings, "single", partitions)
        self.registry = SchemaRegistry(self.settings, self.topics)
        self.registry.register(event_type.codec for event_type in BANK)
        self.topic = self.topics.ensure(topic).topic
        self.partition = 0
        self._encoder = Encoder(self.registry)
        self._producer: Producer = self.settings.producer(idempotent=False)
        self._versions: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def put(self, key: bytes, value: bytes | None, headers: Any = None, time: int = AT) -> int:
        """Any record at all."""
        reports: list[tuple[KafkaError | None, Message]] = []
        self._producer.produce(
            self.topic,
            value,
            key,
            partition=self.partition,
            headers=headers,
            timestamp=timestamp_of(time),
            on_delivery=lambda error, message: reports.append((error, message)),
        )
        self._producer.flush(30)
        (error, message), *_ = reports
        assert error is None, error.str()
        offset = message.offset()
        assert offset is not None
        return offset

    def put_header(self, header: Header, key: bytes = b"", value: bytes | None = None) -> int:
        return self.put(key, value, [(HEADER, pack(header))], header.time)

    def claim(self, epoch: int = 1) -> ScriptedWriter:
        writer = ScriptedWriter(epoch)
        self.put_header(_marker(writer, Kind.CLAIM))
        return writer

    def seal(self, writer: ScriptedWriter) -> int:
        writer.sequence += 1
        return self.put_header(_marker(writer, Kind.SEAL))

    def append(
        self,
        writer: ScriptedWriter,
        stream: str,
        events: Sequence[Event],
        *,
        only: int | None = None,
        time: int = AT,
        body: bytes | None = None,
        litter: bool = False,
    ) -> list[int]:
        """An append; only its first events where it is to stay incomplete; with another body.

        With ``litter``, a stranger's record comes to stand after its first event.
        """
        append, offsets = uuid4().bytes, list[int]()
        for index, event in enumerate(events[:only]):
            writer.sequence += 1
            version = self._versions.get(stream, 0) + index + 1
            previous = offsets[-1] if offsets else self._last.get(stream, -1)
            header = Header(
                LAYOUT,
                Kind.EVENT,
                index,
                len(events),
                writer.epoch,
                writer.sequence,
                version,
                time,
                previous,
                writer.id,
                append,
                type(event).codec.fingerprint,
            )
            [(value, _, _)] = self._encoder.encode([event], [time])
            if body is not None:
                value = value[:5] + body
            offsets.append(self.put_header(header, stream.encode(), value))
            if litter and not index:
                self.put(b"litter", b"litter")
        if only is None:
            self._versions[stream] = self._versions.get(stream, 0) + len(events)
            self._last[stream] = offsets[-1]
        return offsets

    def chain_to(self, stream: str, offset: int) -> None:
        """The stream's next append says that its predecessor stands there."""
        self._last[stream] = offset


def _marker(writer: ScriptedWriter, kind: Kind) -> Header:
    return Header(
        LAYOUT,
        kind,
        0,
        1,
        writer.epoch,
        writer.sequence,
        0,
        AT,
        -1,
        writer.id,
        NO_APPEND,
        NO_FINGERPRINT,
    )
