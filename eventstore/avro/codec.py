"""Turns an event into the bytes of an Avro body, and back.

Encoding is strict: what does not fit the schema exactly is an error, never rounded, dropped or
taken for something else. Decoding what the same schema wrote fills the event without validating
it again: the writer has.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from eventstore.avro._bytes import (
    Schema,
    check_flat,
    parsed,
    parsed_many,
    read,
    read_many,
    write,
    write_many,
)
from eventstore.avro._values import LONGS, Convert, from_primitive, to_primitive
from eventstore.avro.derivation import EventField, canonical, fields_of, record_schema, sha256
from eventstore.errors import DecodingError, EncodingError

M = TypeVar("M", bound=BaseModel)

SHAPES_KEPT: Final = 1_000
"""Combinations of value types remembered for each class; optional fields multiply them."""

NOT_THE_SAME: Final[dict[type, type]] = {int: bool, date: datetime}
"""Subclasses in Python that mean something else than the type of the field."""

MISFITS: Final = (ValueError, TypeError, OverflowError, KeyError, AttributeError)
"""What a conversion raises for a value that it is not for."""

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
        self._shapes: set[tuple[type, ...]] = set()
        self._encoders = _conversions(self.fields, to_primitive)
        self._decoders = _conversions(self.fields, from_primitive)
        self._avro = parsed(self.schema)
        self._array = parsed_many(self.schema)
        self._fields_set = {field.name for field in self.fields}
        self._post_init = model.model_post_init is not BaseModel.model_post_init

    def __repr__(self) -> str:
        return f"EventCodec({self.model.__name__}, {self.name!r})"

    def encode(self, event: M) -> bytes:
        """The Avro body of an event.

        Raises:
            EncodingError: A value is not what the schema says: an int beyond 64 bits, or
                anything in an event whose validation was bypassed.
        """
        values = event.__dict__
        if type(event) is not self.model or tuple(map(type, values.values())) not in self._shapes:
            values = self._checked(event)
        try:
            if self._encoders:
                values = values.copy()
                for name, convert in self._encoders:
                    values[name] = convert(values[name])
            return write(self._avro, values)
        except MISFITS as error:
            raise EncodingError(self.name, self._why_not(event, error)) from None

    def encode_many(self, events: Sequence[M]) -> list[bytes]:
        """The Avro bodies of many events, quicker than one by one.

        Raises:
            EncodingError: As `encode`, for the first event that is wrong.
        """
        given = [vars(event) for event in events]
        if set(map(type, events)) == {self.model} and self._in_known_shapes(given):
            try:
                return write_many(self._avro, self._converted(given))
            except MISFITS:
                pass  # told below, of the event that it is
        return [self.encode(event) for event in events]

    def decode(self, body: bytes) -> M:
        """The event of an Avro body that this very schema wrote.

        Raises:
            DecodingError: The bytes are not those of this schema, or not all of them.
        """
        return self._filled([read(self.name, body, self._avro)])[0]

    def decode_many(self, bodies: Sequence[bytes]) -> list[M]:
        """The events of many bodies, quicker than one by one.

        Raises:
            DecodingError: As `decode`, for the first body that is wrong.
        """
        try:
            rows = read_many(self.name, bodies, self._array)
        except DecodingError:
            rows = [read(self.name, body, self._avro) for body in bodies]
        return self._filled(rows)

    def decoder_for(self, writer_schema: Schema) -> Callable[[bytes], M]:
        """A decoder of bodies that another schema of this event wrote.

        It matches fields by Avro's resolution, validates the event in full, and raises
        `DecodingError` for bytes that are not the writer's, schemas that do not resolve, or
        values that the class refuses today.

        Raises:
            DecodingError: The writer's schema is not a flat record.
        """
        check_flat(self.name, writer_schema)
        written = parsed(writer_schema)
        absent = self._defaulted() - {field["name"] for field in writer_schema["fields"]}

        def decode(body: bytes) -> M:
            values = read(self.name, body, written, self._avro)
            for name in absent:  # its Avro default is a copy of what the class gives
                del values[name]
            try:
                for name, convert in self._decoders:
                    if name in values:
                        values[name] = convert(values[name])
                return self.model.model_validate(values)
            except MISFITS as error:
                raise DecodingError(self.name, _told(error)) from None

        return decode

    def _in_known_shapes(self, given: list[dict[str, Any]]) -> bool:
        """Whether values of these types were found right before."""
        return {tuple(map(type, values.values())) for values in given} <= self._shapes

    def _converted(self, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The values as Avro primitives, column by column."""
        if not self._encoders:
            return given
        rows = [values.copy() for values in given]
        _convert(rows, self._encoders)
        return rows

    def _defaulted(self) -> set[str]:
        """The fields to which the class gives a plain default."""
        return {
            name
            for name, field in self.model.model_fields.items()
            if not field.is_required() and field.default_factory is None
        }

    def _filled(self, rows: list[dict[str, Any]]) -> list[M]:
        """An event of each row. All share one set of their fields: a frozen event changes none."""
        try:
            _convert(rows, self._decoders)
        except MISFITS as error:
            raise DecodingError(self.name, _told(error)) from None
        events: list[M] = []
        add, model, fields_set = events.append, self.model, self._fields_set
        for values in rows:
            event = _new(model)
            _set_values(event, values)
            _set_fields_set(event, fields_set)
            _set_extra(event, None)
            _set_private(event, None)
            add(event)
        if self._post_init:
            for event in events:
                event.model_post_init(None)
        return events

    def _checked(self, event: M) -> dict[str, Any]:
        """The values to encode, each of its field's type; remembers that these types are right."""
        if type(event) is not self.model:
            found = type(event).__name__
            raise EncodingError(self.name, f"expected a {self.model.__name__}, found a {found}")
        given = event.__dict__
        values = {field.name: given[field.name] for field in self.fields if field.name in given}
        for field in self.fields:
            if field.name not in values:
                raise EncodingError(self.name, f"expected {field.name}, found it missing")
            if not _fits(values[field.name], field):
                expected = field.python.__name__ + (" or None" if field.optional else "")
                found = type(values[field.name]).__name__
                raise EncodingError(
                    self.name, f"expected {field.name} to be {expected}, found {found}"
                )
        if len(self._shapes) < SHAPES_KEPT and list(given) == list(values):
            self._shapes.add(tuple(map(type, values.values())))
        return values

    def _why_not(self, event: M, error: Exception) -> str:
        for field in self.fields:
            value: Any = getattr(event, field.name)
            if value is None:
                continue
            if field.python is int and value not in LONGS:
                return f"expected {field.name} to fit into 64 bits, found a larger number"
            if field.python is datetime and value.tzinfo is None:
                return f"expected {field.name} to have a time zone, found none"
        return _told(error)


def _fits(value: object, field: EventField) -> bool:
    if value is None:
        return field.optional
    return isinstance(value, field.python) and not (
        field.python in NOT_THE_SAME and isinstance(value, NOT_THE_SAME[field.python])
    )


def _conversions(
    fields: tuple[EventField, ...], of: Callable[[type], Convert | None]
) -> tuple[tuple[str, Convert], ...]:
    found: list[tuple[str, Convert]] = []
    for field in fields:
        convert = of(field.python)
        if convert is not None:
            found.append((field.name, _or_none(convert) if field.optional else convert))
    return tuple(found)


def _convert(rows: list[dict[str, Any]], conversions: tuple[tuple[str, Convert], ...]) -> None:
    """Convert the values of many rows in place, column by column."""
    for name, convert in conversions:
        for values in rows:
            values[name] = convert(values[name])


def _or_none(convert: Convert) -> Convert:
    def converted(value: Any) -> Any:
        return None if value is None else convert(value)

    return converted


def _told(error: Exception) -> str:
    """What went wrong, without the values: payloads do not belong in logs."""
    if not isinstance(error, ValidationError):
        return f"a value that raises {type(error).__name__}"
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    )
