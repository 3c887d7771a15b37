"""Views: what readers see of the live generation, and cannot write to.

A view and not the table, because a view can be switched for all readers in one transaction,
keeps its grants and what depends on it, and costs nothing when planned. A trigger refuses
writes with an error that says why; it also marks the view as ours, and names its projection.
"""

from typing import Final

from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from projections.errors import ViewError
from projections.generations import Generation
from projections.projection import AnyProjection

_TRIGGER: Final = "foldlog_read_only"
_FUNCTION: Final = """
CREATE FUNCTION foldlog.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'expected no % of %: it is a read model of the projection %',
        lower(TG_OP), TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Append an event; the projection folds it into this view.';
END $$
"""


def place(
    db: Connection[TupleRow], projection: AnyProjection, generation: Generation, schema: str
) -> None:
    """Make or replace the projection's views, in name order. The caller commits.

    Raises:
        ViewError: A name is taken, or the role may not create in the read schema.
    """
    _ensure_function(db)
    names = sorted(table.name for table in projection.declared_tables())
    for name in names:
        _refuse_taken(db, projection.name, schema, name)
    try:
        for name in names:
            _place_one(db, projection.name, generation.schema, schema, name)
    except InsufficientPrivilege as error:
        raise ViewError(
            projection.name,
            f"{schema}.{names[0]}",
            str(error).strip(),
            f"as its owner, run: GRANT USAGE, CREATE ON SCHEMA {schema} TO {db.info.user}",
        ) from error


def check_replaceable(
    db: Connection[TupleRow],
    projection: AnyProjection,
    old: Generation,
    new: Generation,
) -> None:
    """Raise `ViewError` unless the new tables can stand behind the old views.

    They can if the old columns come first, in their order, with their types.
    """
    names = {table.name for table in projection.declared_tables()}
    for name in _tables_of(db, old.schema):
        before, after = _columns(db, old.schema, name), _columns(db, new.schema, name)
        if name not in names or after[: len(before)] != before:
            raise ViewError(
                projection.name,
                name,
                f"the live columns {_told(before)} would become {_told(after) or 'none'}",
                "this release can only add columns at the end and tables; keep the others, or "
                "give the projection another name",
            )


def _told(columns: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns)


def _tables_of(db: Connection[TupleRow], schema: str) -> list[str]:
    rows = db.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", (schema,)
    )
    return [name for (name,) in rows]


def _columns(db: Connection[TupleRow], schema: str, table: str) -> list[tuple[str, str]]:
    rows = db.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY a.attnum",
        (schema, table),
    )
    return [(name, kind) for name, kind in rows]


def _ensure_function(db: Connection[TupleRow]) -> None:
    """Make the trigger's function once; two that make it at once wait for each other."""
    db.execute("SELECT pg_advisory_xact_lock(hashtext('foldlog.refuse_write'))")
    found = db.execute("SELECT to_regproc('foldlog.refuse_write')").fetchone()
    if found is None or found[0] is None:
        db.execute(_FUNCTION)


def _refuse_taken(db: Connection[TupleRow], projection: str, schema: str, name: str) -> None:
    row = db.execute(
        "SELECT split_part(encode(t.tgargs, 'escape'), '\\000', 1) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = %s"
        " WHERE n.nspname = %s AND c.relname = %s",
        (_TRIGGER, schema, name),
    ).fetchone()
    if row is None:
        return
    (owner,) = row
    if owner != projection:
        taken = f"a view of the projection {owner!r}" if owner else "something that is not ours"
        raise ViewError(
            projection,
            f"{schema}.{name}",
            f"the name is taken by {taken}",
            "rename the table, or choose another schema for readers",
        )


def _place_one(
    db: Connection[TupleRow], projection: str, source: str, schema: str, name: str
) -> None:
    table, view = sql.Identifier(source, name), sql.Identifier(schema, name)
    columns = [sql.Identifier(column) for column, _ in _columns(db, source, name)]
    db.execute(
        sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}").format(
            view, sql.SQL(", ").join(columns), table
        )
    )
    marked = db.execute(
        "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s",
        (view.as_string(db), _TRIGGER),
    ).fetchone()
    if marked is None:
        db.execute(
            sql.SQL(
                "CREATE TRIGGER {} INSTEAD OF INSERT OR UPDATE OR DELETE ON {}"
                " FOR EACH ROW EXECUTE FUNCTION foldlog.refuse_write({})"
            ).format(sql.Identifier(_TRIGGER), view, sql.Literal(projection))
        )
