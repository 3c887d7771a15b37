"""Reads partitions from where their scans begin to their ends as they are now."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventstore.defaults import CONNECT_SECONDS
from eventstore.kafka.doctor._scan import Scan
from eventstore.kafka.settings import KafkaSettings

AT_ONCE: Final = 1_000
"""Records taken from the client at once."""
EOF: Final = KafkaError._PARTITION_EOF  # noqa: SLF001

Key = tuple[str, int]
Tell = Callable[[int, int], None]
"""To be told how many of how many records were read."""


def scan(settings: KafkaSettings, scans: Mapping[Key, Scan], tell: Tell) -> dict[Key, str]:
    """Let each scan take its records; gives those that did not come to their end, and why.

    Memory is bounded however much there is: the client reads ahead by a few megabytes.
    """
    open_scans = {key: each for key, each in scans.items() if each.next_offset < each.end}
    if not open_scans:
        return {}
    consumer = settings.consumer()
    try:
        consumer.assign(
            [TopicPartition(*key, each.next_offset) for key, each in open_scans.items()]
        )
        return _read(consumer, open_scans, tell)
    finally:
        consumer.close()


def _read(consumer: Consumer, scans: dict[Key, Scan], tell: Tell) -> dict[Key, str]:
    total = sum(each.end - each.next_offset for each in scans.values())
    left = dict(scans)
    failed: dict[Key, str] = {}
    moved = time.monotonic()
    while left:
        messages = consumer.consume(AT_ONCE, 0.2)
        if messages:
            moved = time.monotonic()
        elif time.monotonic() - moved > CONNECT_SECONDS:
            why = f"no record within {CONNECT_SECONDS:g} s"
            return failed | dict.fromkeys(left, why)
        for message in messages:
            _take(message, left, failed)
        for key in [key for key, each in left.items() if each.next_offset >= each.end]:
            _stop(consumer, key, left)
        for key in failed.keys() & left.keys():
            _stop(consumer, key, left)
        tell(total - sum(each.end - each.next_offset for each in left.values()), total)
    return failed


def _take(message: Message, left: Mapping[Key, Scan], failed: dict[Key, str]) -> None:
    key = (message.topic() or "", message.partition() or 0)
    scan = left.get(key)
    error = message.error()
    if scan is None:
        return
    if error is None:
        scan.take(message)
    elif error.code() == EOF:
        scan.next_offset = max(scan.next_offset, message.offset() or 0)
    elif not error.retriable():
        failed[key] = error.str()


def _stop(consumer: Consumer, key: Key, left: dict[Key, Scan]) -> None:
    """Fetch no more of a partition: what is written meanwhile would come without end."""
    del left[key]
    consumer.incremental_unassign([TopicPartition(*key)])
