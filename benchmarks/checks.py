"""Whether both sides of a pair did the same work: equal records, equal rows."""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple, cast

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

HEADER: Final = Struct(">BBHHIQQqq8s16s8s")
EVENT: Final = 1


class Unequal(Exception):
    """The two sides of a pair did not do the same work; the figures mean nothing."""


class Record(NamedTuple):
    """What must be equal in a record; the rest is the writer's own: term, ids, places, times."""

    partition: int
    value: bytes
    place: tuple[int, int]
    """Index and count within the append."""
    version: int
    fingerprint: bytes


def streams_of(kafka: str, topic: str, partitions: int) -> dict[bytes, list[Record]]:
    """The events of each stream in a topic, in order."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "checks"})
    where = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(partitions)]
    left = sum(consumer.get_watermark_offsets(one, cached=False)[1] for one in where)
    consumer.assign(where)
    streams: dict[bytes, list[Record]] = {}
    while left:
        for message in consumer.consume(min(left, 10_000), 1.0):
            if message.error() is not None:
                raise RuntimeError(str(message.error()))
            left -= 1
            headers = cast("list[tuple[str, bytes]]", message.headers())
            _, kind, index, count, _, _, version, _, _, _, _, print_ = HEADER.unpack(headers[0][1])
            if kind == EVENT:
                record = Record(
                    message.partition() or 0,
                    message.value() or b"",
                    (index, count),
                    version,
                    print_,
                )
                streams.setdefault(message.key() or b"", []).append(record)
    consumer.close()
    return streams


def equal_records(kafka: str, ours: str, floor: str, partitions: int) -> int:
    """The number of events in each of the two topics.

    Raises:
        Unequal: They do not hold the same events in the same order of each stream.
    """
    found = streams_of(kafka, ours, partitions)
    if found != streams_of(kafka, floor, partitions):
        raise Unequal(f"the topics {ours} and {floor} do not hold the same events")
    return sum(map(len, found.values()))


def equal_rows(ours: str, floor: str) -> int:
    """The number of rows in the balances of each of the two databases.

    Raises:
        Unequal: They are not the same.
    """
    first, second = _balances(ours), _balances(floor)
    if first != second:
        raise Unequal("the two read models differ")
    return len(first)


def _balances(postgres: str) -> Sequence[tuple[object, ...]]:
    query = "SELECT account, balance, movements, last_booked FROM balances ORDER BY account"
    with psycopg.connect(postgres) as db:
        return db.execute(query).fetchall()
