"""One event at a time by hand: produce what was prepared, wait for its delivery report.

It imports nothing of Foldlog and encodes nothing: it is the client and the broker alone. The
records are the same as those of `benchmarks/ours/append_single.py`, but for what only a writer
that knows its streams can put into the header.
"""

import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from confluent_kafka import KafkaError, Message, Producer, murmur2
from fastavro import parse_schema, schemaless_writer  # pyright: ignore[reportUnknownVariableType]

HEADER: Final = Struct(">BBHHIQQqq8s16s8s")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BOOKED: Final = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
OPENED, DEPOSITED, WITHDRAWN = "account_opened", "money_deposited", "money_withdrawn"
MONEY: Final = [("transfer", "string"), ("amount", "long"), ("booked", "long"), ("text", "string")]
FIELDS: Final = {OPENED: [("owner", "string")], DEPOSITED: MONEY, WITHDRAWN: MONEY}
PRODUCER: Final = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
    "socket.nagle.disable": True,
}


class Job(NamedTuple):
    """What the runner asks for."""

    kafka: str
    topic: str
    partitions: int
    schemas: dict[str, list[Any]]
    """Of each event: the id of its schema, and 8 bytes of its fingerprint, in hex."""
    prefix: str
    appends: int
    streams: int
    warm: int
    """Appends that are not timed."""


class Prepared(NamedTuple):
    """A record, ready to be sent."""

    value: bytes
    key: bytes
    partition: int
    header: bytes


def event(n: int, version: int) -> tuple[str, dict[str, Any]]:
    """The event number ``n``, as its stream's ``version``, in Avro's primitives."""
    if version == 1:
        return OPENED, {"owner": f"Owner {n % 1000}"}
    transfer = UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)
    booked = (BOOKED - EPOCH) // MICROSECOND + n * 1_000_003
    money = {"transfer": str(transfer), "amount": n % 997 + 1, "booked": booked}
    return (DEPOSITED, WITHDRAWN)[version % 2], {**money, "text": f"payment {n % 1000}"}


def prepare(job: Job) -> list[Prepared]:
    """All records."""
    schemas: dict[str, Any] = {}
    for name in job.schemas:
        fields = [{"name": field, "type": avro} for field, avro in FIELDS[name]]
        schemas[name] = parse_schema({"type": "record", "name": name, "fields": fields})
    prepared: list[Prepared] = []
    for number in range(job.appends):
        version = number // job.streams + 1
        name, values = event(number, version)
        schema_id, fingerprint = job.schemas[name]
        body = BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
        body.seek(5)
        schemaless_writer(body, schemas[name], values)
        key = f"{job.prefix}{number % job.streams}".encode()
        header = (1, 1, 0, 1, 1, number + 1, version, 0, -1, b"w" * 8, uuid4().bytes)
        packed = HEADER.pack(*header, bytes.fromhex(fingerprint))
        prepared.append(Prepared(body.getvalue(), key, murmur2(key, job.partitions), packed))
    return prepared


def main() -> None:
    """Run one job; print the median in milliseconds."""
    job = Job(**json.loads(sys.argv[1]))
    producer = Producer({**PRODUCER, "bootstrap.servers": job.kafka})
    left = 0

    def delivered(error: KafkaError | None, _message: Message) -> None:
        nonlocal left
        if error is not None:
            raise RuntimeError(error.str())
        left -= 1

    milliseconds: list[float] = []
    for value, key, partition, header in prepare(job):
        started = time.perf_counter()
        left += 1
        headers: list[tuple[str, str | bytes | None]] = [("foldlog", header)]
        producer.produce(job.topic, value, key, partition, delivered, None, 0, headers)
        while left:
            producer.poll(1.0)
        milliseconds.append((time.perf_counter() - started) * 1000)
    print(json.dumps({"value": statistics.median(milliseconds[job.warm :])}))


if __name__ == "__main__":
    main()
