"""Derives an event's Avro schema from its pydantic model: one table of types, all else refused.

A class that is defined is a class whose every value survives the way to the log and back. So
what could lose something is refused where the class is defined, naming the field.
"""

import enum
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, PastDate, PastDatetime
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from eventstore.avro._bytes import Schema
from eventstore.avro._values import LONGS, to_primitive
from eventstore.errors import DefinitionError, UnsupportedType

LOGICAL: Final[Mapping[type, str | Schema]] = {
    bool: "boolean",
    int: "long",
    float: "double",
    str: "string",
    UUID: {"type": "string", "logicalType": "uuid"},
    date: {"type": "int", "logicalType": "date"},
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
}
"""The Avro type of each Python type; enums come beside it."""

NOMINAL: Final[Mapping[Any, type]] = {
    AwareDatetime: datetime,
    PastDatetime: datetime,
    PastDate: date,
}
"""pydantic's own types that validate to a type of the table."""

FULL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
SIMPLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PRIMITIVES: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)
NO_DEFAULT: Final = object()

REASONS: Final = {
    "Decimal": "its precision and scale are not known; store minor units (cents) as an int",
    "NaiveDatetime": "without a zone it names no instant; use AwareDatetime",
    "FutureDate": "whether it is still valid depends on when it is read; use date",
    "FutureDatetime": "whether it is still valid depends on when it is read; use AwareDatetime",
    "bytes": "store it elsewhere, and its address as a str",
}
"""Why a type is refused, by its name, where more can be said than that it is not flat."""

C = TypeVar("C")
Refuse: TypeAlias = Callable[[object, str], UnsupportedType]


class EventField(NamedTuple):
    """A field of an event, and how Avro holds it."""

    name: str
    python: type
    """The type of its values: a type of `LOGICAL`, or an enum."""
    optional: bool
    """Whether None is a value too."""
    avro: str | Schema
    """The Avro type of its values but None."""
    default: object
    """The Avro default, as JSON holds it; `NO_DEFAULT`: none."""

    @property
    def schema(self) -> Schema:
        """The field as an Avro record declares it."""
        if not self.optional:
            kind: Any = self.avro
        elif self.default is None:
            kind = ["null", self.avro]
        else:  # a default belongs to the first type of a union
            kind = [self.avro, "null"]
        found = {"name": self.name, "type": kind}
        return found if self.default is NO_DEFAULT else {**found, "default": self.default}


def schema_of(model: type[BaseModel], name: str) -> Schema:
    """The Avro schema of an event class whose stored name is ``name``.

    Raises:
        DefinitionError: ``name`` is not an Avro full name.
        UnsupportedType: A field has no Avro form here.
    """
    return record_schema(name, fields_of(model, name))


def record_schema(name: str, fields: tuple[EventField, ...]) -> Schema:
    """The Avro record of these fields, in their order."""
    return {"type": "record", "name": name, "fields": [field.schema for field in fields]}


def fields_of(model: type[BaseModel], name: str) -> tuple[EventField, ...]:
    """The fields of an event class, in their order; raises as `schema_of` does."""
    check_event_name(model, name)
    return tuple(
        _field(model.__name__, name, key, field) for key, field in model.model_fields.items()
    )


