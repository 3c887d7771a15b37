"""A read model by hand: consume, read the header, decode to dicts, fold, upsert, commit.

It imports nothing of Foldlog. It takes every event that it meets for a valid one, keeps all rows
in memory so that it need not load them, stores no position, and could not go on after a crash.
The dicts hold what the schema says, UUIDs and times among it, as events do.
The rows are the same as those of `benchmarks/ours/catch_up_row.py`, which is checked.
"""

import gc
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from struct import Struct
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from fastavro import parse_schema, schemaless_reader  # pyright: ignore[reportUnknownVariableType]
from pydantic import TypeAdapter

HEADER: Final = Struct(">BBHHIQQqq8s16s8s")
EVENT: Final = 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
OPENED, DEPOSITED, WITHDRAWN = "account_opened", "money_deposited", "money_withdrawn"
MONEY: Final = [("transfer", "string"), ("amount", "long"), ("booked", "long"), ("text", "string")]
FIELDS: Final = {OPENED: [("owner", "string")], DEPOSITED: MONEY, WITHDRAWN: MONEY}
CONSUMER: Final = {
    "group.id": "floor",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 65_536,
}
COMMIT_EVERY: Final = 10_000

# pydantic's core makes UUIDs five times as quickly as the class itself does.
uuids_of = TypeAdapter(list[UUID]).validator.validate_python

TABLE: Final = """
CREATE TABLE balances (account text PRIMARY KEY, balance bigint NOT NULL,
                       movements bigint NOT NULL, last_booked timestamptz)"""
TEMPORARY: Final = "CREATE TEMPORARY TABLE changed (LIKE balances) ON COMMIT DELETE ROWS"
COPY: Final = "COPY changed FROM STDIN (FORMAT binary)"
MERGE: Final = """
INSERT INTO balances SELECT * FROM changed ON CONFLICT (account) DO UPDATE SET
balance = excluded.balance, movements = excluded.movements, last_booked = excluded.last_booked"""


class Job(NamedTuple):
    """What the runner asks for."""

    kafka: str
    postgres: str
    topic: str
    partitions: int
    schemas: dict[str, list[Any]]
    """Of each event: the id of its schema, and 8 bytes of its fingerprint, in hex."""


class Row(NamedTuple):
    """An account's row."""

    balance: int
    movements: int
    last_booked: datetime | None


def array_of(name: str) -> Any:
    """The schema of an array of such events: many bodies are decoded by one call."""
    fields = [{"name": field, "type": avro} for field, avro in FIELDS[name]]
    record = {"type": "record", "name": name, "fields": fields}
    return parse_schema({"type": "array", "items": record})


def count_of(items: int) -> bytes:
    """An array's count, as Avro writes it."""
    left, found = items << 1, bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    found.append(left)
    return bytes(found)


class Floor:
    """Consumes one topic to its end, and keeps its balances."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.consumer = Consumer({**CONSUMER, "bootstrap.servers": job.kafka})
        self.db = psycopg.connect(job.postgres)
        self.db.execute(TABLE)
        self.db.execute(TEMPORARY)
        self.db.execute("SET synchronous_commit = off")
        self.db.commit()
        self.rows: dict[bytes, Row] = {}
        self.names = {bytes.fromhex(print_): name for name, (_, print_) in job.schemas.items()}
        self.arrays = {name: array_of(name) for name in job.schemas}

    def assign(self) -> int:
        """Start at the beginning; the number of records to read."""
        where = [
            TopicPartition(self.job.topic, number, OFFSET_BEGINNING)
            for number in range(self.job.partitions)
        ]
        ends = [self.consumer.get_watermark_offsets(one, cached=False)[1] for one in where]
        self.consumer.assign(where)
        return sum(ends)

    def bare(self) -> tuple[int, float]:
        """Consume all and look at nothing; records, and seconds."""
        started, left = time.perf_counter(), self.assign()
        records = left
        while left:
            left -= len(self.consumer.consume(min(left, COMMIT_EVERY), 1.0))
        return records, time.perf_counter() - started

    def run(self) -> tuple[int, float]:
        """Consume, fold and store all; events, and seconds."""
        started, left = time.perf_counter(), self.assign()
        events = 0
        while left:
            wanted = min(left, COMMIT_EVERY)
            batch: list[Message] = []
            while len(batch) < wanted:
                batch += self.consumer.consume(wanted - len(batch), 1.0)
            left -= wanted
            events += self.apply(batch)
        return events, time.perf_counter() - started

    def apply(self, batch: list[Message]) -> int:
        """Fold and commit one batch; its events."""
        keys: list[bytes] = []
        kinds: list[str] = []
        bodies: dict[str, list[bytes]] = {name: [] for name in self.arrays}
        for message in batch:
            if message.error() is not None:
                raise RuntimeError(str(message.error()))
            headers = cast("list[tuple[str, bytes]]", message.headers())
            fields = HEADER.unpack(headers[0][1])
            if fields[1] == EVENT:
                name = self.names[fields[11]]
                kinds.append(name)
                keys.append(cast("bytes", message.key()))
                bodies[name].append(cast("bytes", message.value())[5:])
        decoded = {name: iter(self.decode(name, found)) for name, found in bodies.items()}
        self.store(self.fold(keys, kinds, decoded))
        return len(keys)

    def decode(self, name: str, bodies: list[bytes]) -> list[dict[str, Any]]:
        """The events of one kind, as dicts."""
        array = BytesIO(b"".join((count_of(len(bodies)), *bodies, b"\0")) if bodies else b"\0")
        rows = cast("list[dict[str, Any]]", schemaless_reader(array, self.arrays[name], None))
        if name != OPENED:
            transfers = uuids_of([values["transfer"] for values in rows])
            for values, transfer in zip(rows, transfers, strict=True):
                values["transfer"] = transfer
                values["booked"] = EPOCH + values["booked"] * MICROSECOND
        return rows

    def fold(self, keys: list[bytes], kinds: list[str], decoded: dict[str, Any]) -> set[bytes]:
        """Change the rows; the keys of those that changed."""
        rows = self.rows
        for key, name in zip(keys, kinds, strict=True):
            values = next(decoded[name])
            if name == OPENED:
                rows[key] = Row(0, 0, None)
                continue
            balance, movements, _ = rows[key]
            amount = values["amount"] if name == DEPOSITED else -values["amount"]
            rows[key] = Row(balance + amount, movements + 1, values["booked"])
        return set(keys)

    def store(self, changed: set[bytes]) -> None:
        """Upsert the rows that changed; commit."""
        with self.db.cursor() as cursor:
            with cursor.copy(COPY) as copy:
                copy.set_types(["text", "int8", "int8", "timestamptz"])
                for key in changed:
                    balance, movements, booked = self.rows[key]
                    copy.write_row((key.decode(), balance, movements, booked))
            cursor.execute(MERGE)
        self.db.commit()


def main() -> None:
    """Run one job; print events per second."""
    floor = Floor(Job(**json.loads(sys.argv[1])))
    records, bare = floor.bare()
    gc.disable()
    events, seconds = floor.run()
    floor.consumer.close()
    floor.db.close()
    print(json.dumps({"value": events / seconds, "bare": records / bare, "events": events}))


if __name__ == "__main__":
    main()
