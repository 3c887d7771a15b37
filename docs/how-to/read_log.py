"""Reads the events of a topic with nothing of Foldlog: what a reader in any language does.

Usage: read_log.py KAFKA TOPIC
"""

import hashlib
import io
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition

HEADER = struct.Struct(">BBHHIQQqq8s16s8s")
EVENT, CLAIM, SEAL = 1, 2, 3


class Rule:
    """The reader's rule on one partition: takes its records in order, gives what became valid."""

    def __init__(self) -> None:
        self.epoch, self.writer, self.sequence = 0, b"", 1
        self.sealed = False
        self.append: list[Any] = []
        self.append_is = (b"", 0)

    def read(self, header: tuple[Any, ...], record: Any) -> list[Any]:
        """The append that this record completes; mostly nothing, or the record itself."""
        layout, kind, index, count, epoch, sequence, *_, writer, append, _ = header
        if layout != 1 or kind not in {EVENT, CLAIM, SEAL}:
            raise SystemExit(f"layout {layout}, kind {kind}: this reader is too old for this log")
        if self.sealed:
            return []
        if kind == CLAIM:
            if epoch == self.epoch + 1:
                self.epoch, self.writer, self.sequence, self.append = epoch, writer, 1, []
            return []
        if (epoch, writer, sequence) != (self.epoch, self.writer, self.sequence):
            return []  # dead, and what is being collected stays
        self.sequence += 1
        self.sealed = kind == SEAL
        if index == 0 or self.sealed:
            self.append, self.append_is = [], (append, count)
        if self.sealed or index != len(self.append) or (append, count) != self.append_is:
            self.append = []
            return []
        self.append.append(record)
        if len(self.append) != count:
            return []
        valid, self.append = self.append, []
        return valid


def records(kafka: str, topic: str) -> Iterator[Any]:
    """Every record of a topic, in the order of each partition, to its ends as they are now."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    left = set(partitions)
    while left:
        message = consumer.poll(10)
        if message is None:
            raise SystemExit("nothing came for 10 s")
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - so the client names it
            left.discard(message.partition())
        else:
            raise SystemExit(str(error))
    consumer.close()


def schemas(kafka: str) -> dict[bytes, Any]:
    """The schemas topic, by the first 8 bytes of each schema's SHA-256."""
    found: dict[bytes, Any] = {}
    for message in records(kafka, "foldlog.schemas"):
        if hashlib.sha256(message.value()).digest() == message.key():
            found.setdefault(message.key()[:8], fastavro.parse_schema(json.loads(message.value())))
    return found


def events(kafka: str, topic: str) -> Iterator[dict[str, Any]]:
    """The valid events of a topic."""
    known = schemas(kafka)
    rules: dict[int, Rule] = {}
    for message in records(kafka, topic):
        header = dict(message.headers() or []).get("foldlog")
        if header is None:
            continue  # a foreign record: dead
        fields = HEADER.unpack(header)
        rule = rules.setdefault(message.partition(), Rule())
        for at, found in rule.read(fields, (fields, message)):
            schema = known[at[-1]]
            body = io.BytesIO(found.value()[5:])  # after a zero byte and the schema's id
            yield {
                "stream": found.key().decode(),
                "version": at[6],
                "event": schema["name"],
                "data": fastavro.schemaless_reader(body, schema, None),
            }


if __name__ == "__main__":
    for event in events(*sys.argv[1:]):
        print(json.dumps(event, default=str))
