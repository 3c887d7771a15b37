"""Kafka records and what they mean: events out of records, records out of events.

A value is Confluent's wire format: a zero byte, the schema's id in four bytes, the Avro body;
so every Kafka tool that knows the schemas can read it. Whether a record is an event at all
is for the reader's rule to say, by its header alone.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast
from uuid import UUID

from confluent_kafka import Message

from eventstore.avro import EventCodec
from eventstore.errors import UnknownRecord
from eventstore.events import Event
from eventstore.kafka.header import HEADER, KNOWN, SIZE, Header, unpack, unpack_among_others
from eventstore.metadata import Metadata

PREFIX: Final = struct.Struct(">BI")
"""The five bytes before the Avro body: zero, and the schema's id."""

FEW: Final = 16
"""Events below this number are quicker to encode one by one than type by type."""

LogRecord: TypeAlias = tuple[int, Header, Message]
"""A record of ours as it was read: its offset, its header, and the message itself."""

EncodedEvent: TypeAlias = tuple[bytes, bytes, int]
"""An event before it is known where it will stand: its value, its schema's fingerprint, and when
it happened, in microseconds since 1970. A plain tuple, since there is one for each event."""


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
    if -1 <= timestamp <= 0:
        return 1 if timestamp == 0 else -2
    return timestamp


def header_of(message: Message) -> Header | None:
    """The message's `foldlog` header; None: a foreign record, without any.

    Raises:
        UnknownRecord: It has our header, but not as layout 1: of another layout, kind or size, or
            more than once. It could be an event, so no reader may pass over it.
    """
    # The stubs allow a dict, as produce() does; what is read is always a list of pairs.
    headers: list[tuple[str, bytes | None]] | None = message.headers()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    if not headers:
        return None
    if len(headers) == 1:  # nearly always; the rest of this function is for every record read
        name, value = headers[0]
        if name == HEADER and value is not None and value[:2] in KNOWN and len(value) == SIZE:
            return unpack(value)
    return _header_among(headers, message)


def _header_among(headers: list[tuple[str, bytes | None]], message: Message) -> Header | None:
    values = [value for name, value in headers if name == HEADER]
    if not values:
        return None
    value = values[0]
    if len(values) == 1 and value is not None and value[:2] in KNOWN and len(value) == SIZE:
        return unpack_among_others(value)
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


def metadata_of(message: Message) -> Metadata | None:
    """What the message's further headers carry; None: nothing of it."""
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers())
    return Metadata.from_headers(headers or ())


def event_id(header: Header) -> str:
    """The id of the event with this header: its append id and its index."""
    return f"{UUID(bytes=header.append)}:{header.index}"


class Encoder:
    """Events to record values; their schemas must be registered."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._known: dict[type[Event], tuple[bytes, EventCodec[Any]]] = {}

    def encode(self, events: Sequence[Event], times: Sequence[int]) -> list[EncodedEvent]:
        """Events as records carry them; each happened at its time, in µs since 1970.

        Raises:
            EncodingError: An event does not fit its schema.
        """
        if len(events) < FEW:
            return self._one_by_one(events, times)
        by_type: defaultdict[type[Event], list[Event]] = defaultdict(list)
        for event in events:
            by_type[type(event)].append(event)
        values = {
            event_type: self._values(event_type, each) for event_type, each in by_type.items()
        }
        encoded: list[EncodedEvent] = []
        add = encoded.append
        for event, at in zip(events, times, strict=True):
            following, fingerprint = values[type(event)]
            add((next(following), fingerprint, at))
        return encoded

    def _one_by_one(self, events: Sequence[Event], times: Sequence[int]) -> list[EncodedEvent]:
        encoded: list[EncodedEvent] = []
        for event, at in zip(events, times, strict=True):
            prefix, codec = self._codec_of(type(event))
            encoded.append((prefix + codec.encode(event), codec.fingerprint, at))
        return encoded

    def _values(
        self, event_type: type[Event], events: Sequence[Event]
    ) -> tuple[Iterator[bytes], bytes]:
        """The values of events of one type, in order, and their schema's fingerprint."""
        prefix, codec = self._codec_of(event_type)
        return map(prefix.__add__, codec.encode_many(events)), codec.fingerprint

    def _codec_of(self, event_type: type[Event]) -> tuple[bytes, EventCodec[Any]]:
        """What encodes events of this type, and what their values begin with."""
        known = self._known.get(event_type)
        if known is None:
            codec = event_type.codec
            prefix = PREFIX.pack(0, self._schemas.id_of(codec.sha256))
            self._known[event_type] = known = prefix, codec
        return known
