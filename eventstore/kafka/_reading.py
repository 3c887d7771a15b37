"""One partition as a `LogReader` reads it: the rule's state, and what became valid meanwhile."""

import logging
from collections.abc import Iterable
from typing import Final, NamedTuple

from confluent_kafka import Message

from eventstore.errors import LogError, UndecodableEvent
from eventstore.events import Event
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.messages import LogRecord, event_id, header_of
from eventstore.kafka.rule import Dead, ReaderRule
from eventstore.log import LogPosition
from eventstore.store import Recorded

LOGGER: Final = logging.getLogger("eventstore.kafka")


class PartitionBatch(NamedTuple):
    """What one partition gave since it was last asked."""

    topic: str
    partition: int
    recorded: list[Recorded[Event]]
    """Valid events in order, whole appends only; empty where only others have passed."""
    position: LogPosition
    """Where the reader stands after them."""
    last: tuple[int, str] | None
    """Offset and id of the last valid event that passed, decoded or not; None: none did."""


class PartitionReading:
    """Takes the messages of one partition, in order; gives batches."""

    def __init__(self, topic: str, partition: int, position: LogPosition, decoder: Decoder) -> None:
        self.topic: Final = topic
        self.partition: Final = partition
        self.rule: ReaderRule[LogRecord] = ReaderRule(position)
        self.error: LogError | None = None
        """Why it cannot be read further."""
        self.stopped = False
        """Nothing is fetched of it any more."""
        self._decoder = decoder
        self._recorded: list[Recorded[Event]] = []
        self._last: LogRecord | None = None
        self._given = position
        self._broken = 0

    def take(self, messages: Iterable[Message]) -> None:
        """Take the next messages, none of which tells of an error, and decode what is valid."""
        if self.error is None:
            self._decode(self._valid(messages))

    def _valid(self, messages: Iterable[Message]) -> list[LogRecord]:
        found: list[LogRecord] = []
        rule, start = self.rule, self.rule.next_offset
        for message in messages:
            offset = message.offset() or 0
            if offset < start:
                continue
            try:
                header = header_of(message)
            except LogError as error:
                self.error = error
                break
            if header is None:
                rule.foreign(offset)
                continue
            valid = rule.read(offset, header, (offset, header, message))
            if valid:
                found += valid
        return found

    def _decode(self, valid: list[LogRecord]) -> None:
        while valid:
            try:
                self._recorded += self._decoder.decode(self.topic, self.partition, valid)
            except UndecodableEvent as error:
                valid = self._stop_before(error, valid)
            else:
                self._last = valid[-1]
                return

    def skip_to(self, offset: int) -> None:
        """Nothing more stands before ``offset``, the partition's end for now."""
        if self.error is None:
            self.rule.skip_to(offset)

    def batch(self) -> PartitionBatch | None:
        """What became valid since the last batch; None: the partition has not moved."""
        recorded, self._recorded = self._recorded, []
        record, self._last = self._last, None
        position = self.rule.position
        if position == self._given:
            return None
        self._given = position
        self._alarm()
        last = None if record is None else (record[0], event_id(record[1]))
        return PartitionBatch(self.topic, self.partition, recorded, position, last)

    def _stop_before(self, error: UndecodableEvent, valid: list[LogRecord]) -> list[LogRecord]:
        """Stand at the start of the append that cannot be decoded; keep what precedes it."""
        self.error = error
        failed = next(at for at, record in enumerate(valid) if record[0] == error.offset)
        first = failed - valid[failed][1].index
        offset, header, _ = valid[first]
        # The header of a live event is the rule's state as of there.
        self.rule = ReaderRule(LogPosition(offset, header.epoch, header.writer, header.sequence))
        return valid[:first]

    def _alarm(self) -> None:
        broken = self.rule.dead[Dead.BROKEN]
        if broken > self._broken:
            LOGGER.error(
                "%s[%d] before offset %d: skipped %d events of appends that are not in order; no "
                "writer of this library writes such",
                self.topic,
                self.partition,
                self.rule.next_offset,
                broken - self._broken,
            )
        self._broken = broken
