"""The number of partitions that a topic had when it was first claimed, as its own log says.

A claim carries it so that a topic that has grown since is noticed also where no database
remembers the number: without PostgreSQL, or with a new one.
"""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Message

from eventstore.kafka._admin import Admin
from eventstore.kafka.header import Header, Kind
from eventstore.kafka.messages import header_of
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.single import SingleReader

FIRST_RECORDS: Final = 100
"""Records read of a partition to find its first claim: only strangers write before it."""


def claimed_partitions(settings: KafkaSettings, admin: Admin, topic: str) -> int | None:
    """The number in the first claim of the first partition that has one; None: there is none.

    Raises:
        UnknownRecord: A record among the first was written by a newer release.
        OffsetGone, UnreadablePartition: The log does not give its first records.
        ConfigurationError: Kafka cannot be reached, or refuses.
    """
    ends = admin.ends(topic)
    starts = admin.starts(topic) if any(ends.values()) else ends
    reader = SingleReader(settings)
    try:
        for partition, start in sorted(starts.items()):
            if start < ends[partition]:
                last = min(start + FIRST_RECORDS, ends[partition]) - 1
                first = reader.run(topic, partition, start, last, key=b"")
                claim = _first_claim(first.values())
                if claim is not None:
                    return claim.count
    finally:
        reader.close()
    return None


def _first_claim(messages: Iterable[Message]) -> Header | None:
    headers = map(header_of, messages)
    return next((each for each in headers if each and each.kind == Kind.CLAIM), None)
