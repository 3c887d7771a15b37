"""Projections as users define them: what is read from the class, and what is refused."""

import dataclasses
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eventstore import Aggregate, Event, Recorded
from projections import (
    DELETE,
    Delete,
    InvalidProjection,
    InvalidRow,
    RowProjection,
    SqlProjection,
    folded,
)
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn
from tests.projections.read_models import Balance, Balances, Held, HeldByDigit, Owners


def recorded(event: Event, stream: str = "a", version: int = 1) -> Recorded[Any]:
    return Recorded(event, stream, version, 0, "accounts", 0, version, bytes(16), 0, 1)


def nothing(*_: Any) -> None:
    """A `project` that does nothing; a `fold` that forgets to return."""


def stream_of(_: Any, recorded: Recorded[AccountEvent]) -> str:
    return recorded.stream


def owner_of(_: Any, recorded: Recorded[AccountOpened]) -> str:
    return recorded.event.owner


def sql_projection(**members: Any) -> type[SqlProjection[AccountEvent]]:
    given: dict[str, Any] = {
        "name": "some",
        "version": 1,
        "aggregates": (Account,),
        "tables": (table(),),
        "project": nothing,
    }
    return type("Some", (SqlProjection,), given | members)


def table(*columns: sa.Column[Any], name: str = "some", **options: Any) -> sa.Table:
    key = sa.Column("id", sa.Text, primary_key=True)
    return sa.Table(name, sa.MetaData(), key, *columns, **options)


def column(*arguments: Any, **options: Any) -> sa.Column[Any]:
    kind, *more = arguments or (sa.Integer,)
    return sa.Column("other", kind, *more, **options)


def test_a_projection_is_tested_as_given_and_then_without_a_database() -> None:
    history = [
        recorded(AccountOpened(owner="Ann")),
        recorded(MoneyDeposited(amount=10), version=2),
        recorded(MoneyWithdrawn(amount=3), version=3),
    ]
    assert folded(Balances(), history) == {"a": Balance("a", "Ann", 7, 3)}
    assert folded(HeldByDigit(), history) == {"a": Held("a", 7, 2)}


def test_a_deleted_row_is_gone_and_may_come_again() -> None:
    there = [recorded(MoneyDeposited(amount=5)), recorded(MoneyWithdrawn(amount=5))]
    assert folded(HeldByDigit(), there) == {}
    assert folded(HeldByDigit(), [*there, recorded(MoneyDeposited(amount=1))]) == {
        "a": Held("a", 1, 1)
    }


def test_the_row_and_the_events_are_read_from_the_brackets() -> None:
    assert Balances.row is Balance
    assert Balances.events is None
    assert Owners.events == (AccountOpened,)


def test_events_named_in_the_class_win() -> None:
    assert sql_projection(events=(MoneyDeposited,)).events == (MoneyDeposited,)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"name": "Some"}, "lower-case"),
        ({"name": "some-thing"}, "lower-case"),
        ({"name": "x" * 42}, "lower-case"),
        ({"version": 0}, "whole number"),
        ({"version": True}, "whole number"),
        ({"aggregates": ()}, "no aggregates"),
        ({"tables": ()}, "no tables"),
        ({"tables": ("some",)}, "neither a SQLAlchemy Table"),
        ({"tables": (table(), table())}, "named twice"),
        ({"tables": (table(schema="public"),)}, "names the schema 'public'"),
        ({"tables": (sa.Table("some", sa.MetaData(), column()),)}, "no primary key"),
        ({"tables": (table(column(sa.Text, sa.ForeignKey("x.id"))),)}, "foreign key"),
        ({"tables": (table(column(sa.Integer, sa.Identity())),)}, "counts by itself"),
        ({"tables": (table(column(server_default=sa.func.now())),)}, "server default"),
        ({"tables": (table(column(server_default=sa.text("random()"))),)}, "server default"),
        ({"tables": (table(column(default=lambda: 1)),)}, "default that is no constant"),
        ({"tables": (table(column(onupdate=sa.func.now())),)}, "default that is no constant"),
        ({"tables": (table(column(sa.Enum("a", "b", name="ab"))),)}, "native_enum=False"),
    ],
)
def test_what_could_not_be_kept_exactly_once_is_refused(
    members: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidProjection, match=message) as caught:
        sql_projection(**members)
    assert caught.value.advice in str(caught.value)


