"""The bank account that all benchmarks use: its events, its aggregate, its balances."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Self, assert_never
from uuid import UUID

import sqlalchemy as sa
from pydantic import AwareDatetime, PositiveInt

from benchmarks.payments import Payment
from eventstore.aggregates import Aggregate
from eventstore.events import Event
from eventstore.store import Append, Recorded
from projections.projection import RowProjection

BOOKED: Final = datetime(2025, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


class AccountOpened(Event, name="account_opened"):
    """The first event of each stream."""

    owner: str


class MoneyDeposited(Event, name="money_deposited"):
    """About 60 bytes of Avro, with a field of each common type."""

    transfer: UUID
    amount: PositiveInt
    booked: AwareDatetime
    text: str


class MoneyWithdrawn(Event, name="money_withdrawn"):
    """As a deposit."""

    transfer: UUID
    amount: PositiveInt
    booked: AwareDatetime
    text: str


AccountEvent = AccountOpened | MoneyDeposited | MoneyWithdrawn
EVENT_TYPES: Final = (AccountOpened, MoneyDeposited, MoneyWithdrawn)


def event(n: int, version: int) -> AccountEvent:
    """The event number ``n``, as its stream's ``version``; the floors make the same."""
    if version == 1:
        return AccountOpened(owner=f"Owner {n % 1000}")
    return (MoneyDeposited, MoneyWithdrawn)[version % 2](
        transfer=UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128),
        amount=n % 997 + 1,
        booked=BOOKED + n * 1_000_003 * MICROSECOND,
        text=f"payment {n % 1000}",
    )


def appends(
    topic: str, prefix: str, *, appends: int, events: int, streams: int
) -> Iterator[Append]:
    """So many appends of so many events each, round and round over the streams."""
    for number in range(appends):
        expected = number // streams * events
        made = [event(number * events + i, expected + i + 1) for i in range(events)]
        stream = f"{prefix}{number % streams}"
        yield Append(topic, stream, made, expected, first_try=True)


class Account(Aggregate[AccountEvent], topic="accounts"):
    """The aggregate of these events; bulk appends are made beneath it, at the store port."""

    balance: int = 0

    @classmethod
    def open(cls, name: str, owner: str) -> Self:
        """A new account."""
        account = cls(name)
        account.record(AccountOpened(owner=owner))
        return account

    def pay(self, payment: Payment) -> None:
        """Deposit, or withdraw what there is."""
        if payment.amount <= 0:
            raise ValueError("expected an amount above 0")
        comes_in = payment.deposit or payment.amount > self.balance
        movement = MoneyDeposited if comes_in else MoneyWithdrawn
        self.record(
            movement(
                transfer=payment.transfer,
                amount=payment.amount,
                booked=payment.booked,
                text=payment.text,
            )
        )

    def apply(self, event: AccountEvent) -> None:
        """Fold an event into the balance."""
        match event:
            case AccountOpened():
                self.balance = 0
            case MoneyDeposited(amount=amount):
                self.balance += amount
            case MoneyWithdrawn(amount=amount):
                self.balance -= amount
            case _:
                assert_never(event)


class Balance(NamedTuple):
    """An account's row."""

    account: str
    balance: int
    movements: int
    last_booked: datetime | None


class Balances(RowProjection[AccountEvent, Balance]):
    """One row for each account."""

    name = "balances"
    version = 1
    aggregates = (Account,)
    key_is_stream = True
    table = sa.Table(
        "balances",
        sa.MetaData(),
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("balance", sa.BigInteger, nullable=False),
        sa.Column("movements", sa.BigInteger, nullable=False),
        sa.Column("last_booked", sa.DateTime(timezone=True)),
    )

    def key(self, recorded: Recorded[AccountEvent]) -> str:
        """The account."""
        return recorded.stream

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
        """The row as the event leaves it."""
        account, balance, movements, _ = row or Balance(recorded.stream, 0, 0, None)
        match recorded.event:
            case AccountOpened():
                return Balance(account, 0, 0, None)
            case MoneyDeposited(amount=amount, booked=booked):
                return Balance(account, balance + amount, movements + 1, booked)
            case MoneyWithdrawn(amount=amount, booked=booked):
                return Balance(account, balance - amount, movements + 1, booked)
            case _:
                assert_never(recorded.event)
