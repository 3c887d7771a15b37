"""Python values and the Avro primitives that carry them: one pair of conversions for each type.

Logical types are converted here and not by fastavro, which takes a naive datetime for local
time, and whose conversions cost two to three times as much.
"""

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias, TypeGuard
from uuid import UUID

from pydantic import TypeAdapter

Convert: TypeAlias = Callable[[Any], Any]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
MICROSECOND: Final = timedelta(microseconds=1)
LONGS: Final = range(-(2**63), 2**63)
"""The numbers that an Avro long holds."""


def to_primitive(python: type) -> Convert | None:
    """How a value of this type becomes an Avro primitive; None: it is one already."""
    return symbols_of(python).__getitem__ if _is_enum(python) else _TO.get(python)


def from_primitive(python: type) -> Convert | None:
    """How an Avro primitive becomes a value of this type again; None: it is one already."""
    if _is_enum(python):
        return {symbol: member for member, symbol in symbols_of(python).items()}.__getitem__
    return _FROM.get(python)


def symbols_of(members: type[enum.Enum]) -> dict[enum.Enum, str]:
    """Each member and its Avro symbol: the member's name, whatever its value is."""
    return {member: member.name for member in members}


def micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware datetime; TypeError for a naive one."""
    return (at - EPOCH) // MICROSECOND


def instant(microseconds: int) -> datetime:
    """The aware datetime, in UTC, of microseconds since 1970."""
    return EPOCH + microseconds * MICROSECOND


def _is_enum(python: type) -> TypeGuard[type[enum.Enum]]:
    return issubclass(python, enum.Enum)


def _days(day: date) -> int:
    return day.toordinal() - EPOCH_ORDINAL


def _day(days: int) -> date:
    return date.fromordinal(days + EPOCH_ORDINAL)


# pydantic's core makes a UUID of its text, and the text of a UUID, in a fifth and a third of the
# time of the class itself.
_UUID: Final = TypeAdapter(UUID)
_TO: Final[dict[type, Convert]] = {
    UUID: partial(_UUID.serializer.to_python, mode="json"),
    date: _days,
    datetime: micros,
}
_FROM: Final[dict[type, Convert]] = {
    UUID: _UUID.validator.validate_python,
    date: _day,
    datetime: instant,
}
