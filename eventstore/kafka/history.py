"""Reads one stream: backwards along its events, each of which says where the previous one is.

A head that is true leads to valid events only, since a writer chains an event to a valid one.
So the reader's rule is not needed here, and each step is checked: the record is an event of this
stream, with the version that it must have, and of the writer that can have written it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka import Message

from eventstore.errors import BrokenChain, LogError, OffsetGone, UnknownEventName
from eventstore.events import Event
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.header import Header, Kind
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

        One that cannot be decoded is met when it comes: those before it are given.

        Raises:
            BrokenChain: The log does not hold what the head and the events say.
            UnreadablePartition: The brokers refuse, or do not answer.
            UndecodableEvent: A value is not what its header's fingerprint says.
            SchemaNotFound, UnknownEventName: This application does not know the event.
        """
        records = self._chain(topic, partition, stream, head, after)
        try:
            return iter(self._decoder.decode(topic, partition, records))
        except (LogError, UnknownEventName):
            return self._one_by_one(topic, partition, records)

    def _one_by_one(
        self, topic: str, partition: int, records: Sequence[LogRecord]
    ) -> Iterator[Recorded[Event]]:
        for record in records:
            yield from self._decoder.decode(topic, partition, [record])

    def _chain(
        self, topic: str, partition: int, stream: str, head: Head, after: int
    ) -> list[LogRecord]:
        """The records that hold these events, in order, collected from the last to the first."""
        first, offset = max(head.first_offset, 0), head.last_offset
        around = _around(head, after)
        chain: list[LogRecord] = []
        run: dict[int, Message] = {}
        for version in range(head.version, after, -1):
            where = f"{topic}[{partition}]@{offset}"
            if offset not in run:
                begin = max(first, offset - around)
                try:
                    run = self._single.run(topic, partition, begin, offset, key=stream.encode())
                except OffsetGone as error:
                    raise BrokenChain(stream, version, where, str(error)) from error
            record = _event_at(run, offset)
            fits = record is not None and record[1].version == version
            if chain and not (fits and self._leads_to(record, chain[-1])):
                shifted = self._shifted(chain[-1], version)
                record, fits = (shifted, True) if shifted else (record, fits)
            if record is None:
                raise BrokenChain(stream, version, where, "no event of this stream")
            if not fits:
                raise BrokenChain(stream, version, where, f"version {record[1].version}")
            chain.append(record)
            offset = record[1].previous
        return chain[::-1]

    def _leads_to(self, record: LogRecord | None, later: LogRecord) -> bool:
        """Whether what stands where ``later`` looks for its predecessor is it, for certain.

        An event of the same writer is. One of another is, if it stands before the later writer's
        claim; and where that is, is certain if nobody else has written since.
        """
        if record is None:
            return False
        offset, header, _ = record
        at, after, message = later
        if _same_writer(header, after):
            return True
        claim = at - after.sequence
        if offset >= claim:
            return False
        found = self._single.at(message.topic() or "", message.partition() or 0, claim)
        claimed = None if found is None else header_of(found)
        return claimed is not None and claimed.kind == Kind.CLAIM and _same_writer(claimed, after)

    def _shifted(self, later: LogRecord, version: int) -> LogRecord | None:
        """The predecessor of ``later`` by the same writer, if it stands after where it should.

        An event that was sent while its predecessor was in flight says where that was to stand.
        A record of somebody else that came in between has moved both: the writer lost its claim
        by it, but its events are events.
        """
        at, after, message = later
        topic, partition, key = message.topic() or "", message.partition() or 0, message.key()
        begin = after.previous + 1
        if key is None or begin <= 0 or begin >= at:
            return None
        run = self._single.run(topic, partition, begin, at - 1, key=key)
        for offset in run:
            record = _event_at(run, offset)
            if record and record[1].version == version and _same_writer(record[1], after):
                return record
        return None


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


def _same_writer(one: Header, other: Header) -> bool:
    return one.epoch == other.epoch and one.writer == other.writer