def test_a_counting_key_is_refused() -> None:
    key = sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)
    with pytest.raises(InvalidProjection, match="counts by itself"):
        sql_projection(tables=(sa.Table("some", sa.MetaData(), key),))


@pytest.mark.parametrize("text", ["'x'", "0", "-1.5", "true", "NULL", "'{}'::jsonb", "'a''b'"])
def test_constant_defaults_are_allowed(text: str) -> None:
    sql_projection(tables=(table(column(server_default=sa.text(text), default=3)),))


def test_an_event_of_no_aggregate_is_refused() -> None:
    class Strange(Event, name="test_projection.strange"):
        pass

    with pytest.raises(InvalidProjection, match="Strange is no event of its aggregates"):
        sql_projection(events=(Strange,))


class Plain:
    id: str
    other: int


@dataclasses.dataclass
class Changeable:
    id: str
    other: int


class Short(NamedTuple):
    id: str


class Long(NamedTuple):
    id: str
    other: int
    more: int


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Plain, "neither a NamedTuple nor a frozen dataclass"),
        (Changeable, "neither a NamedTuple nor a frozen dataclass"),
        (Short, "lacks the columns other"),
        (Long, "fields without column more"),
    ],
)
def test_a_row_that_is_not_the_tables_is_refused(row: type[Any], message: str) -> None:
    with pytest.raises(InvalidProjection, match=message):
        row_projection(row, table(column()))


def row_projection(row: type[Any], rows: sa.Table, **members: Any) -> type[RowProjection[Any, Any]]:
    given: dict[str, Any] = {
        "name": "some",
        "version": 1,
        "aggregates": (Account,),
        "table": rows,
        "row": row,
        "key": stream_of,
        "fold": nothing,
    }
    return type("Some", (RowProjection,), given | members)


def test_a_stream_as_key_needs_one_topic() -> None:
    class Saving(Aggregate[AccountOpened], topic="savings"):
        def apply(self, event: AccountOpened) -> None:
            pass

    both = {"aggregates": (Account, Saving), "key_is_stream": True}
    with pytest.raises(InvalidProjection, match="several topics"):
        row_projection(Short, table(), **both)


def test_a_key_that_is_not_the_stream_is_noticed_where_it_is_said_to_be() -> None:
    said: dict[str, Any] = {"key_is_stream": True, "key": owner_of}
    projection = row_projection(Short, table(), **said)()
    with pytest.raises(InvalidRow, match="without the stream 'a'"):
        folded(projection, [recorded(AccountOpened(owner="Ann"))])


def test_a_forgotten_return_is_noticed() -> None:
    projection = row_projection(Short, table())()
    with pytest.raises(InvalidRow, match="None from `fold`"):
        folded(projection, [recorded(AccountOpened(owner="Ann"))])


def test_an_orm_class_stands_for_its_table() -> None:
    class Mapper(DeclarativeBase):
        pass

    class Named(Mapper):
        __tablename__ = "named"
        id: Mapped[str] = mapped_column(sa.Text, primary_key=True)

    class Names(RowProjection[AccountEvent, Short]):
        name = "names"
        version = 1
        aggregates = (Account,)
        table = Named

        def key(self, recorded: Recorded[AccountEvent]) -> str:
            return recorded.stream

        def fold(self, row: Short | None, recorded: Recorded[AccountEvent]) -> Short | Delete:
            return DELETE if row else Short(recorded.stream)

    assert Names.declared_tables() == (Named.__table__,)


def test_the_fingerprint_changes_with_kind_version_and_tables_alone() -> None:
    plain = sql_projection().fingerprint()
    assert sql_projection().fingerprint() == plain
    assert sql_projection(name="another").fingerprint() == plain
    changed = [
        sql_projection(version=2),
        sql_projection(tables=(table(column()),)),
        sql_projection(tables=(table(name="another"),)),
        sql_projection(tables=(table(column(index=True)),)),
        sql_projection(tables=(table(column(nullable=False)),)),
        row_projection(Short, table()),
    ]
    assert len({plain, *(one.fingerprint() for one in changed)}) == len(changed) + 1
