"""The log as it is, and the reader's rule once more, from `docs/reference/log-format.md` alone.

Nothing of the library is used here: what it writes is judged by what the format says.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

LAYOUT: Final = struct.Struct(">BBHHIQQqq8s16s8s")
EVENT, CLAIM, SEAL = 1, 2, 3
SECONDS: Final = 60.0


class Raw(NamedTuple):
    """One record of one partition."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Header(NamedTuple):
    """The header ``foldlog``, field by field as in the format's table."""

    layout: int
    kind: int
    place: int
    of: int
    epoch: int
    sequence: int
    version: int
    time: int
    previous: int
    writer: bytes
    append: bytes
    fingerprint: bytes


class Event(NamedTuple):
    """A record that is an event by the rule."""

    partition: int
    offset: int
    stream: str
    header: Header
    value: bytes


@dataclass
class Log:
    """What the rule makes of all partitions."""

    appends: list[list[Event]] = field(default_factory=list[list[Event]])
    """Each append's events in order; appends of one partition in the order of the log."""
    dead: Counter[str] = field(default_factory=Counter[str])
    claims: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """The offset of each accepted claim, by partition and epoch."""
    faults: list[str] = field(default_factory=list[str])
    """What no log of ours may hold."""
    ends: dict[int, int] = field(default_factory=dict[int, int])
    """The offset after the last record of each partition."""


def dump(bootstrap: str, topic: str, partitions: Iterable[int]) -> Iterator[Raw]:
    """All records of these partitions, up to each one's end as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "faults-dump",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "check.crcs": True,
            "log_level": 0,
        }
    )
    try:
        for partition in partitions:
            yield from _records(consumer, topic, partition)
    finally:
        consumer.close()


def _records(consumer: Consumer, topic: str, partition: int) -> Iterator[Raw]:
    where = TopicPartition(topic, partition, OFFSET_BEGINNING)
    _, end = consumer.get_watermark_offsets(where, timeout=SECONDS, cached=False)
    consumer.assign([where])
    offset = -1
    while offset + 1 < end:
        message = consumer.poll(SECONDS)
        if message is None:
            raise AssertionError(f"expected {topic}[{partition}] up to {end}; got to {offset}")
        if message.error() is not None:
            continue
        offset = message.offset() or 0
        headers = [(name, bytes(value or b"")) for name, value in _headers(message.headers())]
        yield Raw(partition, offset, message.key() or b"", message.value(), headers)
    consumer.unassign()


def _headers(found: Any) -> Iterable[tuple[str, bytes]]:
    return found or ()


def store(records: Iterable[Raw], file: Path) -> None:
    """Write a dump as JSON lines, bytes in hex."""
    with file.open("w", encoding="ascii") as opened:
        for partition, offset, key, value, headers in records:
            line = {
                "partition": partition,
                "offset": offset,
                "key": key.hex(),
                "value": None if value is None else value.hex(),
                "headers": [(name, each.hex()) for name, each in headers],
            }
            opened.write(json.dumps(line) + "\n")


def load(file: Path) -> Iterator[Raw]:
    """What `store` wrote."""
    with file.open(encoding="ascii") as opened:
        for line in opened:
            each: Mapping[str, Any] = json.loads(line)
            value = each["value"]
            yield Raw(
                each["partition"],
                each["offset"],
                bytes.fromhex(each["key"]),
                None if value is None else bytes.fromhex(value),
                [(name, bytes.fromhex(header)) for name, header in each["headers"]],
            )


def read(records: Iterable[Raw]) -> Log:
    """Apply the rule; the records of each partition come in order."""
    log = Log()
    rules: dict[int, _Rule] = {}
    for raw in records:
        if log.ends.get(raw.partition, 0) > raw.offset:
            log.faults.append(f"offset {raw.offset} of partition {raw.partition} comes twice")
        log.ends[raw.partition] = raw.offset + 1
        rules.setdefault(raw.partition, _Rule(log)).take(raw)
    return log


class _Rule:
    """The rule's state on one partition."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._epoch = 0
        self._writer = b""
        self._awaited = 0
        self._sealed = False
        self._gathered: list[Event] = []

    def take(self, raw: Raw) -> None:
        found = [value for name, value in raw.headers if name == "foldlog"]
        if not found:
            self._log.dead["foreign"] += 1
            return
        if len(found) > 1 or len(found[0]) != LAYOUT.size:
            self._log.faults.append(f"a header that no reader knows at {_where(raw)}")
            return
        header = Header(*LAYOUT.unpack(found[0]))
        if header.layout != 1 or header.kind not in {EVENT, CLAIM, SEAL}:
            self._log.faults.append(f"a layout or kind that no reader knows at {_where(raw)}")
        elif header.kind == CLAIM:
            self._claim(raw, header)
        elif header.kind == SEAL:
            self._seal(header)
        else:
            self._event(
                Event(raw.partition, raw.offset, raw.key.decode(), header, raw.value or b"")
            )

    def _claim(self, raw: Raw, header: Header) -> None:
        if self._sealed or header.epoch != self._epoch + 1:
            self._log.dead["claim"] += 1
            return
        self._drop("cut short")
        self._epoch, self._writer, self._awaited = header.epoch, header.writer, 1
        self._log.claims[raw.partition, header.epoch] = raw.offset

    def _seal(self, header: Header) -> None:
        if self._sealed or not self._is_live(header):
            self._log.dead["seal"] += 1
            return
        self._drop("cut short")
        self._sealed = True

    def _is_live(self, header: Header) -> bool:
        named = (header.epoch, header.writer, header.sequence)
        return self._epoch > 0 and named == (self._epoch, self._writer, self._awaited)

    def _event(self, event: Event) -> None:
        header = event.header
        if self._sealed or not self._is_live(header):
            current = header.epoch == self._epoch and header.writer == self._writer
            self._log.dead["out of sequence" if current else "of another writer"] += 1
            return
        self._awaited += 1
        if header.place != len(self._gathered) or not self._goes_on(header):
            self._log.faults.append(f"an append is broken at {event.partition}@{event.offset}")
            self._drop("broken")
            if header.place:
                self._log.dead["broken"] += 1
                return
        self._gathered.append(event)
        if header.place == header.of - 1:
            self._log.appends.append(self._gathered)
            self._gathered = []

    def _goes_on(self, header: Header) -> bool:
        if not self._gathered:
            return header.of > 0
        first = self._gathered[0].header
        return (header.append, header.of) == (first.append, first.of)

    def _drop(self, why: str) -> None:
        if self._gathered:
            self._log.dead[why] += len(self._gathered)
            self._gathered = []


def _where(raw: Raw) -> str:
    return f"{raw.partition}@{raw.offset}"


def append_id_of(event: Event) -> str:
    """The append id, as histories write it."""
    return UUID(bytes=event.header.append).hex


def amount_of(event: Event) -> int | None:
    """The amount in the Avro body, which is one ``long``; None: it is not."""
    body, number, shift = event.value[5:], 0, 0
    if event.value[:1] != b"\0":
        return None
    for at, byte in enumerate(body):
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1) if at + 1 == len(body) else None
    return None


def body_of(amount: int) -> bytes:
    """The Avro body with this amount."""
    rest, body = amount << 1, bytearray()
    while rest > 0x7F:
        body.append(rest & 0x7F | 0x80)
        rest >>= 7
    body.append(rest)
    return bytes(body)
