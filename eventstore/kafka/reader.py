"""Reads whole partitions in order, as projectors, rebuilds and tools do: valid events only.

A reader holds no group membership and commits nothing: it starts where it is told, and each
batch says where it then stands. Whoever stores that position with what the batch led to has
applied each event exactly once.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import TracebackType
from typing import Final, Self, TypeAlias

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventstore.collector import uncollected
from eventstore.errors import LogError, OffsetGone, UnreadablePartition
from eventstore.events import Event
from eventstore.kafka._admin import Admin
from eventstore.kafka._reading import LOGGER, PartitionBatch, PartitionReading
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.messages import Schemas
from eventstore.kafka.rule import Dead
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.single import SingleReader
from eventstore.log import LogPosition

__all__ = ["LogReader", "PartitionBatch", "PartitionKey"]

PartitionKey: TypeAlias = tuple[str, int]
"""Topic and partition."""

AT_ONCE: Final = 1_000
"""Records taken from the client and decoded at once, at most: while they are in the processor's
cache, which saves a third of the time."""

MORE: Final = 0.02
"""Seconds to wait for more records at a time while the log is known to hold more."""

EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001
OUT_OF_RANGE: Final = frozenset(
    {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
)
FINAL: Final = frozenset(
    {
        KafkaError._BAD_MSG,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
)
"""Errors of a partition that do not pass by themselves; the client retries all others."""


class LogReader:
    """Reads the partitions that are assigned to it; for one thread.

    ``topics`` gives the event classes of each topic. With ``only``, events of other classes are
    passed over without being decoded; positions move over them all the same.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Mapping[str, Sequence[type[Event]]],
        registry: Schemas,
        *,
        only: Sequence[type[Event]] | None = None,
    ) -> None:
        self._decoders = {
            topic: Decoder(event_types, registry, only=only)
            for topic, event_types in topics.items()
        }
        self._admin = Admin(settings)
        self._single = SingleReader(settings)
        self._consumer: Final[Consumer] = settings.consumer()
        self._readings: dict[PartitionKey, PartitionReading] = {}
        self._failed: list[LogError] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections; may be called again."""
        self._readings = {}
        self._consumer.close()
        self._single.close()

    def assign(self, positions: Mapping[PartitionKey, LogPosition]) -> None:
        """Read these partitions from these positions on, in place of what was assigned."""
        self._failed = []
        self._readings = {
            (topic, partition): self._reading(topic, partition, position)
            for (topic, partition), position in positions.items()
        }
        self._consumer.assign([_at(key, where) for key, where in positions.items()])

    def seek(self, topic: str, partition: int, position: LogPosition) -> None:
        """Forget what was read ahead of an assigned partition; go on at ``position``."""
        key = (topic, partition)
        before = self._readings[key]
        self._readings[key] = self._reading(topic, partition, position)
        self._failed = [error for error in self._failed if error is not before.error]
        # Not Consumer.seek(): it fails on a partition whose first fetch has not begun.
        if not before.stopped:
            self._consumer.incremental_unassign([TopicPartition(topic, partition)])
        self._consumer.incremental_assign([_at(key, position)])

    def read(self, *, events: int, timeout: float) -> list[PartitionBatch]:
        """Wait up to ``timeout`` seconds for records, then take about ``events`` of them.

        Gives one batch for each partition that moved; [] when none did. A partition that cannot
        be read further is stopped: what precedes is given first, then its error is raised once.
        The others go on; `seek` starts it again.

        Raises:
            UnknownRecord, UndecodableEvent: As the names say; both carry topic and partition.
            OffsetGone: The log no longer holds the offset to read from.
            UnreadablePartition: The brokers refuse.
        """
        if self._failed:
            raise self._failed.pop(0)
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        with uncollected():
            self._take([first])
            self._take_more(events - 1, time.monotonic() + timeout)
            batches = self._batches()
        self._stop_failed()
        if self._failed and not batches:
            raise self._failed.pop(0)
        return batches

    def ends(self, topic: str) -> dict[int, int]:
        """Partition to its end offset now, as the leaders know it."""
        return self._admin.ends(topic)

    def at_end(self) -> set[PartitionKey]:
        """The partitions that have been read up to their end as of the last fetch."""
        return {
            key
            for key, reading in self._readings.items()
            if 0 <= self._known_end(reading) <= reading.rule.next_offset
        }

    def dead(self) -> dict[PartitionKey, Counter[Dead]]:
        """Records skipped per reason, since each partition was assigned or sought."""
        return {key: reading.rule.dead.copy() for key, reading in self._readings.items()}

    def event_id_at(self, topic: str, partition: int, offset: int) -> str | None:
        """The id of the event at ``offset``, read again from the log; None: no event is there."""
        return self._single.event_id_at(topic, partition, offset)

    def _reading(self, topic: str, partition: int, position: LogPosition) -> PartitionReading:
        return PartitionReading(topic, partition, position, self._decoders[topic])

    def _batches(self) -> list[PartitionBatch]:
        batches = [reading.batch() for reading in self._readings.values()]
        return [batch for batch in batches if batch is not None]

    def _take_more(self, left: int, deadline: float) -> None:
        """Take what is there, and wait for more only while the log is known to hold more."""
        wait = 0.0
        while left > 0:
            messages = self._consumer.consume(min(left, AT_ONCE), wait)
            self._take(messages)
            left -= len(messages)
            if (wait and not messages) or time.monotonic() > deadline or not self._is_behind():
                return
            wait = MORE

    def _is_behind(self) -> bool:
        return any(
            reading.rule.next_offset < self._known_end(reading)
            for reading in self._readings.values()
            if reading.error is None
        )

    def _known_end(self, reading: PartitionReading) -> int:
        """The partition's end as of the last fetch; the brokers are not asked."""
        where = TopicPartition(reading.topic, reading.partition)
        return self._consumer.get_watermark_offsets(where, cached=True)[1]

    def _take(self, messages: Sequence[Message]) -> None:
        """Take records by runs of one partition, then what is told of partitions.

        An end that was met may be told before records that came after it: then it says nothing.
        """
        records = [message for message in messages if message.error() is None]
        for partition, run in groupby(records, Message.partition):
            for topic, of_topic in self._by_topic(run):
                reading = self._readings.get((topic, partition or 0))
                if reading is not None:
                    reading.take(of_topic)
        if len(records) < len(messages):
            for message in messages:
                self._take_error(message)

    def _by_topic(self, run: Iterable[Message]) -> Iterable[tuple[str, Iterable[Message]]]:
        if len(self._decoders) == 1:  # nearly always: no need to ask each record
            return ((topic, run) for topic in self._decoders)
        return groupby(run, _topic)

    def _take_error(self, message: Message) -> None:
        error = message.error()
        reading = self._readings.get((message.topic() or "", message.partition() or 0))
        if error is None:
            return
        if reading is None:
            LOGGER.warning("Kafka: %s", error.str())
        elif error.code() == EOF:
            reading.skip_to(message.offset() or 0)
        elif error.code() in OUT_OF_RANGE:
            offset = reading.rule.next_offset
            reading.error = OffsetGone(reading.topic, reading.partition, offset, error.str())
        elif error.code() in FINAL:
            reading.error = UnreadablePartition(reading.topic, reading.partition, error.str())
        else:
            LOGGER.warning("Kafka: %s[%d]: %s", reading.topic, reading.partition, error.str())

    def _stop_failed(self) -> None:
        """Stop fetching partitions that have an error, and keep it to be raised."""
        for reading in self._readings.values():
            if reading.error is not None and not reading.stopped:
                reading.stopped = True
                self._failed.append(reading.error)
                where = TopicPartition(reading.topic, reading.partition)
                self._consumer.incremental_unassign([where])


def _topic(message: Message) -> str:
    return message.topic() or ""


def _at(key: PartitionKey, position: LogPosition) -> TopicPartition:
    topic, partition = key
    return TopicPartition(topic, partition, position.next_offset)
