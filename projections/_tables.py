"""Tables of projections: which can be kept exactly once, their fingerprint, their DDL.

A table that a replay would not fill alike is refused: identity columns count tries, volatile
defaults give other values, and foreign keys would tie generations together.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from projections.errors import InvalidProjection

_DIALECT: Final = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_CONSTANT: Final = re.compile(
    r"\s*(?:'(?:[^']|'')*'|[-+]?\d+(?:\.\d+)?|true|false|null)(?:::[\w ]+(?:\[\])?)?\s*",
    re.IGNORECASE,
)
_NAME_BYTES: Final = 63
_Found = tuple[str, str] | None


def resolve(projection: str, declared: Any) -> sa.Table:
    """The table, or the table of an ORM class.

    Raises:
        InvalidProjection: It is neither.
    """
    table: sa.Table = getattr(declared, "__table__", declared)
    if not _is_table(table):
        raise InvalidProjection(
            projection,
            f"{declared!r} is neither a SQLAlchemy Table nor a mapped class",
            "give `table = balances` (rows) or `tables = (balances,)` (SQL)",
        )
    return table


def _is_table(declared: Any) -> bool:
    return isinstance(declared, sa.Table)


def check(projection: str, tables: Sequence[sa.Table]) -> None:
    """Raise `InvalidProjection` for a table that could not be kept exactly once."""
    if not tables:
        raise InvalidProjection(projection, "it has no tables", "give `tables = (balances,)`")
    names = [table.name for table in tables]
    for name in names:
        if names.count(name) > 1 or len(name.encode()) > _NAME_BYTES:
            raise InvalidProjection(
                projection,
                f"the table {name!r} is named twice or longer than {_NAME_BYTES} bytes",
                "give each table a short name of its own",
            )
    for table in tables:
        found = _table_fault(table) or next(
            (fault for column in table.columns if (fault := _column_fault(column))), None
        )
        if found:
            raise InvalidProjection(projection, f"table {table.name!r}: {found[0]}", found[1])


def _table_fault(table: sa.Table) -> _Found:
    if table.schema is not None:
        return f"it names the schema {table.schema!r}", "leave it out: generations have their own"
    if not table.primary_key.columns:
        return "it has no primary key", "name the columns by which a row is found again"
    if table.foreign_key_constraints:
        return "it has a foreign key", "leave it out: the log holds the truth, not the tables"
    return None


def _column_fault(column: sa.Column[Any]) -> _Found:
    name, literal = f"column {column.name!r}", "set the value from the event"
    if column.identity is not None or column.autoincrement is True:
        return f"{name} counts by itself", "a replay would count otherwise; " + literal
    if isinstance(column.type, sa.Enum) and column.type.native_enum:
        return f"{name} has an enum type of PostgreSQL", "use sa.Enum(…, native_enum=False)"
    if column.computed is None and not _is_constant(column.server_default):
        return f"{name} has a server default that is no constant", literal
    for default in (column.default, column.onupdate):
        if default is not None and not default.is_scalar:
            return f"{name} has a default that is no constant", literal
    if column.server_onupdate is not None:
        return f"{name} changes by itself on update", literal
    return None


def _is_constant(default: Any) -> bool:
    if default is None:
        return True
    value = getattr(default, "arg", None)
    if isinstance(value, str):
        return True
    if isinstance(value, (sa.True_, sa.False_, sa.Null)):
        return True
    return isinstance(value, sa.TextClause) and bool(_CONSTANT.fullmatch(value.text))


def _plain(table: sa.Table) -> sa.Table:
    """A copy in which a lone integer key is an integer, not a counting SERIAL."""
    copy = table.to_metadata(sa.MetaData())
    for column in copy.primary_key.columns:
        column.autoincrement = False
    return copy


def create_table(table: sa.Table) -> str:
    """The statement that creates the table with its primary key and constraints."""
    return str(CreateTable(_plain(table)).compile(dialect=_DIALECT))


def create_indexes(table: sa.Table) -> list[str]:
    """The statements that create the other indexes, in order of their names."""
    indexes = sorted(_plain(table).indexes, key=lambda index: str(index.name))
    return [str(CreateIndex(index).compile(dialect=_DIALECT)) for index in indexes]


def fingerprint(kind: str, version: int, tables: Sequence[sa.Table]) -> bytes:
    """The SHA-256 of what makes two generations alike: kind, projection version, tables."""
    lines = [kind, str(version)]
    for table in sorted(tables, key=lambda table: table.name):
        lines += [create_table(table), *create_indexes(table)]
    return hashlib.sha256("\n".join(lines).encode()).digest()
