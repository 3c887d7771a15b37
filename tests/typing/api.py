"""The API as the type checkers see it: checked by mypy and pyright, never run."""

from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, assert_never, assert_type
from uuid import uuid4

from eventstore import (
    Aggregate,
    Appended,
    AsyncRepository,
    Event,
    EventStore,
    MemoryEventStore,
    Metadata,
    Recorded,
    Repository,
    carrying,
)
from eventstore.avro import EventCodec
from eventstore.testing import Given, Outcome, given
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn

store: EventStore = MemoryEventStore()

# Aggregates

account = Account.open("alice", owner="Alice")
assert_type(account, Account)
assert_type(account.id, str)
assert_type(account.version, int)
assert_type(account.balance, int)
assert_type(account.pending, tuple[AccountOpened | MoneyDeposited | MoneyWithdrawn, ...])
account.record(MoneyDeposited(amount=1), at=datetime.now(UTC))
account.balance = "7"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
account.version = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


class Closed(Event, name="closed"):
    """Not an event of the account."""


account.record(Closed())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Events

opened = AccountOpened(owner="Alice")
AccountOpened(owner=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
AccountOpened()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
opened.owner = "Bob"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
assert_type(AccountOpened.event_name, str)
assert_type(AccountOpened.codec, EventCodec[Event])


class Nameless(Event):  # pyright: ignore[reportCallIssue]
    """Its stored name was forgotten."""


class Topicless(Aggregate[AccountEvent]):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    """Its topic was forgotten."""

    def apply(self, event: AccountEvent) -> None:
        """Forget it."""


class Forgetful(Aggregate[AccountEvent], topic="forgetful"):
    """Its fold forgets an event."""

    def apply(self, event: AccountEvent) -> None:
        """Forget withdrawals."""
        match event:
            case AccountOpened() | MoneyDeposited():
                pass
            case _:
                assert_never(event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def describe(event: AccountEvent) -> str:
    """Every event is described, so that nothing is left to fall through."""
    match event:
        case AccountOpened(owner=owner):
            assert_type(owner, str)
            return f"{owner} opened it"
        case MoneyDeposited(amount=amount) | MoneyWithdrawn(amount=amount):
            assert_type(amount, int)
            return f"{amount} moved"


# Repositories

accounts = Repository(store, Account)
assert_type(accounts, Repository[Account])
assert_type(accounts.get("alice"), Account)
assert_type(accounts.save(account), Appended)
assert_type(accounts.submit(account, append_id=uuid4()), Future[Appended])
assert_type(accounts.execute("alice", lambda account: account.deposit(7), attempts=3), Appended)
with accounts.edit("alice") as edited:
    assert_type(edited, Account)


# Ids may be UUIDs, and metadata goes along

assert_type(Account(uuid4()), Account)
assert_type(accounts.get(uuid4()), Account)
metadata = Metadata(correlation_id="r1", user={"tenant": "blue"})
assert_type(accounts.save(account, metadata=metadata), Appended)
assert_type(
    accounts.execute(uuid4(), lambda account: account.deposit(7), metadata=metadata), Appended
)
with carrying(metadata), accounts.edit(uuid4(), metadata=metadata) as edited:
    assert_type(edited, Account)
Account(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Metadata(correlation_id=uuid4())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
metadata.user["tenant"] = "red"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


# asyncio


async def awaits() -> None:
    """What is awaited is what the other front gives."""
    awaited = AsyncRepository(accounts)
    assert_type(awaited, AsyncRepository[Account])
    assert_type(await awaited.get(uuid4()), Account)
    assert_type(await awaited.save(account, append_id=uuid4()), Appended)
    assert_type(await (await awaited.submit(account)), Appended)
    assert_type(await awaited.execute("alice", lambda it: it.deposit(7), attempts=3), Appended)
    async with awaited.edit("alice") as edited:
        assert_type(edited, Account)
    with awaited.edit("alice"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


# Given, when, then

alice = given(Account, AccountOpened(owner="Alice"), id=uuid4())
assert_type(alice, Given[Account])
outcome = alice.when(lambda account: account.deposit(7))
assert_type(outcome, Outcome[Account])
assert_type(outcome.then(MoneyDeposited(amount=7)), Outcome[Account])
assert_type(outcome.then(ValueError).then(ValueError("too much")), Outcome[Account])
assert_type(outcome.then_state(balance=7).aggregate.balance, int)
alice.when(lambda account: account.missing())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownLambdaType, reportUnknownMemberType]
outcome.then("deposited")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
given(Account, "opened")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Ledger(Aggregate[Closed], topic="ledgers"):
    """An aggregate of one event."""

    def apply(self, event: Closed) -> None:
        """Do nothing."""


accounts.save(Ledger("one"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# Recorded events are as specific as they are known to be


def ends(recorded: Recorded[Closed]) -> Recorded[Event]:
    """What is recorded of one event is recorded of any."""
    assert_type(recorded.event, Closed)
    assert_type(recorded.at, datetime)
    return recorded


def starts(recorded: Recorded[Any]) -> None:
    """Positions are plain facts."""
    assert_type(recorded.position.offset, int)
    assert_type(recorded.metadata, Metadata | None)