def canonical(schema: Schema) -> str:
    """The one text of a schema that is hashed, stored and compared."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(schema: Schema) -> bytes:
    """The 32 bytes of the SHA-256 of the full canonical schema; the first 8 fingerprint it."""
    return hashlib.sha256(canonical(schema).encode()).digest()


def check_event_name(model: type[BaseModel], name: str) -> None:
    """Refuse a stored name that is not an Avro full name.

    Raises:
        DefinitionError: It is missing, malformed, or the name of an Avro primitive.
    """
    if not FULL_NAME.fullmatch(name) or name.rpartition(".")[2] in PRIMITIVES:
        raise DefinitionError(
            f"event {model.__name__}: expected a stored name of letters, digits, underscores and "
            f"dots, such as name='account_opened' or 'bank.account_opened'; found {name!r}: give "
            f"one in the class statement, class {model.__name__}(Event, name=…), and never "
            "change it"
        )


def _field(event: str, event_name: str, name: str, field: FieldInfo) -> EventField:
    def refuse(found: object, why: str) -> UnsupportedType:
        return UnsupportedType(event, name, str(found), why)

    if not SIMPLE_NAME.fullmatch(name):
        raise refuse(name, "Avro field names are ASCII letters, digits and underscores")
    if field.alias or field.validation_alias or field.serialization_alias:
        raise refuse("an alias", "a field has one name, in Python and in the log")
    python, optional = _resolve(field.annotation)
    if _is_class(python, enum.Enum):
        avro: str | Schema = _enum_schema(refuse, python, f"{event_name}_{name}")
    elif python in LOGICAL:
        avro = LOGICAL[python]
    else:
        raise refuse(_shown(field.annotation), _why_not(python))
    default = _default(refuse, field, python, optional=optional)
    return EventField(name, python, optional, avro, default)


def _resolve(annotation: Any) -> tuple[Any, bool]:
    """The type behind an annotation, and whether None is allowed beside it."""
    for behind in ("__supertype__", "__value__"):  # of a NewType, and of a type alias
        if hasattr(annotation, behind):
            return _resolve(getattr(annotation, behind))
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _resolve(annotation.__origin__)
    if origin is typing.Union or origin is types.UnionType:
        others = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(others) == 1:
            return _resolve(others[0])[0], True
    return NOMINAL.get(annotation, annotation), False


def _enum_schema(refuse: Refuse, python: type[enum.Enum], full_name: str) -> Schema:
    names = [member.name for member in python]
    if issubclass(python, enum.Flag):
        raise refuse(python, "flags combine, and Avro's enums do not; use an int")
    if not names:
        raise refuse(python, "an enum needs members")
    if bad := [name for name in names if not SIMPLE_NAME.fullmatch(name)]:
        raise refuse(python, f"its member {bad[0]!r} is not an Avro symbol; use ASCII names")
    return {"type": "enum", "name": full_name, "symbols": names}


def _default(refuse: Refuse, field: FieldInfo, python: type, *, optional: bool) -> object:
    """The Avro default: a plain default, or null where None is allowed; factories never run."""
    value: Any = field.default
    if value is PydanticUndefined or value is None:
        return None if optional else NO_DEFAULT
    if python is float and type(value) is int:
        value = float(value)
    why = _why_no_default(value, python)
    if why:
        raise refuse(f"a default {value!r}", why)
    convert = to_primitive(python)
    return convert(value) if convert else value


def _why_no_default(value: Any, python: type) -> str:
    if not _is_exactly(value, python):
        return f"give a default that is a {python.__name__}"
    if python is int and value not in LONGS:
        return "an Avro long holds 64 bits"
    if python is float and not math.isfinite(value):
        return "JSON, and so an Avro schema, has no such number"
    if python is datetime and value.tzinfo is None:
        return "give it a time zone, such as tzinfo=UTC"
    if python is str and _has_surrogate(value):
        return "UTF-8 cannot carry a surrogate"
    return ""


def _why_not(python: Any) -> str:
    if isinstance(python, typing.TypeVar):
        return "an event is one record with one schema; generic events have none"
    if _is_class(python, BaseModel):
        return "write the fields of the nested model into the event"
    reason = REASONS.get(getattr(python, "__name__", ""))
    return reason or "events hold flat, plain facts; store its parts as fields of their own"


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _is_exactly(value: object, python: type) -> bool:
    return type(value) is python


def _is_class(found: Any, of: type[C]) -> TypeGuard[type[C]]:
    return isinstance(found, type) and issubclass(found, of)


def _shown(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not typing.get_args(annotation)
    return str(getattr(annotation, "__name__", annotation)) if plain else str(annotation)
