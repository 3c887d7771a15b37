"""Turns an event into the bytes of an Avro body, and back.

Encoding is strict: what does not fit the schema exactly is an error, never rounded, dropped or
taken for something else. Decoding what the same schema wrote fills the event without validating
it again: the writer has.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from io import BytesIO
from typing import Any, Final, Generic, TypeVar

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from pydantic import BaseModel, ValidationError

from eventstore.avro._values import Convert, from_primitive, to_primitive
from eventstore.avro.derivation import (
    EventField,
    Schema,
    canonical,
    fields_of,
    record_schema,
    sha256,
)
from eventstore.errors import DecodingError, EncodingError

M = TypeVar("M", bound=BaseModel)

SHAPES_KEPT: Final = 1_000
"""Combinations of value types remembered for each class; optional fields multiply them."""

# pydantic keeps an instance in these four slots. Setting them directly is what makes decoding
# quicker than validating: 0.2 against 0.7 µs.
_new = object.__new__
_set_values = BaseModel.__dict__["__dict__"].__set__
_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


class EventCodec(Generic[M]):
    """Encodes and decodes the events of one class."""

    def __init__(self, model: type[M], name: str) -> None:
        self.model: Final = model
        self.name: Final = name
        """The event's stored name, which is the Avro record's full name."""
        self.fields: Final = fields_of(model, name)
        self.schema: Final = record_schema(name, self.fields)
        self.canonical: Final = canonical(self.schema)
        self.sha256: Final = sha256(self.schema)
        """The 32 bytes of the SHA-256 of the canonical schema."""
        self.fingerprint: Final = self.sha256[:8]
        """What the header of each record carries of it."""
        self._names = frozenset(field.name for field in self.fields)
        self._shapes: set[tuple[type, ...]] = set()
        self._encoders = _conversions(self.fields, to_primitive)
        self._decoders = _conversions(self.fields, from_primitive)
        self._avro = parse_schema(_plain(self.schema))
        self._many = parse_schema({"type": "array", "items": _plain(self.schema)})
        self._post_init = model.model_post_init is not BaseModel.model_post_init

    def __repr__(self) -> str:
        return f"EventCodec({self.model.__name__}, {self.name!r})"

    def encode(self, event: M) -> bytes:
        """The Avro body of an event.

        Raises:
            EncodingError: A value is not what the schema says; so it can be only in an event
                whose validation was bypassed, or an int beyond 64 bits.
        """
        values = event.__dict__
        if tuple(map(type, values.values())) not in self._shapes or type(event) is not self.model:
            values = self._checked(event)
        buffer = BytesIO()
        try:
            if self._encoders:
                values = values.copy()
                for name, convert in self._encoders:
                    values[name] = convert(values[name])
            schemaless_writer(buffer, self._avro, values, strict=True)
        except (ValueError, TypeError, OverflowError, KeyError) as error:
            raise EncodingError(self.name, self._why_not(event, error)) from None
        return buffer.getvalue()

    def decode(self, body: bytes) -> M:
        """The event of an Avro body that this very schema wrote.

        Raises:
            DecodingError: The bytes are not those of this schema, or not all of them.
        """
        values = _read(self.name, body, self._avro, None)
        return self._filled(values)

    def decode_many(self, bodies: Sequence[bytes]) -> list[M]:
        """The events of many bodies, read in one call as one Avro array.

        Raises:
            DecodingError: As `decode`, for the first body that is wrong.
        """
        joined = b"".join((_zigzag(len(bodies)), *bodies, b"\0"))
        try:
            rows: Any = _read(self.name, joined, self._many, None)
        except DecodingError:
            rows = ()
        if len(rows) != len(bodies):
            return [self.decode(body) for body in bodies]
        return [self._filled(values) for values in rows]

    def decoder_for(self, writer_schema: Schema) -> Callable[[bytes], M]:
        """A decoder of bodies that another schema of this event wrote.

        Fields are matched by Avro's resolution, then validated in full.

        Raises (the decoder):
            DecodingError: The bytes are not those of the writer's schema, the schemas do not
                resolve, or the values are not valid for the class today.
        """
        written = parse_schema(_plain(writer_schema))
        kept = {field["name"] for field in writer_schema["fields"]}
        absent = [
            field.name
            for field in self.fields
            if field.name not in kept
            and not self.model.model_fields[field.name].is_required()
            and self.model.model_fields[field.name].default_factory is None
        ]

        def decode(body: bytes) -> M:
            values = _read(self.name, body, written, self._avro)
            try:
                for name, convert in self._decoders:
                    values[name] = convert(values[name])
                for name in absent:  # the class's own default, which the Avro default copies
                    del values[name]
                return self.model.model_validate(values)
            except (ValidationError, ValueError, KeyError, OverflowError, TypeError) as error:
                raise DecodingError(self.name, _told(error)) from None

        return decode

    def _filled(self, values: dict[str, Any]) -> M:
        try:
            for name, convert in self._decoders:
                values[name] = convert(values[name])
        except (ValueError, KeyError, OverflowError, TypeError) as error:
            raise DecodingError(self.name, _told(error)) from None
        event = _new(self.model)
        _set_values(event, values)
        _set_fields_set(event, set(values))
        _set_extra(event, None)
        _set_private(event, None)
        if self._post_init:
            event.model_post_init(None)
        return event

    def _checked(self, event: M) -> dict[str, Any]:
        """The values to encode, once each is of its field's type."""
        if type(event) is not self.model:
            raise EncodingError(
                self.name, f"expected a {self.model.__name__}, found {event!r:.200}"
            )
        given = event.__dict__
        values: dict[str, Any] = {}
        for field in self.fields:
            if field.name not in given:
                raise EncodingError(self.name, f"its field {field.name!r} is missing")
            value = values[field.name] = given[field.name]
            if not _is_one_of(value, field):
                raise EncodingError(
                    self.name,
                    f"expected {field.name} to be {field.python.__name__}"
                    f"{' or None' if field.optional else ''}, found {type(value).__name__}",
                )
        if len(self._shapes) < SHAPES_KEPT and list(given) == list(values):
            self._shapes.add(tuple(map(type, values.values())))
        return values

    def _why_not(self, event: M, error: Exception) -> str:
        for field in self.fields:
            value = getattr(event, field.name)
            if field.python is int and value is not None and value.bit_length() > 63:
                return f"expected {field.name} to fit into 64 bits, found {value}"
        return _told(error)


