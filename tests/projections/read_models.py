"""The read models of the accounts that the tests keep."""

import time
from typing import NamedTuple, assert_never

import sqlalchemy as sa

from eventstore import Recorded
from projections import DELETE, Delete, RowProjection, SqlProjection
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn

metadata = sa.MetaData()


class Balance(NamedTuple):
    account: str
    owner: str
    balance: int
    changes: int


balances = sa.Table(
    "balances",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Index("balances_by_owner", "owner"),
)


class Balances(RowProjection[AccountEvent, Balance]):
    """One row an account, which belongs to one partition."""

    name = "balances"
    version = 1
    aggregates = (Account,)
    table = balances
    key_is_stream = True

    def key(self, recorded: Recorded[AccountEvent]) -> str:
        return recorded.stream

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
        event = recorded.event
        if isinstance(event, AccountOpened):
            return Balance(recorded.stream, event.owner, 0, 1)
        if row is None:
            raise ValueError(f"{recorded.stream} was never opened")
        match event:
            case MoneyDeposited(amount=amount):
                return row._replace(balance=row.balance + amount, changes=row.changes + 1)
            case MoneyWithdrawn(amount=amount):
                return row._replace(balance=row.balance - amount, changes=row.changes + 1)
            case _:
                assert_never(event)


class Held(NamedTuple):
    digit: str
    amount: int
    events: int


held = sa.Table(
    "held",
    metadata,
    sa.Column("digit", sa.Text, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("events", sa.BigInteger, nullable=False),
)


class HeldByDigit(RowProjection[AccountEvent, Held]):
    """A total over accounts of all partitions; gone whenever nothing is held."""

    name = "held_by_digit"
    version = 1
    aggregates = (Account,)
    table = held

    def key(self, recorded: Recorded[AccountEvent]) -> str | None:
        return None if isinstance(recorded.event, AccountOpened) else recorded.stream[-1]

    def fold(self, row: Held | None, recorded: Recorded[AccountEvent]) -> Held | Delete:
        row = row or Held(recorded.stream[-1], 0, 0)
        match recorded.event:
            case AccountOpened():
                return row
            case MoneyDeposited(amount=amount):
                row = row._replace(amount=row.amount + amount, events=row.events + 1)
            case MoneyWithdrawn(amount=amount):
                row = row._replace(amount=row.amount - amount, events=row.events + 1)
            case _:
                assert_never(recorded.event)
        return row if row.amount else DELETE


owners = sa.Table(
    "owners",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
)


class Owners(SqlProjection[AccountOpened]):
    """Who owns which account, written in SQL; reads one event only."""

    name = "owners"
    version = 1
    aggregates = (Account,)
    tables = (owners,)

    def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
        db.execute(sa.insert(owners).values(account=recorded.stream, owner=recorded.event.owner))


class SlowBalances(Balances):
    """The same, a little slower, so that a test can meet it at work."""

    name = "balances"

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
        time.sleep(0.001)
        return super().fold(row, recorded)
