"""Rows of row projections: immutable, their fields the columns of the table."""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from projections.errors import InvalidProjection


def fields(row: type[Any]) -> tuple[str, ...] | None:
    """The names of the row's fields; None: neither a NamedTuple nor a frozen dataclass."""
    if hasattr(row, "_fields"):
        return tuple(row._fields)
    if dataclasses.is_dataclass(row) and _is_frozen(row):
        return tuple(field.name for field in dataclasses.fields(row))
    return None


def _is_frozen(dataclass: Any) -> bool:
    return bool(dataclass.__dataclass_params__.frozen)


def check(projection: str, row: type[Any] | None, table: sa.Table) -> None:
    """Raise `InvalidProjection` unless the row's fields are the table's columns."""
    names = None if row is None else fields(row)
    if row is None or names is None:
        found = "nothing" if row is None else row.__name__
        raise InvalidProjection(
            projection,
            f"its row is {found}, neither a NamedTuple nor a frozen dataclass",
            "name one in the brackets: RowProjection[Events, Row]",
        )
    columns = {column.name for column in table.columns}
    if set(names) != columns:
        missing = ", ".join(sorted(columns - set(names))) or "none"
        surplus = ", ".join(sorted(set(names) - columns)) or "none"
        raise InvalidProjection(
            projection,
            f"{row.__name__} lacks the columns {missing}, and has fields without column {surplus}",
            f"give {row.__name__} the columns of {table.name!r} as fields",
        )


def maker(row: type[Any]) -> Callable[[tuple[Any, ...]], Any]:
    """Makes a row of its values, in the order of its fields."""
    if hasattr(row, "_make"):
        make: Callable[[tuple[Any, ...]], Any] = row._make
        return make
    return lambda values: row(*values)


def taker(row: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Takes a row's values, in the order of its fields."""
    if hasattr(row, "_fields"):
        return lambda found: found
    names = fields(row) or ()
    if len(names) == 1:
        one = attrgetter(names[0])
        return lambda found: (one(found),)
    return attrgetter(*names)
