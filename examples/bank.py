from typing import Self, assert_never

import sqlalchemy as sa
from pydantic import PositiveInt

from eventstore import Aggregate, Event, Recorded
from foldlog import App
from projections import SqlProjection


class AccountOpened(Event, name="account_opened"):  # events say what happened
    owner: str


class MoneyDeposited(Event, name="money_deposited"):
    amount: PositiveInt


class MoneyWithdrawn(Event, name="money_withdrawn"):
    amount: PositiveInt


AccountEvent = AccountOpened | MoneyDeposited | MoneyWithdrawn


class Account(Aggregate[AccountEvent], topic="accounts"):  # decides, and folds what happened
    owner: str = ""
    balance: int = 0

    @classmethod
    def open(cls, id: str, owner: str) -> Self:
        account = cls(id)
        account.record(AccountOpened(owner=owner))
        return account

    def deposit(self, amount: int) -> None:
        self.record(MoneyDeposited(amount=amount))

    def withdraw(self, amount: int) -> None:
        if amount > self.balance:
            raise ValueError(f"{self.id} holds {self.balance}, not {amount}")
        self.record(MoneyWithdrawn(amount=amount))

    def apply(self, event: AccountEvent) -> None:
        match event:
            case AccountOpened(owner=owner):
                self.owner = owner
            case MoneyDeposited(amount=amount):
                self.balance += amount
            case MoneyWithdrawn(amount=amount):
                self.balance -= amount
            case _:
                assert_never(event)


balances = sa.Table(
    "balances",
    sa.MetaData(),
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("balance", sa.Integer, nullable=False),
)


class Balances(SqlProjection[AccountEvent]):  # folds the same events into rows
    name = "balances"
    version = 1
    aggregates = (Account,)
    tables = (balances,)

    def project(self, db: sa.Connection, recorded: Recorded[AccountEvent]) -> None:
        row = sa.update(balances).where(balances.c.account == recorded.stream)
        match recorded.event:
            case AccountOpened():
                db.execute(sa.insert(balances).values(account=recorded.stream, balance=0))
            case MoneyDeposited(amount=amount):
                db.execute(row.values(balance=balances.c.balance + amount))
            case MoneyWithdrawn(amount=amount):
                db.execute(row.values(balance=balances.c.balance - amount))
            case _:
                assert_never(recorded.event)


app = App(aggregates=[Account], projections=[Balances()])  # addresses come from the environment

if __name__ == "__main__":
    with app:  # connects
        accounts = app.repository(Account)
        accounts.save(Account.open("alice", owner="Alice"))
        accounts.execute("alice", lambda account: account.deposit(100))
        with accounts.edit("alice") as account:  # appended on exit, or ConcurrencyError
            account.withdraw(30)
        app.catch_up()  # every projection, to the end of the log as it is now
        with app.engine.connect() as db:
            print(db.execute(sa.select(balances)).all())  # [('alice', 70)]
