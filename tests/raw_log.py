"""Reads a topic record by record, as it is, with nothing of ours but the reader's rule."""

from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from eventstore.kafka.header import HEADER, Header, Kind, unpack
from eventstore.kafka.rule import ReaderRule


class RawRecord(NamedTuple):
    """One record of a partition."""

    offset: int
    stream: str
    header: Header | None
    value: bytes | None


def dump(bootstrap: str, topic: str, partitions: int) -> dict[int, list[RawRecord]]:
    """All records of each partition, up to its end as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "raw-dump",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
        }
    )
    try:
        return {number: list(_records(consumer, topic, number)) for number in range(partitions)}
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str, partition: int) -> Iterator[RawRecord]:
    where = TopicPartition(topic, partition, OFFSET_BEGINNING)
    _, end = consumer.get_watermark_offsets(where, timeout=10, cached=False)
    consumer.assign([where])
    offset = -1
    while offset + 1 < end:
        message = consumer.poll(10)
        assert message is not None, f"expected {topic}[{partition}] up to {end}, got to {offset}"
        assert message.error() is None, message.error()
        offset = message.offset() or 0
        headers = dict(message.headers() or [])
        value = headers.get(HEADER)
        header = unpack(value) if isinstance(value, bytes) else None
        yield RawRecord(offset, (message.key() or b"").decode(), header, message.value())
    consumer.unassign()


def valid_events(records: list[RawRecord]) -> list[RawRecord]:
    """Those of one partition's records that are events by the reader's rule."""
    rule: ReaderRule[RawRecord] = ReaderRule()
    valid: list[RawRecord] = []
    for record in records:
        if record.header is None:
            rule.foreign(record.offset)
        else:
            valid.extend(rule.read(record.offset, record.header, record))
    return valid


def all_valid_events(bootstrap: str, topic: str, partitions: int) -> list[RawRecord]:
    """The events of all partitions; asserts that each stream's versions are 1, 2, 3, …"""
    found = [
        event
        for records in dump(bootstrap, topic, partitions).values()
        for event in valid_events(records)
    ]
    versions: dict[str, list[int]] = {}
    for event in found:
        assert event.header is not None
        versions.setdefault(event.stream, []).append(event.header.version)
    for stream, numbers in versions.items():
        assert numbers == list(range(1, len(numbers) + 1)), stream
    return found


def claims(records: list[RawRecord]) -> int:
    """How many claims stand among the records."""
    return sum(each.header is not None and each.header.kind == Kind.CLAIM for each in records)
