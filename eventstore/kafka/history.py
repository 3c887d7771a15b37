"""Reads one stream: backwards along its events, each of which says where the previous one is.

A head that is true leads to valid events only, since a writer chains an event to a valid one.
So the reader's rule is not needed here, and each step is checked: the record is an event of this
stream, with the version that it must have.
"""

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Message

from eventstore.errors import BrokenChain, OffsetGone
from eventstore.events import Event
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.header import Kind
from eventstore.kafka.messages import LogRecord, header_of
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.single import SingleReader
from eventstore.store import Head, Recorded

RECORDS_PER_STEP: Final = 500
"""Records that are read one after the other in the time of one step back."""

AROUND: Final = 50
"""Records read before the one that a step leads to: they came with it, and an append's events
stand side by side."""


class StreamReader:
    """Reads streams from their heads; safe for several threads, which take turns."""

    def __init__(self, settings: KafkaSettings, decoder: Decoder) -> None:
        self._single = SingleReader(settings)
        self._decoder = decoder

    def close(self) -> None:
        """End the connection."""
        self._single.close()

    def read(
        self, topic: str, partition: int, stream: str, head: Head, *, after: int = 0
    ) -> Iterator[Recorded[Event]]:
        """The stream's events up to ``head`` with a version above ``after``, in order.

        Raises:
            BrokenChain: The log does not hold what the head and the events say.
            UnreadablePartition: The brokers refuse, or do not answer.
            UndecodableEvent: A value is not what its header's fingerprint says.
        """
        records = self._chain(topic, partition, stream, head, after)
        return iter(self._decoder.decode(topic, partition, records))

    def _chain(
        self, topic: str, partition: int, stream: str, head: Head, after: int
    ) -> list[LogRecord]:
        """The records that hold these events, in order, collected from the last to the first."""
        key = stream.encode()
        first, offset = max(head.first_offset, 0), head.last_offset
        around = _around(head, after)
        chain: list[LogRecord] = []
        run: dict[int, Message] = {}
        for version in range(head.version, after, -1):
            where = f"{topic}[{partition}]@{offset}"
            if offset not in run:
                begin = max(first, offset - around)
                try:
                    run = self._single.run(topic, partition, begin, offset, key=key)
                except OffsetGone as error:
                    raise BrokenChain(stream, version, where, str(error)) from error
            record = _event_at(run, offset)
            if record is None:
                raise BrokenChain(stream, version, where, "no event of this stream")
            chain.append(record)
            found = record[1]
            if found.version != version:
                raise BrokenChain(stream, version, where, f"version {found.version}")
            offset = found.previous
        return chain[::-1]


def _around(head: Head, after: int) -> int:
    """How many records to read before the one wanted: all to the stream's first, if cheaper."""
    between = head.last_offset - head.first_offset
    known = head.first_offset >= 0
    return between if known and between <= (head.version - after) * RECORDS_PER_STEP else AROUND


def _event_at(run: dict[int, Message], offset: int) -> LogRecord | None:
    message = run.get(offset)
    header = None if message is None else header_of(message)
    if message is None or header is None or header.kind != Kind.EVENT:
        return None
    return offset, header, message