_NOT: Final[dict[type, type]] = {int: bool, date: datetime}


def _is_one_of(value: object, field: EventField) -> bool:
    if value is None:
        return field.optional
    # bool is a subclass of int, and datetime of date, and yet neither means the same
    return isinstance(value, field.python) and type(value) is not _NOT.get(field.python)


def _plain(schema: Schema) -> Schema:
    """The same schema, as bytes are concerned, without logical types and names to resolve."""
    return _without(schema, ("logicalType",))


def _without(node: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(node, dict):
        return {key: _without(value, keys) for key, value in node.items() if key not in keys}
    if isinstance(node, list):
        return [_without(value, keys) for value in node]
    return node


def _conversions(
    fields: tuple[EventField, ...], of: Callable[[type], Convert | None]
) -> tuple[tuple[str, Convert], ...]:
    found: list[tuple[str, Convert]] = []
    for field in fields:
        convert = of(field.python)
        if convert is not None:
            found.append((field.name, _or_none(convert) if field.optional else convert))
    return tuple(found)


def _or_none(convert: Convert) -> Convert:
    def converted(value: Any) -> Any:
        return None if value is None else convert(value)

    return converted


def _read(name: str, body: bytes, written: Schema, reader: Schema | None) -> dict[str, Any]:
    buffer = BytesIO(body)
    try:
        values: Any = schemaless_reader(buffer, written, reader)
    except Exception as error:  # fastavro raises whatever the bytes run into
        raise DecodingError(name, f"{len(body)} bytes that do not parse: {_told(error)}") from None
    if buffer.tell() != len(body):
        raise DecodingError(name, f"{len(body)} bytes, of which only {buffer.tell()} were used")
    return values


def _zigzag(count: int) -> bytes:
    """A count as an Avro long."""
    left, found = count << 1, bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _told(error: Exception) -> str:
    """What went wrong, without the values: payloads do not belong in logs."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        )
    return type(error).__name__
