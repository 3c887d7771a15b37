"""Reads records here and there, by their offsets: one at a time, or a short run of them."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import OffsetGone, UnreadablePartition
from eventstore.kafka.header import Kind
from eventstore.kafka.messages import event_id, header_of
from eventstore.kafka.settings import KafkaSettings

EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001
OUT_OF_RANGE: Final = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001


class SingleReader:
    """One consumer, connected when first used, for reads by offset; safe for several threads."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the connection; the next read opens another."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def at(self, topic: str, partition: int, offset: int) -> Message | None:
        """The record at ``offset``; None: the log holds none there (any more, or yet).

        Raises:
            UnreadablePartition: The brokers refuse, or do not answer in `CONNECT_SECONDS`.
        """
        with self._assigned(topic, partition, offset) as consumer:
            try:
                message = self._next(consumer, topic, partition)
            except OffsetGone:
                return None
        return message if message is not None and message.offset() == offset else None

    def run(
        self, topic: str, partition: int, first: int, last: int, *, key: bytes
    ) -> dict[int, Message]:
        """Offset to record, for those from ``first`` to ``last``, both included, with this key.

        Raises:
            OffsetGone: The log does not hold ``first``.
            UnreadablePartition: The brokers refuse, or do not answer in `CONNECT_SECONDS`.
        """
        found: dict[int, Message] = {}
        with self._assigned(topic, partition, first) as consumer:
            while (message := self._next(consumer, topic, partition)) is not None:
                offset = message.offset() or 0
                if offset <= last and message.key() == key:
                    found[offset] = message
                if offset >= last:
                    break
        return found

    def event_id_at(self, topic: str, partition: int, offset: int) -> str | None:
        """The id of the event at ``offset``; None: no record of ours with an event is there."""
        message = self.at(topic, partition, offset)
        header = None if message is None else header_of(message)
        return event_id(header) if header is not None and header.kind == Kind.EVENT else None

    @contextmanager
    def _assigned(self, topic: str, partition: int, offset: int) -> Generator[Consumer]:
        """The consumer, for this thread alone, at ``offset``; it fetches nothing afterwards."""
        with self._lock:
            consumer = self._consumer or self._settings.consumer("single")
            self._consumer = None  # after a failure another is opened: it may have gone stale
            try:
                consumer.assign([TopicPartition(topic, partition, offset)])
                yield consumer
                consumer.unassign()
                self._consumer = consumer
            except OffsetGone:
                consumer.unassign()
                self._consumer = consumer
                raise
            finally:
                if self._consumer is None:
                    consumer.close()

    def _next(self, consumer: Consumer, topic: str, partition: int) -> Message | None:
        """The next record; None at the partition's end."""
        deadline = time.monotonic() + CONNECT_SECONDS
        why = f"no answer within {CONNECT_SECONDS:g} s"
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is None:
                return message
            if message.topic() != topic:
                why = error.str()
            elif error.code() == EOF:
                return None
            elif error.code() == OUT_OF_RANGE:
                raise OffsetGone(topic, partition, message.offset() or 0, error.str())
            else:
                raise UnreadablePartition(topic, partition, error.str())
        raise UnreadablePartition(topic, partition, why)
