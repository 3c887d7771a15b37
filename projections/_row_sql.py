"""The statements of a row table, composed once; identifiers go through psycopg."""

from collections.abc import Sequence
from typing import Final, LiteralString, NamedTuple

from psycopg import Connection, sql
from psycopg.adapt import Dumper
from psycopg.errors import ProgrammingError
from psycopg.pq import Format
from psycopg.rows import TupleRow

TEMPORARY: Final = sql.Identifier("pg_temp", "foldlog_rows")
LOCKS: Final = 256
"""Locks that the keys of a projection share."""


class Column(NamedTuple):
    """A column, as PostgreSQL and psycopg know it."""

    name: str
    type: sql.Identifier
    """With its schema; without length or precision."""
    oid: int
    array: Dumper | None
    """Makes a binary array of values; None: psycopg has no binary form, or it is an array."""


def describe(
    db: Connection[TupleRow], schema: str, table: str, names: Sequence[str]
) -> list[Column]:
    """The columns of these names, in their order."""
    found = db.execute(
        "SELECT a.attname, a.atttypid, t.typnamespace::regnamespace::text, t.typname, t.typarray"
        " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped",
        (schema, table),
    )
    columns = {
        name: Column(name, sql.Identifier(space, kind), oid, _array_dumper(db, oid, array))
        for name, oid, space, kind, array in found
    }
    return [columns[name] for name in names]


def _array_dumper(db: Connection[TupleRow], oid: int, array: int) -> Dumper | None:
    try:
        db.adapters.get_dumper_by_oid(oid, Format.BINARY)
        dumper = db.adapters.get_dumper_by_oid(array, Format.BINARY)
    except ProgrammingError:
        return None
    if db.adapters.get_loader(oid, Format.BINARY) is None or _is_array(db, oid):
        return None
    made = dumper(type(None), db)
    return made if isinstance(made, Dumper) else None


def _is_array(db: Connection[TupleRow], oid: int) -> bool:
    info = db.adapters.types.get(oid)
    return info is not None and info.array_oid == oid


class Statements(NamedTuple):
    """The statements; arrays stand for the key columns, or for all columns."""

    lock: sql.Composed
    load: sql.Composed
    upsert: sql.Composed
    delete: sql.Composed
    temporary: sql.Composed
    clear: sql.Composed
    copy: sql.Composed
    copy_binary: sql.Composed
    merge: sql.Composed


def statements(
    schema: str, table: str, columns: Sequence[Column], key: Sequence[Column]
) -> Statements:
    """Compose the statements of a table."""
    target = sql.Identifier(schema, table)
    names = _listed(columns, "{}")
    insert = sql.SQL("INSERT INTO {} AS t ({}) SELECT {} FROM ").format(target, names, names)
    on_conflict = _on_conflict(columns, key)
    given = sql.SQL("{} AS k ({})").format(_unnested(key), _listed(key, "{}"))
    match = sql.SQL(" AND ").join(
        sql.SQL("t.{0} = k.{0}").format(sql.Identifier(column.name)) for column in key
    )
    copy = sql.SQL("COPY {} ({}) FROM STDIN").format(TEMPORARY, names)
    return Statements(
        lock=sql.SQL(
            "SELECT pg_advisory_xact_lock(%s, h) FROM (SELECT DISTINCT"
            " hash_record(ROW({})) & {} AS h FROM {} ORDER BY h OFFSET 0) AS s"
        ).format(_listed(key, "k.{}"), sql.Literal(LOCKS - 1), given),
        load=sql.SQL("SELECT {} FROM {} AS t JOIN {} ON {}").format(
            _listed(columns, "t.{}"), target, given, match
        ),
        upsert=insert + sql.SQL("{} AS k ({})").format(_unnested(columns), names) + on_conflict,
        delete=sql.SQL("DELETE FROM {} AS t USING {} WHERE {}").format(target, given, match),
        temporary=sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS foldlog_rows (LIKE {}) ON COMMIT DELETE ROWS"
        ).format(target),
        clear=sql.SQL("DELETE FROM {}").format(TEMPORARY),
        copy=copy,
        copy_binary=copy + sql.SQL(" (FORMAT binary)"),
        merge=insert + TEMPORARY + on_conflict,
    )


def _listed(columns: Sequence[Column], template: LiteralString) -> sql.Composed:
    made = [sql.SQL(template).format(sql.Identifier(column.name)) for column in columns]
    return sql.SQL(", ").join(made)


def _unnested(columns: Sequence[Column]) -> sql.Composed:
    casts = [sql.SQL("%s::{}[]").format(column.type) for column in columns]
    return sql.SQL("unnest({})").format(sql.SQL(", ").join(casts))


def _on_conflict(columns: Sequence[Column], key: Sequence[Column]) -> sql.Composed:
    others = [sql.Identifier(column.name) for column in columns if column not in key]
    head = sql.SQL(" ON CONFLICT ({}) DO ").format(_listed(key, "{}"))
    if not others:
        return head + sql.SQL("NOTHING")
    changes = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in others)
    return head + sql.SQL("UPDATE SET ") + changes
