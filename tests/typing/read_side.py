"""Projections as the type checkers see them: checked by mypy and pyright, never run."""

from typing import NamedTuple, assert_never, assert_type

import sqlalchemy as sa

from eventstore import Recorded
from projections import (
    DELETE,
    AnyProjection,
    Delete,
    Lag,
    ReadModel,
    Rebuilt,
    RowProjection,
    SqlProjection,
)
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn


class Balance(NamedTuple):
    """A row."""

    account: str
    balance: int


balances = sa.Table(
    "balances",
    sa.MetaData(),
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("balance", sa.BigInteger, nullable=False),
)


class Balances(RowProjection[AccountEvent, Balance]):
    """Nothing is missing."""

    name = "balances"
    version = 1
    aggregates = (Account,)
    table = balances
    key_is_stream = True

    def key(self, recorded: Recorded[AccountEvent]) -> str | None:
        """The account."""
        return recorded.stream

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance | Delete:
        """Delete what is empty."""
        row = row or Balance(recorded.stream, 0)
        match recorded.event:
            case AccountOpened():
                return row
            case MoneyDeposited(amount=amount):
                assert_type(amount, int)
                return row._replace(balance=row.balance + amount)
            case MoneyWithdrawn(amount=amount):
                left = row.balance - amount
                return row._replace(balance=left) if left else DELETE
            case _:
                assert_never(recorded.event)


class Forgetful(Balances):
    """It forgets an event."""

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
        """Forget withdrawals."""
        match recorded.event:
            case AccountOpened() | MoneyDeposited():
                return row or Balance(recorded.stream, 0)
            case _:
                assert_never(recorded.event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Careless(Balances):
    """It forgets to return."""

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:  # type: ignore[return]  # pyright: ignore[reportReturnType]  # noqa: RET503
        """Forget a row that is there."""
        if row is None:
            return Balance(recorded.stream, 0)


class Wrong(Balances):
    """Its row is another."""

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return something else."""
        return str(row) + recorded.stream


class Opened(SqlProjection[AccountOpened]):
    """In SQL, of one event."""

    name = "opened"
    version = 1
    aggregates = (Account,)
    tables = (balances,)

    def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
        """List it."""
        assert_type(recorded.event.owner, str)
        db.execute(sa.insert(balances).values(account=recorded.stream, balance=0))


class Nothing(SqlProjection[AccountOpened]):
    """Its `project` was forgotten."""

    name = "nothing"
    version = 1
    aggregates = (Account,)
    tables = (balances,)


Nothing()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
both: list[AnyProjection] = [Balances(), Opened()]


def keep(model: ReadModel) -> None:
    """What a read model gives."""
    assert_type(model.lag(), list[Lag])
    assert_type(model.rebuild(discard=True), Rebuilt)
