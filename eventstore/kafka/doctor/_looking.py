"""Looks up single records: the claim of a writer, and the record that a checkpoint ends with."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from confluent_kafka import Message

from eventstore.errors import LogError
from eventstore.kafka.doctor._scan import PartitionScan, claim_in
from eventstore.kafka.doctor.facts import CheckpointFacts, Claim, TopicFacts
from eventstore.kafka.header import Header, Kind
from eventstore.kafka.messages import header_of
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.single import SingleReader
from eventstore.log import LogPosition


class Looking:
    """Reads single records; what cannot be read is told of where the whole log is."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._single = SingleReader(settings)

    def close(self) -> None:
        """End the connection; another look opens it again."""
        self._single.close()

    def scans(
        self,
        facts: TopicFacts,
        starts: Mapping[int, int],
        ends: Mapping[int, int],
        checkpoints: Mapping[int, CheckpointFacts],
        records: int | None,
    ) -> list[PartitionScan]:
        """A scan of the last ``records`` of each partition; None: of all of them."""
        return [
            PartitionScan(
                facts.topic,
                partition,
                start=start,
                first=start if records is None else max(start, ends[partition] - records),
                end=ends[partition],
                known=_usable(checkpoints.get(partition), facts),
                prove=partial(self._claim, facts.topic, partition),
            )
            for partition, start in sorted(starts.items())
        ]

    def compared(self, checkpoint: CheckpointFacts, start: int, end: int) -> CheckpointFacts:
        """With whether the log holds the record that the checkpoint ends with."""
        position, last = checkpoint.position, checkpoint.position.next_offset - 1
        if not start <= last < end:
            return checkpoint
        expected = (position.epoch, position.writer, position.next_sequence - 1)
        with suppress(LogError):
            found = self._at(checkpoint.topic, checkpoint.partition, last)
            header = None if found is None else found[1]
            meets = header is not None and expected == _writer_and_place(header)
            checkpoint = replace(checkpoint, meets=meets)
        return checkpoint

    def _claim(
        self, topic: str, partition: int, offset: int, epoch: int, writer: bytes
    ) -> Claim | None:
        with suppress(LogError):
            found = self._at(topic, partition, offset)
            if found is not None:
                record, header = found
                same = (header.kind, header.epoch, header.writer) == (Kind.CLAIM, epoch, writer)
                return claim_in(record, header) if same else None
        return None

    def _at(self, topic: str, partition: int, offset: int) -> tuple[Message, Header] | None:
        record = self._single.at(topic, partition, offset)
        header = None if record is None else header_of(record)
        return None if record is None or header is None else (record, header)


def _writer_and_place(header: Header) -> tuple[int, bytes, int]:
    return header.epoch, header.writer, header.sequence


def _usable(checkpoint: CheckpointFacts | None, facts: TopicFacts) -> LogPosition | None:
    """The checkpoint's position, if it is of this very log."""
    if checkpoint is None or not checkpoint.meets or checkpoint.topic_id != facts.topic_id:
        return None
    return checkpoint.position
