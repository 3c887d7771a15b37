"""The bank account: the example domain of all tests."""

from typing import Self, assert_never

from pydantic import PositiveInt

from eventstore import Aggregate, Event


class AccountOpened(Event, name="account_opened"):
    owner: str


class MoneyDeposited(Event, name="money_deposited"):
    amount: PositiveInt


class MoneyWithdrawn(Event, name="money_withdrawn"):
    amount: PositiveInt


AccountEvent = AccountOpened | MoneyDeposited | MoneyWithdrawn


class Account(Aggregate[AccountEvent], topic="accounts"):
    owner: str = ""
    balance: int = 0

    @classmethod
    def open(cls, id: str, owner: str) -> Self:  # noqa: A002 - as users write it
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
