"""Generations: each build of a projection's tables, in a PostgreSQL schema of its own.

The first generation is live as soon as it is made. A rebuild makes the next one beside it, in
the state ``building``; the switch makes that one live and the old one ``retired``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from eventstore.log import LOG_START
from projections import _tables
from projections.errors import ProjectionChanged
from projections.projection import AnyProjection

State: TypeAlias = Literal["building", "live", "retired"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One build of a projection's tables."""

    projection: str
    number: int
    """1 for the first."""
    fingerprint: bytes
    """Of the kind, the projection version and the tables it was made for."""
    version: int
    """The projection version it was made for."""
    schema: str
    """The PostgreSQL schema that holds its tables."""
    state: State


def lock(db: Connection[TupleRow], projection: str) -> None:
    """Let one process at a time change a projection's generations, until the transaction ends."""
    db.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number(f"generations of {projection}"),))


def lock_number(name: str) -> int:
    """A signed 64-bit number for the name, alike in all processes."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


def find(db: Connection[TupleRow], projection: str) -> list[Generation]:
    """All generations of a projection, the oldest first."""
    rows = db.execute(
        "SELECT projection, generation, fingerprint, version, schema, state"
        " FROM foldlog.generations WHERE projection = %s ORDER BY generation",
        (projection,),
    )
    return [_generation(row) for row in rows]


def _generation(row: TupleRow) -> Generation:
    projection, number, fingerprint, version, schema, state = row
    known = next(name for name in get_args(State) if name == state)
    return Generation(projection, number, bytes(fingerprint), version, schema, known)


def live(db: Connection[TupleRow], projection: str) -> Generation | None:
    """The generation that readers see; None: the projection was never created."""
    return next((one for one in find(db, projection) if one.state == "live"), None)


def building(db: Connection[TupleRow], projection: str) -> Generation | None:
    """The generation that is being built, or was left behind."""
    return next((one for one in find(db, projection) if one.state == "building"), None)


def create(
    db: Connection[TupleRow],
    projection: AnyProjection,
    partitions: Mapping[str, int],
    *,
    state: Literal["building", "live"],
) -> Generation:
    """Make the next generation: its tables with their primary keys, its positions at the start.

    The other indexes are made by `build_indexes`. The caller holds `lock` and commits.
    """
    number = max((one.number for one in find(db, projection.name)), default=0) + 1
    made = Generation(
        projection.name,
        number,
        projection.fingerprint(),
        projection.version,
        f"{projection.name}_g{number}",
        state,
    )
    db.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(made.schema)))
    search_in(db, made.schema, projection.extension_schemas)
    for table in projection.declared_tables():
        db.execute(_tables.create_table(table).encode())
    db.execute(
        "INSERT INTO foldlog.generations VALUES (%s, %s, %s, %s, %s, %s)",
        (made.projection, number, made.fingerprint, made.version, made.schema, state),
    )
    _create_positions(db, made, partitions)
    return made


def _create_positions(
    db: Connection[TupleRow], generation: Generation, partitions: Mapping[str, int]
) -> None:
    start = (generation.projection, generation.number)
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO foldlog.positions (projection, generation, topic, partition,"
            " next_offset, epoch, writer, next_sequence) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (*start, topic, partition, *LOG_START)
                for topic, count in sorted(partitions.items())
                for partition in range(count)
            ],
        )


def build_indexes(
    db: Connection[TupleRow], projection: AnyProjection, generation: Generation
) -> int:
    """Build the indexes beside the primary keys; returns how many. The caller commits."""
    search_in(db, generation.schema, projection.extension_schemas)
    statements = [
        statement
        for table in projection.declared_tables()
        for statement in _tables.create_indexes(table)
    ]
    for statement in statements:
        db.execute(statement.encode())
    return len(statements)


def search_in(db: Connection[TupleRow], schema: str, extensions: Sequence[str]) -> None:
    """Have unqualified names found in the generation alone, until the transaction ends."""
    path = sql.SQL(", ").join(map(sql.Identifier, (schema, *extensions)))
    db.execute(sql.SQL("SET LOCAL search_path = {}").format(path))


def drop(db: Connection[TupleRow], generation: Generation) -> None:
    """Drop a generation that readers do not see: its tables, positions and row.

    It fails, and drops nothing, if something else depends on a table. The caller commits.
    """
    tables = db.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s", (generation.schema,)
    ).fetchall()
    schema = sql.Identifier(generation.schema)
    for (table,) in tables:
        db.execute(sql.SQL("DROP TABLE {}.{}").format(schema, sql.Identifier(table)))
    db.execute(sql.SQL("DROP SCHEMA IF EXISTS {}").format(schema))
    db.execute(
        "DELETE FROM foldlog.generations WHERE projection = %s AND generation = %s",
        (generation.projection, generation.number),
    )


def check(
    db: Connection[TupleRow],
    projection: AnyProjection,
    generation: Generation,
    partitions: Mapping[str, int],
) -> None:
    """Raise `ProjectionChanged` unless this code may feed the generation."""
    rebuild = f"run `foldlog rebuild {projection.name}`"
    if generation.fingerprint != projection.fingerprint():
        raise ProjectionChanged(
            projection.name,
            generation.number,
            f"one of projection version {generation.version} or other tables "
            f"(this code: projection version {projection.version})",
            rebuild,
        )
    found = db.execute(
        "SELECT topic, count(*) FROM foldlog.positions WHERE projection = %s AND generation = %s"
        " GROUP BY topic",
        (generation.projection, generation.number),
    ).fetchall()
    if dict(found) != dict(partitions):
        raise ProjectionChanged(
            projection.name,
            generation.number,
            f"positions in {dict(found)}, while its aggregates have {dict(partitions)}",
            f"raise its version and {rebuild}",
        )
