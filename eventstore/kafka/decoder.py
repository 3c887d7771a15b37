"""Events out of the values of valid records, by the fingerprint in their header.

A batch is decoded schema by schema, each in one call: that saves a third of the time.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from eventstore.avro.codec import EventCodec
from eventstore.errors import (
    DecodingError,
    EventStoreError,
    UndecodableEvent,
    UnknownEventName,
)
from eventstore.events import Event
from eventstore.kafka.messages import PREFIX, LogRecord, RegisteredSchema, Schemas
from eventstore.store import Recorded

Bodies: TypeAlias = Sequence[bytes]

# Half the time of the class itself, once for each event.
_new: Callable[[Any, Any], Recorded[Event]] = vars(tuple)["__new__"]


class _Form(NamedTuple):
    """How the values of one schema are read."""

    prefix: bytes
    decode: Callable[[bytes], Event]
    decode_many: Callable[[Bodies], list[Event]]


@dataclass(slots=True)
class _Group:
    """The values of one schema in a batch."""

    form: _Form
    bodies: list[bytes] = field(default_factory=list[bytes])
    places: list[int] = field(default_factory=list[int])
    """Where each of them stands in the batch."""


class Decoder:
    """Decodes the events of some classes.

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
        self._forms: dict[bytes, _Form | None] = {}

    def decode(
        self, topic: str, partition: int, records: Sequence[LogRecord]
    ) -> list[Recorded[Event]]:
        """The events in these valid records of one partition, in order.

        Raises:
            UndecodableEvent: A value is not what its header's fingerprint says.
        """
        try:
            groups, kept = self._grouped(records)
            events: dict[int, Event] = {}
            for group in groups:
                events.update(zip(group.places, _decoded(group, kept), strict=True))
            return _recorded(topic, partition, kept, events)
        except _Undecodable as error:
            raise UndecodableEvent(topic, partition, error.offset, error.why) from error

    def _grouped(self, records: Sequence[LogRecord]) -> tuple[list[_Group], list[LogRecord]]:
        """The values by schema, and the records without those that are passed over."""
        groups: dict[bytes, _Group | None] = {}
        kept: list[LogRecord] = []
        for record in records:
            fingerprint = record[1][-1]
            try:
                group = groups[fingerprint]
            except KeyError:
                group = groups[fingerprint] = self._group(record[0], fingerprint)
            if group is None:
                continue
            value = record[2].value()
            if value is None or not value.startswith(group.form.prefix):
                raise _Undecodable(record[0], _mismatch(group.form.prefix, value))
            group.bodies.append(value[5:])
            group.places.append(len(kept))
            kept.append(record)
        return [group for group in groups.values() if group is not None], kept

    def _group(self, offset: int, fingerprint: bytes) -> _Group | None:
        if fingerprint not in self._forms:
            try:
                self._forms[fingerprint] = self._form(fingerprint)
            except EventStoreError as error:
                raise _Undecodable(offset, str(error)) from error
        form = self._forms[fingerprint]
        return None if form is None else _Group(form)

    def _form(self, fingerprint: bytes) -> _Form | None:
        schema = self._schemas.by_fingerprint(fingerprint)
        name = event_name(schema)
        event_type = self._types.get(name)
        if event_type is None:
            raise UnknownEventName(name, list(self._types))
        if event_type not in self._wanted:
            return None
        prefix = PREFIX.pack(0, schema.id)
        codec: EventCodec[Event] = event_type.codec
        if codec.sha256 == schema.sha256:
            return _Form(prefix, codec.decode, codec.decode_many)
        decode = codec.decoder_for(json.loads(schema.canonical))
        return _Form(prefix, decode, partial(_one_by_one, decode))


class _Undecodable(Exception):  # noqa: N818
    """The record at ``offset`` cannot be decoded; the caller knows topic and partition."""

    def __init__(self, offset: int, why: str) -> None:
        self.offset, self.why = offset, why
        super().__init__(why)


def event_name(schema: RegisteredSchema) -> str:
    """The stored name of the events that are written with this schema."""
    declared: dict[str, Any] = json.loads(schema.canonical)
    namespace, name = declared.get("namespace"), str(declared["name"])
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _one_by_one(decode: Callable[[bytes], Event], bodies: Bodies) -> list[Event]:
    return [decode(body) for body in bodies]


def _decoded(group: _Group, kept: Sequence[LogRecord]) -> list[Event]:
    try:
        return group.form.decode_many(group.bodies)
    except DecodingError:
        for place, body in zip(group.places, group.bodies, strict=True):
            try:
                group.form.decode(body)
            except DecodingError as error:
                raise _Undecodable(kept[place][0], str(error)) from error
        raise


def _recorded(
    topic: str, partition: int, kept: Sequence[LogRecord], events: dict[int, Event]
) -> list[Recorded[Event]]:
    recorded: list[Recorded[Event]] = []
    add = recorded.append
    for place, (offset, header, message) in enumerate(kept):
        _, _, index, count, _, _, version, time, _, _, append, _ = header
        try:
            stream = (message.key() or b"").decode()
        except UnicodeDecodeError as error:
            raise _Undecodable(offset, f"its key is not UTF-8: {error.reason}") from error
        fields = (
            events[place], stream, version, time, topic, partition, offset, append, index, count
        )  # fmt: skip
        add(_new(Recorded, fields))
    return recorded


def _mismatch(prefix: bytes, value: bytes | None) -> str:
    expected = PREFIX.unpack(prefix)[1]
    if value is None or len(value) < PREFIX.size:
        return f"a value of {len(value or b'')} bytes instead of schema id {expected} and a body"
    zero, found = PREFIX.unpack_from(value)
    return f"schema id {found} after {zero:#04x}, where the header's fingerprint names {expected}"
