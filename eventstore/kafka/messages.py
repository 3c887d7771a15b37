"""Kafka records and what they mean: events out of records, records out of events.

A value is Confluent's wire format: a zero byte, the schema's id in four bytes, the Avro body;
so every Kafka tool that knows the schemas can read it. Whether a record is an event at all
is for the reader's rule to say, by its header alone.
"""

import json
import struct
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple, Protocol, TypeAlias, cast
from uuid import UUID

from confluent_kafka import Message

from eventstore.errors import (
    DecodingError,
    EventStoreError,
    UndecodableEvent,
    UnknownEventName,
    UnknownRecord,
)
from eventstore.events import Event
from eventstore.kafka.header import HEADER, STRUCT, Header, is_known, unpack
from eventstore.store import Recorded

PREFIX: Final = struct.Struct(">BI")
"""The five bytes before the Avro body: zero, and the schema's id."""

LogRecord: TypeAlias = tuple[int, Header, Message]
"""A record of ours as it was read: its offset, its header, and the message itself."""


class RegisteredSchema(NamedTuple):
    """A schema that the schemas topic holds."""

    id: int
    """The offset of its first record there, plus one."""
    sha256: bytes
    """SHA-256 of the canonical schema."""
    canonical: str
    """The schema as canonical JSON."""


class Schemas(Protocol):
    """What encoding and decoding ask of the registry of schemas."""

    def id_of(self, sha256: bytes) -> int:
        """The id of the schema with this SHA-256, which must be registered."""
        ...

    def by_fingerprint(self, fingerprint: bytes) -> RegisteredSchema:
        """The schema that the 8 bytes in an event's header name."""
        ...


def timestamp_of(time: int) -> int:
    """The record's timestamp in ms for an event at ``time`` in µs.

    librdkafka takes 0 for *now* and -1 for *none*, so these two are moved by one; the header's
    µs are the truth.
    """
    timestamp = time // 1_000
    return {0: 1, -1: -2}.get(timestamp, timestamp)


def header_of(message: Message) -> Header | None:
    """The message's `foldlog` header; None: a foreign record, without any.

    Raises:
        UnknownRecord: It has our header, but not as layout 1: of another layout, kind or size, or
            more than once. It could be an event, so no reader may pass over it.
    """
    # The stubs allow a dict, as produce() does; what is read is always a list of pairs.
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    if not headers:
        return None
    values = [value for name, value in headers if name == HEADER]
    if not values:
        return None
    value = values[0]
    if len(values) == 1 and value is not None and len(value) == STRUCT.size:
        header = unpack(value)
        if is_known(header):
            return header
    raise _unknown(message, values)


def _unknown(message: Message, values: list[bytes | None]) -> UnknownRecord:
    value = values[0]
    if len(values) > 1:
        found = f"{len(values)} headers {HEADER!r}"
    elif value is None or len(value) < 2:  # noqa: PLR2004
        found = f"a header {HEADER!r} of {len(value or b'')} bytes"
    else:
        found = f"layout {value[0]}, kind {value[1]} in {len(value)} bytes"
    return UnknownRecord(
        message.topic() or "", message.partition() or 0, message.offset() or 0, found
    )


def event_id(header: Header) -> str:
    """The id of the event with this header: its append id and its index."""
    return f"{UUID(bytes=header.append)}:{header.index}"


class Encoder:
    """Events to record values; their schemas must be registered."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._prefixes: dict[type[Event], bytes] = {}

    def encode(self, event: Event) -> bytes:
        """The record's value.

        Raises:
            EncodingError: The event does not fit its schema.
        """
        event_type = type(event)
        prefix = self._prefixes.get(event_type)
        if prefix is None:
            prefix = PREFIX.pack(0, self._schemas.id_of(event_type.codec.sha256))
            self._prefixes[event_type] = prefix
        return prefix + event_type.codec.encode(event)


class _Entry(NamedTuple):
    """How values of one schema are read."""

    prefix: bytes
    decode: Callable[[bytes], Event]


class Decoder:
    """Record values to events, by the fingerprint in their header.

    ``only``: events of other classes are passed over without being decoded.
    """

    def __init__(
        self,
        event_types: Collection[type[Event]],
        schemas: Schemas,
        *,
        only: Collection[type[Event]] | None = None,
    ) -> None:
        self._schemas = schemas
        self._types = {event_type.event_name: event_type for event_type in event_types}
        self._wanted = set(event_types if only is None else only)
        self._entries: dict[bytes, _Entry | None] = {}

    def decode(
        self, topic: str, partition: int, records: Iterable[LogRecord]
    ) -> list[Recorded[Event]]:
        """The events in these valid records of one partition, in order.

        Raises:
            UndecodableEvent: A value is not what its header's fingerprint says.
        """
        entries = self._entries
        recorded: list[Recorded[Event]] = []
        add = recorded.append
        for offset, header, message in records:
            _, _, index, count, _, _, version, time, _, _, append, fingerprint = header
            try:
                entry = entries[fingerprint]
            except KeyError:
                entry = self._learn(topic, partition, offset, fingerprint)
            if entry is None:
                continue
            prefix, decode = entry
            key, value = message.key(), message.value()
            try:
                if key is None or value is None or not value.startswith(prefix):
                    raise DecodingError("event", _mismatch(prefix, value))
                add(
                    Recorded(
                        decode(value[5:]),
                        key.decode(),
                        version,
                        time,
                        topic,
                        partition,
                        offset,
                        append,
                        index,
                        count,
                    )
                )
            except ValueError as error:
                raise UndecodableEvent(topic, partition, offset, str(error)) from error
        return recorded

    def _learn(self, topic: str, partition: int, offset: int, fingerprint: bytes) -> _Entry | None:
        """Find out how values with this fingerprint are read, once."""
        try:
            entry = self._entry(fingerprint)
        except EventStoreError as error:
            raise UndecodableEvent(topic, partition, offset, str(error)) from error
        self._entries[fingerprint] = entry
        return entry

    def _entry(self, fingerprint: bytes) -> _Entry | None:
        schema = self._schemas.by_fingerprint(fingerprint)
        name = event_name(schema)
        event_type = self._types.get(name)
        if event_type is None:
            raise UnknownEventName(name, list(self._types))
        if event_type not in self._wanted:
            return None
        codec = event_type.codec
        own = codec.sha256 == schema.sha256
        decode = codec.decode if own else codec.decoder_for(json.loads(schema.canonical))
        return _Entry(PREFIX.pack(0, schema.id), decode)


def event_name(schema: RegisteredSchema) -> str:
    """The stored name of the events that are written with this schema."""
    declared = json.loads(schema.canonical)
    namespace, name = declared.get("namespace"), str(declared["name"])
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _mismatch(prefix: bytes, value: bytes | None) -> str:
    expected = PREFIX.unpack(prefix)[1]
    if value is None or len(value) < PREFIX.size:
        return f"a value of {len(value or b'')} bytes instead of schema id {expected} and a body"
    zero, found = PREFIX.unpack_from(value)
    return f"schema id {found} after {zero:#04x}, where the header's fingerprint names {expected}"
