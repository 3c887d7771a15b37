"""Rows of a row projection in PostgreSQL: loaded by key, and written back, a batch at a time.

Few rows travel as arrays in one statement (`unnest`), many by COPY into a temporary table and
a merge. Values go in binary where psycopg can; their types are what PostgreSQL says of the
table, so that an int given for a float column is a float.
"""

import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from psycopg import Connection
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from projections import _row_types, defaults
from projections._row_sql import Column, describe, statements
from projections.errors import InvalidRow
from projections.projection import RowProjection

_Convert: TypeAlias = Callable[[tuple[Any, ...]], tuple[Any, ...]]


class _Array(NamedTuple):
    """A binary array, ready to be sent."""

    data: bytes


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        return obj.data


class RowTable:
    """The rows of one generation's table, over one connection, inside its transactions."""

    def __init__(
        self, db: Connection[TupleRow], projection: RowProjection[Any, Any], schema: str
    ) -> None:
        self._db = db
        self._name = projection.name
        self._row = projection.row
        table = projection.declared_tables()[0]
        db.adapters.register_dumper(_Array, _ArrayDumper)
        fields = _row_types.fields(projection.row) or ()
        key = [fields.index(column.name) for column in table.primary_key.columns]
        self._columns = describe(db, schema, table.name, fields)
        self._key = [self._columns[index] for index in key]
        self._key_of = itemgetter(*key)
        self._make, self._take = _row_types.maker(self._row), _row_types.taker(self._row)
        self._to_db, self._from_db = _converters(table, self._columns)
        self._binary = all(column.array is not None for column in self._columns)
        self._sql = statements(schema, table.name, self._columns, self._key)
        self._lock_class = zlib.crc32(schema.encode()) - (1 << 31)

    def lock(self, keys: Sequence[Hashable]) -> None:
        """Keep other partitions from these rows until the transaction ends.

        All keys share 256 locks, taken in ascending order. PostgreSQL hashes the keys, so that
        those which it holds equal have one lock.
        """
        self._db.execute(self._sql.lock, [self._lock_class, *self._key_arrays(keys)])

    def load(self, keys: Sequence[Hashable]) -> dict[Hashable, Any]:
        """The rows that exist, by key, in one statement.

        Raises:
            InvalidRow: A key does not fit the primary key, or comes back as another one.
        """
        wanted = set(keys)
        cursor = self._db.execute(self._sql.load, self._key_arrays(keys), binary=self._binary)
        rows: dict[Hashable, Any] = {}
        for stored in cursor:
            values = self._from_db(stored) if self._from_db else stored
            key: Hashable = self._key_of(values)
            if key not in wanted:
                raise InvalidRow(
                    self._name,
                    key,
                    "a key that PostgreSQL holds equal to one of the batch, and Python does not",
                    "let `key` return the value as it is stored (case, padding, digits)",
                )
            rows[key] = self._make(values)
        return rows

    def write(self, rows: Mapping[Any, Any], gone: Sequence[Hashable]) -> None:
        """Insert or update ``rows``, given by key, and delete the rows that are gone.

        Raises:
            InvalidRow: A row is not of the projection's row class, or has another key.
        """
        values = [self._values(key, row) for key, row in rows.items()]
        if len(values) > defaults.ROWS_BY_ARRAY or not self._binary:
            self._copy(values)
        elif values:
            parts = zip(*values, strict=True)
            self._db.execute(self._sql.upsert, _arrays(self._columns, parts))
        if gone:
            self._db.execute(self._sql.delete, self._key_arrays(gone))

    def _values(self, key: Hashable, row: Any) -> tuple[Any, ...]:
        if type(row) is not self._row:
            raise InvalidRow(
                self._name, key, f"{row!r} from `fold`", f"return a {self._row.__name__} or DELETE"
            )
        values = self._take(row)
        if self._key_of(values) != key:
            raise InvalidRow(
                self._name,
                key,
                f"a row with the key {self._key_of(values)!r}",
                "let `fold` return the row that `key` names",
            )
        return self._to_db(values) if self._to_db else values

    def _copy(self, values: Sequence[tuple[Any, ...]]) -> None:
        if not values:
            return
        self._db.execute(self._sql.temporary)
        self._db.execute(self._sql.clear)  # of an earlier write in this transaction
        statement = self._sql.copy_binary if self._binary else self._sql.copy
        with self._db.cursor() as cursor:
            with cursor.copy(statement) as copy:
                if self._binary:
                    copy.set_types([column.oid for column in self._columns])
                write = copy.write_row
                for row in values:
                    write(row)
            cursor.execute(self._sql.merge)

    def _key_arrays(self, keys: Sequence[Hashable]) -> list[Any]:
        if len(self._key) == 1:
            return _arrays(self._key, [keys])
        tuples: list[Any] = []
        for key in keys:
            if not _is_tuple(key, len(self._key)):
                raise InvalidRow(
                    self._name,
                    key,
                    "a key that is not of the primary key's columns",
                    f"return a tuple of {', '.join(column.name for column in self._key)}",
                )
            tuples.append(key)
        return _arrays(self._key, zip(*tuples, strict=True))


def _is_tuple(key: Any, length: int) -> bool:
    return issubclass(type(key), tuple) and len(key) == length


def _arrays(columns: Sequence[Column], parts: Any) -> list[Any]:
    """One array for each column; binary, or for psycopg to make one of."""
    return [
        list(part) if column.array is None else _Array(bytes(column.array.dump(list(part)) or b""))
        for column, part in zip(columns, parts, strict=True)
    ]


def _converters(
    table: sa.Table, columns: Sequence[Column]
) -> tuple[_Convert | None, _Convert | None]:
    """What SQLAlchemy's types do to values on the way in and out; None: nothing."""
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    types = [
        table.columns[_key_in(table, column.name)].type.dialect_impl(dialect) for column in columns
    ]
    return (
        _converter([one.bind_processor(dialect) for one in types]),
        _converter(
            [
                one.result_processor(dialect, column.oid)
                for one, column in zip(types, columns, strict=True)
            ]
        ),
    )


def _key_in(table: sa.Table, name: str) -> str:
    return next(column.key for column in table.columns if column.name == name)


def _converter(processors: Sequence[Callable[[Any], Any] | None]) -> _Convert | None:
    if not any(processors):
        return None
    return lambda values: tuple(
        value if process is None else process(value)
        for process, value in zip(processors, values, strict=True)
    )
