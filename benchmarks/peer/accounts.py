"""The bank account as pyeventsourcing's documentation writes one, with its application."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from benchmarks.payments import Payment


class Account(Aggregate):
    """The same state, the same events, the same decisions as `benchmarks.bank.Account`."""

    @event("Opened")
    def __init__(self, name: str, owner: str) -> None:
        self.name = name
        self.owner = owner
        self.balance = 0

    @staticmethod
    def create_id(name: str, owner: str) -> UUID:  # noqa: ARG004 - it is given what opens one
        """The id of the account of this name."""
        return id_of(name)

    def pay(self, payment: Payment) -> None:
        """Deposit, or withdraw what there is."""
        if payment.amount <= 0:
            raise ValueError("expected an amount above 0")
        if payment.deposit or payment.amount > self.balance:
            self.deposit(payment.transfer, payment.amount, payment.booked, payment.text)
        else:
            self.withdraw(payment.transfer, payment.amount, payment.booked, payment.text)

    @event("Deposited")
    def deposit(self, transfer: UUID, amount: int, booked: Any, text: str) -> None:  # noqa: ARG002
        """Money came in."""
        self.balance += amount

    @event("Withdrawn")
    def withdraw(self, transfer: UUID, amount: int, booked: Any, text: str) -> None:  # noqa: ARG002
        """Money went out."""
        self.balance -= amount


class Bank(Application[UUID]):
    """The application that keeps them."""


FASTEST: Final = {"POSTGRES_ENABLE_DB_FUNCTIONS": "y", "AGGREGATE_CACHE_MAXSIZE": "5000"}
"""What makes it faster: a function in the database that inserts and takes no table lock, so that a
follower may miss events of two that write at once; and a cache of aggregates."""


def application(job: Mapping[str, Any]) -> Bank:
    """Its application on the runner's database, as many connections open as there are threads."""
    where = conninfo_to_dict(job["postgres"])
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(where["dbname"]),
        "POSTGRES_HOST": str(where["host"]),
        "POSTGRES_PORT": str(where["port"]),
        "POSTGRES_USER": str(where["user"]),
        "POSTGRES_PASSWORD": str(where.get("password", "")),
        "POSTGRES_POOL_SIZE": str(job.get("threads", 1)),
    }
    return Bank(environment | FASTEST if job["fastest"] else environment)


def id_of(name: str) -> UUID:
    """The id of the account of this name, as its documentation derives one."""
    return uuid5(NAMESPACE_URL, f"/accounts/{name}")
