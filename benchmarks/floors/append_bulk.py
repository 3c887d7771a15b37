"""Ten-event appends by hand: encode, pack a header, produce idempotently, count the reports.

It imports nothing of Foldlog, proves nothing, and knows no stream but those that it makes up. The
records are the same as those of `benchmarks/ours/append_bulk.py`, which is checked.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from confluent_kafka import KafkaError, Message, Producer, murmur2
from fastavro import parse_schema, schemaless_writer  # pyright: ignore[reportUnknownVariableType]

HEADER = Struct(">BBHHIQQqq8s16s8s")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BOOKED = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
OPENED, DEPOSITED, WITHDRAWN = "account_opened", "money_deposited", "money_withdrawn"
MONEY = [("transfer", "string"), ("amount", "long"), ("booked", "long"), ("text", "string")]
FIELDS = {OPENED: [("owner", "string")], DEPOSITED: MONEY, WITHDRAWN: MONEY}
PRODUCER = {"enable.idempotence": True, "acks": "all", "max.in.flight": 5, "linger.ms": 1}


class Job(NamedTuple):
    """What the runner asks for."""

    kafka: str
    topic: str
    bare_topic: str
    partitions: int
    schemas: dict[str, list[Any]]
    """Of each event: the id of its schema, and 8 bytes of its fingerprint, in hex."""
    prefix: str
    appends: int
    events: int
    streams: int
    warm: int
    """Appends before the clock starts."""
    in_flight: int


class Kind(NamedTuple):
    """How one kind of event is written."""

    prefix: bytes
    schema: Any
    fingerprint: bytes
    encode: Callable[[dict[str, Any]], dict[str, Any]]


def event(n: int, version: int) -> tuple[str, dict[str, Any]]:
    """The event number ``n``, as its stream's ``version``."""
    if version == 1:
        return OPENED, {"owner": f"Owner {n % 1000}"}
    transfer = UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)
    booked = BOOKED + n * 1_000_003 * MICROSECOND
    money = {"transfer": transfer, "amount": n % 997 + 1, "booked": booked}
    return (DEPOSITED, WITHDRAWN)[version % 2], {**money, "text": f"payment {n % 1000}"}


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """An opening holds Avro primitives already."""
    return values


def money(values: dict[str, Any]) -> dict[str, Any]:
    """Turn UUID and time into what Avro holds."""
    return {
        "transfer": str(values["transfer"]),
        "amount": values["amount"],
        "booked": (values["booked"] - EPOCH) // MICROSECOND,
        "text": values["text"],
    }


def kind(name: str, schema_id: int, fingerprint: str) -> Kind:
    """How events of this name are written."""
    fields = [{"name": field, "type": avro} for field, avro in FIELDS[name]]
    schema = parse_schema({"type": "record", "name": name, "fields": fields})
    prefix = b"\0" + schema_id.to_bytes(4, "big")
    return Kind(prefix, schema, bytes.fromhex(fingerprint), plain if name == OPENED else money)


class Prepared(NamedTuple):
    """An append before it is encoded."""

    stream: str
    events: list[tuple[Kind, dict[str, Any]]]
    expected: int


def prepare(job: Job) -> list[Prepared]:
    """All appends."""
    kinds = {name: kind(name, *schema) for name, schema in job.schemas.items()}
    prepared: list[Prepared] = []
    for number in range(job.appends):
        expected = number // job.streams * job.events
        made = [event(number * job.events + i, expected + i + 1) for i in range(job.events)]
        stream = f"{job.prefix}{number % job.streams}"
        prepared.append(
            Prepared(stream, [(kinds[name], values) for name, values in made], expected)
        )
    return prepared


class Floor:
    """Produces appends, at most so many records in flight."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.producer = Producer({**PRODUCER, "bootstrap.servers": job.kafka})
        self.left = 0
        self.room = job.in_flight * job.events

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Take one report."""
        if error is not None:
            raise RuntimeError(error.str())
        self.left -= 1

    def run(self, appends: list[Prepared]) -> float:
        """Produce all; seconds until the last report."""
        produce, poll, delivered = self.producer.produce, self.producer.poll, self.delivered
        topic, partitions, pack, writer = self.job.topic, self.job.partitions, HEADER.pack, b"w" * 8
        started = time.perf_counter()
        for stream, events, expected in appends:
            key, count, now = stream.encode(), len(events), time.time_ns() // 1000
            partition, append = murmur2(key, partitions), uuid4().bytes
            for index, (one, values) in enumerate(events):
                version = expected + index + 1
                body = BytesIO()
                schemaless_writer(body, one.schema, one.encode(values))
                header = pack(
                    1,
                    1,
                    index,
                    count,
                    1,
                    version,
                    version,
                    now,
                    -1,
                    writer,
                    append,
                    one.fingerprint,
                )
                headers: list[tuple[str, str | bytes | None]] = [("foldlog", header)]
                value = one.prefix + body.getvalue()
                produce(topic, value, key, partition, delivered, None, 0, headers)
            self.left += count
            poll(0)
            while self.left > self.room - count:
                poll(0.01)
        while self.left:
            poll(0.01)
        return time.perf_counter() - started

    def bare(self, appends: list[Prepared]) -> float:
        """Produce as many records without header, encoding or callback; seconds."""
        produce, topic = self.producer.produce, self.job.bare_topic
        values = [b"v" * 65 for _ in appends[0].events]
        started = time.perf_counter()
        for number, (stream, _, _) in enumerate(appends):
            key, partition = stream.encode(), number % self.job.partitions
            for value in values:
                produce(topic, value, key, partition)
            self.producer.poll(0)
            while len(self.producer) > 50_000:
                self.producer.poll(0.01)
        self.producer.flush()
        return time.perf_counter() - started


def main() -> None:
    """Run one job; print events per second."""
    job = Job(**json.loads(sys.argv[1]))
    appends = prepare(job)
    gc.freeze()  # what was prepared is not the work that is measured
    floor = Floor(job)
    floor.run(appends[: job.warm])
    measured = appends[job.warm :]
    events = len(measured) * job.events
    seconds, bare = floor.run(measured), floor.bare(measured)
    print(json.dumps({"value": events / seconds, "bare": events / bare}))


if __name__ == "__main__":
    main()
