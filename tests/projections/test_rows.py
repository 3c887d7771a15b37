"""Rows in PostgreSQL: every type comes back as it went, few rows or many."""

import dataclasses
from collections.abc import Callable, Generator, Hashable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import TupleRow
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from eventstore.postgres import address
from projections import InvalidRow, RowProjection, defaults
from projections._tables import create_table
from projections.rows import RowTable
from tests.bank import Account


class Wide(NamedTuple):
    """Not in the order of the columns, which must not matter."""

    text: str | None
    id: int
    day: date
    whole: int | None = None
    ratio: float | None = None
    digits: Decimal | None = None
    yes: bool | None = None
    at: datetime | None = None
    uuid: UUID | None = None
    raw: bytes | None = None
    choice: str | None = None
    json: Any = None


WIDE = sa.Table(
    "wide",
    sa.MetaData(),
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("text", sa.String(40)),
    sa.Column("whole", sa.SmallInteger),
    sa.Column("ratio", sa.Float),
    sa.Column("digits", sa.Numeric(12, 3)),
    sa.Column("yes", sa.Boolean),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("uuid", sa.Uuid),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("choice", sa.Enum("a", "b", native_enum=False)),
    sa.Column("json", JSONB),
)
DAY = date(2013, 1, 31)
FULL = Wide(
    'quoted "x", \\ and \t',
    1,
    DAY,
    -7,
    0.5,
    Decimal("1.250"),
    yes=True,
    at=datetime(2013, 1, 1, 12, 0, 0, 7, tzinfo=UTC),
    uuid=UUID(int=5),
    raw=b"\0\xff",
    choice="b",
    json={"a": [1, None]},
)


@dataclasses.dataclass(frozen=True)
class Padded:
    code: str
    words: list[str]


PADDED = sa.Table(
    "padded",
    sa.MetaData(),
    sa.Column("code", sa.CHAR(4), primary_key=True),
    sa.Column("words", ARRAY(sa.Text), nullable=False),
)

Make = Callable[..., RowTable]


@pytest.fixture
def db(postgres: str) -> Generator[psycopg.Connection[TupleRow]]:
    with address.connect(postgres) as connection:
        yield connection


@pytest.fixture
def make(db: psycopg.Connection[TupleRow]) -> Make:
    def made(row: type[Any], table: sa.Table) -> RowTable:
        members = {
            "name": "kept",
            "version": 1,
            "aggregates": (Account,),
            "table": table,
            "row": row,
            "key": lambda: None,
            "fold": lambda: None,
        }
        kept: type[RowProjection[Any, Any]] = type("Kept", (RowProjection,), members)
        db.execute("SET search_path = public")
        db.execute(create_table(table).encode())
        return RowTable(db, kept(), "public")

    return made


def test_values_of_every_type_come_back_as_they_went(make: Make) -> None:
    table = make(Wide, WIDE)
    empty = Wide(None, 2, DAY)
    table.write({(1, DAY): FULL, (2, DAY): empty}, [])
    assert table.load([(1, DAY), (2, DAY), (3, DAY)]) == {(1, DAY): FULL, (2, DAY): empty}


def test_many_rows_are_written_and_changed_like_few(make: Make) -> None:
    table = make(Wide, WIDE)
    count = defaults.ROWS_BY_ARRAY * 3
    rows: dict[Hashable, Any] = {(n, DAY): FULL._replace(id=n, whole=n % 9) for n in range(count)}
    table.write(rows, [])
    changed = {key: row._replace(whole=None) for key, row in list(rows.items())[: count // 2]}
    table.write(changed, list(rows)[count - 10 :])
    wanted = dict(list((rows | changed).items())[: count - 10])
    assert table.load(list(rows)) == wanted


def test_an_int_in_a_float_column_is_a_float(make: Make) -> None:
    table = make(Wide, WIDE)
    rows = {(n, DAY): Wide("x", n, DAY, ratio=[1, 2.5, None][n]) for n in range(3)}
    table.write(rows, [])
    assert table.load(list(rows)) == rows


def test_types_without_a_binary_form_go_as_text(make: Make) -> None:
    table = make(Padded, PADDED)
    rows = {"ab  ": Padded("ab  ", ["x", "y, z"]), "abcd": Padded("abcd", ["q"])}
    table.write(rows, [])
    assert table.load(["ab  ", "abcd", "none"]) == rows
    table.write({}, ["abcd"])
    assert set(table.load(["ab  ", "abcd"])) == {"ab  "}


def test_a_key_that_comes_back_as_another_is_refused(make: Make) -> None:
    table = make(Padded, PADDED)
    table.write({"ab  ": Padded("ab  ", ["x"])}, [])
    with pytest.raises(InvalidRow, match="as it is stored"):
        table.load(["ab"])


@pytest.mark.parametrize("key", ["x", (1,), (1, DAY, 2)])
def test_a_key_of_other_columns_is_refused(make: Make, key: Hashable) -> None:
    with pytest.raises(InvalidRow, match="a tuple of id, day"):
        make(Wide, WIDE).load([key])


def test_a_row_of_another_key_or_class_is_refused(make: Make) -> None:
    table = make(Wide, WIDE)
    with pytest.raises(InvalidRow, match="row that `key` names"):
        table.write({(2, DAY): FULL}, [])
    with pytest.raises(InvalidRow, match="return a Wide or DELETE"):
        table.write({(1, DAY): tuple(FULL)}, [])


def test_equal_keys_of_two_partitions_wait_for_each_other(
    make: Make, db: psycopg.Connection[TupleRow], postgres: str
) -> None:
    table = make(Wide, WIDE)
    table.lock([(1, DAY), (2, DAY)])
    query = "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND granted ORDER BY 1"
    locks = db.execute(query).fetchall()
    assert len(locks) == 2
    db.rollback()
    with address.connect(postgres) as other:
        assert other.execute(query).fetchall() == []
