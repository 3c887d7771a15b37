"""The registry of schemas: a topic of one partition, kept for ever, on which all agree.

A record's key is the SHA-256 of a canonical schema, its value the schema. A schema's id is the
offset of its first record plus one: two processes that register it at once both write it, both
read the log, and both find the first. So no lock is needed, and no database.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from eventstore.avro.codec import EventCodec
from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import (
    ConfigurationError,
    SchemaNotFound,
    SchemasLost,
    UnreadablePartition,
)
from eventstore.kafka._admin import Admin
from eventstore.kafka.messages import RegisteredSchema
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics

SCHEMAS_TOPIC: Final = "foldlog.schemas"


class SchemaTable:
    """What the records of the schemas topic say, read in order."""

    def __init__(self) -> None:
        self._by_sha256: dict[bytes, RegisteredSchema] = {}
        self._by_fingerprint: dict[bytes, RegisteredSchema] = {}

    def learn(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take one record; one that is no schema of a record, or has another's key, is ignored.

        Whoever may write to the topic must not be able to stop all who read it.
        """
        if key is None or value is None or hashlib.sha256(value).digest() != key:
            return
        canonical = _record_schema(value)
        if canonical is None:
            return
        schema = RegisteredSchema(offset + 1, key, canonical)
        if self._by_sha256.setdefault(key, schema) is schema:
            self._by_fingerprint.setdefault(key[:8], schema)

    def by_sha256(self, sha256: bytes) -> RegisteredSchema | None:
        """The schema with this SHA-256; None: it is not registered."""
        return self._by_sha256.get(sha256)

    def by_fingerprint(self, fingerprint: bytes) -> RegisteredSchema | None:
        """The schema whose SHA-256 begins so; None: it is not registered."""
        return self._by_fingerprint.get(fingerprint)


def _record_schema(value: bytes) -> str | None:
    """The value as text, if it can be the schema of a record; None: it cannot."""
    try:
        canonical = value.decode()
        declared: Any = json.loads(canonical)
    except (ValueError, RecursionError):
        return None
    match declared:
        case {"type": "record", "name": str(), "fields": [*_]}:
            return canonical
        case _:
            return None


class SchemaRegistry:
    """Schemas and their ids, from the schemas topic; safe to use from several threads."""

    def __init__(self, settings: KafkaSettings, topics: Topics) -> None:
        self._settings = settings
        self._topics = topics
        self._admin = Admin(settings)
        self._table = SchemaTable()
        self._next_offset = 0
        self._lock = threading.Lock()

    def register(self, codecs: Iterable[EventCodec[Any]]) -> None:
        """Register the schemas of these codecs that are not registered, and learn their ids.

        Raises:
            ConfigurationError: Kafka cannot be reached, or refuses the records.
            TopicError: The schemas topic could lose schemas, or is not the one that was recorded.
            SchemasLost, UnreadablePartition: It has lost some, or cannot be read.
        """
        with self._lock:
            self._topics.ensure(SCHEMAS_TOPIC, partitions=1)
            self._read_to_end()
            missing = {
                codec.sha256: codec.canonical
                for codec in codecs
                if self._table.by_sha256(codec.sha256) is None
            }
            if missing:
                self._produce(missing)
                self._read_to_end()

    def id_of(self, sha256: bytes) -> int:
        """The id of the schema with this SHA-256.

        Raises:
            SchemaNotFound: It is not registered.
        """
        schema = self._table.by_sha256(sha256)
        if schema is None:
            raise SchemaNotFound(sha256[:8], SCHEMAS_TOPIC)
        return schema.id

    def by_fingerprint(self, fingerprint: bytes) -> RegisteredSchema:
        """The schema that the 8 bytes in an event's header name.

        Raises:
            SchemaNotFound: It is not registered, not by other processes either.
            SchemasLost, UnreadablePartition: The schemas topic has lost some, or cannot be read.
        """
        schema = self._table.by_fingerprint(fingerprint)
        if schema is None:
            with self._lock:
                self._read_to_end()
            schema = self._table.by_fingerprint(fingerprint)
        if schema is None:
            raise SchemaNotFound(fingerprint, SCHEMAS_TOPIC)
        return schema

    def _produce(self, schemas: dict[bytes, str]) -> None:
        errors: list[KafkaError] = []

        def note(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)

        producer = self._settings.producer(idempotent=False)  # the first record counts
        for sha256, canonical in schemas.items():
            producer.produce(SCHEMAS_TOPIC, canonical, sha256, partition=0, on_delivery=note)
        left = producer.flush(CONNECT_SECONDS)
        if left or errors:
            why = errors[0].str() if errors else f"no answer within {CONNECT_SECONDS:g} s"
            raise ConfigurationError(
                f"expected {len(schemas)} schemas to be registered in {SCHEMAS_TOPIC!r} at "
                f"{self._settings.bootstrap}; found {why}: check that this user may write there"
            )

    def _read_to_end(self) -> None:
        end = self._admin.ends(SCHEMAS_TOPIC)[0]
        if self._next_offset >= end:
            return
        consumer = self._settings.consumer()
        try:
            consumer.assign([TopicPartition(SCHEMAS_TOPIC, 0, self._next_offset)])
            self._read(consumer, end)
        finally:
            consumer.close()

    def _read(self, consumer: Consumer, end: int) -> None:
        deadline = time.monotonic() + CONNECT_SECONDS
        while self._next_offset < end:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"expected to read {SCHEMAS_TOPIC!r} up to offset {end} within "
                    f"{CONNECT_SECONDS:g} s; came to {self._next_offset}: look at the brokers"
                )
            message = consumer.poll(0.5)
            if message is None:
                continue
            offset = message.offset() or 0
            error = message.error()
            if error is None:
                self._table.learn(offset, message.key(), message.value())
                self._next_offset = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._next_offset = max(self._next_offset, offset)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
                raise SchemasLost(SCHEMAS_TOPIC, self._admin.starts(SCHEMAS_TOPIC)[0])
            elif not error.retriable():
                raise UnreadablePartition(SCHEMAS_TOPIC, 0, error.str())
