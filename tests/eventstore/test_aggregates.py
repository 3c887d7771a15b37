import copy
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from types import new_class
from typing import Any, ClassVar, Literal

import pytest
from pydantic import NonNegativeInt, ValidationError

from eventstore import (
    Aggregate,
    DefinitionError,
    Event,
    InvalidAppend,
    InvalidStreamId,
    Recorded,
)
from eventstore.aggregates import check_aggregates
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn


class Opened(Event, name="tests.opened"):
    limit: int


class Booked(Event, name="tests.booked"):
    amount: int


class Ledger(Aggregate[Opened | Booked], topic="ledgers"):
    unit: ClassVar[str] = "cents"
    limit: NonNegativeInt = 0
    entries: list[int] = []  # noqa: RUF012 - each instance has a copy of its own
    state: Literal["new", "open"] = "new"

    def apply(self, event: Opened | Booked) -> None:
        match event:
            case Opened(limit=limit):
                self.state = "open"
                self.limit = limit
            case Booked(amount=amount):
                self.entries = [*self.entries, amount]


def history(*events: Event) -> list[Recorded[Any]]:
    return [
        Recorded(event, "id", version, 0, "topic", 0, version - 1, bytes(16), 0, 1)
        for version, event in enumerate(events, 1)
    ]


class Applies:
    """An apply for aggregates that are only defined."""

    def apply(self, event: Any) -> None:
        """Do nothing."""


def define(
    base: Any, members: dict[str, Any] | None = None, *, topic: str = "made"
) -> type[Aggregate[Any]]:
    """An aggregate class with these members."""

    def body(namespace: dict[str, Any]) -> None:
        namespace.update(members or {})

    return new_class("Made", (Applies, base), {"topic": topic}, body)


def test_the_union_of_events_is_read_from_the_base() -> None:
    assert Account.topic == "accounts"
    assert Account.event_types == (AccountOpened, MoneyDeposited, MoneyWithdrawn)
    assert define(Aggregate[Opened]).event_types == (Opened,)


def test_a_subclass_has_the_events_and_fields_of_its_base() -> None:
    class Savings(Account, topic="savings"):
        rate: float = 0.5

    savings = Savings.open("alice", owner="Alice")
    assert Savings.event_types == Account.event_types
    assert (savings.owner, savings.rate, savings.topic) == ("Alice", 0.5, "savings")
    assert Account.topic == "accounts"


def test_a_recorded_event_is_applied_at_once_and_pending() -> None:
    account = Account.open("alice", owner="Alice")
    account.deposit(100)
    account.withdraw(30)
    assert (account.owner, account.balance) == ("Alice", 70)
    assert account.pending == (
        AccountOpened(owner="Alice"),
        MoneyDeposited(amount=100),
        MoneyWithdrawn(amount=30),
    )
    assert account.version == 0


def test_a_command_that_refuses_records_nothing() -> None:
    account = Account.open("alice", owner="Alice")
    with pytest.raises(ValueError, match="alice holds 0, not 30"):
        account.withdraw(30)
    assert account.pending == (AccountOpened(owner="Alice"),)


def test_an_event_happens_now_or_when_it_is_said_to() -> None:
    account = Account("alice")
    before = datetime.now(UTC)
    account.record(AccountOpened(owner="Alice"))
    account.record(MoneyDeposited(amount=1), at=datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC))
    now, past = account.pending_times
    assert before.timestamp() * 1e6 - 1 <= now <= datetime.now(UTC).timestamp() * 1e6 + 1
    assert past == -1_000_000


def test_a_time_without_a_zone_is_refused() -> None:
    account = Account("alice")
    with pytest.raises(InvalidAppend, match="give an aware datetime"):
        account.record(AccountOpened(owner="Alice"), at=datetime(2013, 1, 1))  # noqa: DTZ001
    assert account.pending == ()
    assert account.owner == ""


@pytest.mark.parametrize(
    "at",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_time_that_utc_cannot_hold_is_refused(at: datetime) -> None:
    account = Account("alice")
    with pytest.raises(InvalidAppend, match="before the year 1 or after 9999 in UTC; give one"):
        account.record(MoneyDeposited(amount=1), at=at)
    assert (account.pending, account.balance) == ((), 0)
    account.record(MoneyDeposited(amount=1), at=at.replace(tzinfo=UTC))


@pytest.mark.parametrize("at", ["2020-01-01", date(2020, 1, 1), 1_577_836_800_000_000])
def test_a_time_that_is_no_datetime_is_refused(at: Any) -> None:
    account = Account("alice")
    with pytest.raises(InvalidAppend, match=r"its time is of type \w+; give an aware datetime"):
        account.record(MoneyDeposited(amount=1), at=at)
    assert (account.pending, account.balance) == ((), 0)


def test_an_event_of_another_aggregate_is_refused() -> None:
    account: Any = Account("alice")
    with pytest.raises(InvalidAppend, match="Booked is not an event of Account; record one of"):
        account.record(Booked(amount=1))
    assert account.pending == ()


def test_if_apply_raises_nothing_is_recorded_and_the_fields_are_as_before() -> None:
    ledger = Ledger("one")
    with pytest.raises(ValidationError) as caught:
        ledger.record(Opened(limit=-1))
    assert (ledger.state, ledger.limit, ledger.pending) == ("new", 0, ())
    assert caught.value.__notes__ == ["while setting limit of Ledger('one', version=0)"]


def test_replaying_a_stream_gives_its_state_and_version() -> None:
    account = Account("alice")
    account.deposit(5)
    account.replay(history(AccountOpened(owner="Alice"), MoneyDeposited(amount=7)))
    assert (account.owner, account.balance, account.version) == ("Alice", 7, 2)
    assert account.pending == ()
    account.replay([])
    assert (account.owner, account.balance, account.version) == ("", 0, 0)


def test_advancing_makes_pending_events_part_of_the_version() -> None:
    account = Account.open("alice", owner="Alice")
    account.deposit(5)
    account.advance(1)
    assert (account.version, account.pending) == (1, (MoneyDeposited(amount=5),))
    assert len(account.pending_times) == 1


def test_every_value_set_is_validated() -> None:
    ledger: Any = Ledger("one")
    ledger.limit = "7"
    assert ledger.limit == 7
    for name, value in (("limit", -1), ("entries", ["x"]), ("state", "shut")):
        with pytest.raises(ValidationError):
            setattr(ledger, name, value)
    assert vars(ledger) == {"limit": 7, "entries": [], "state": "new"}


def test_each_instance_has_a_copy_of_the_defaults() -> None:
    one, other = Ledger("one"), Ledger("other")
    one.entries.append(1)
    assert other.entries == Ledger.entries == []


def test_only_declared_fields_can_be_set() -> None:
    account: Any = Account("alice")
    with pytest.raises(AttributeError, match="declare it in the class"):
        account.blance = 7
    with pytest.raises(AttributeError):
        account.version = 7


def test_a_property_of_a_subclass_can_be_set() -> None:
    class Named(Account, topic="named"):
        @property
        def name(self) -> str:
            return self.owner

        @name.setter
        def name(self, name: str) -> None:
            self.owner = name

    account = Named("alice")
    account.name = "Alice"
    assert account.owner == "Alice"


@pytest.mark.parametrize("id_", ["", "x" * 256, "\0", "\ud800", "ä" * 128])
def test_an_id_that_cannot_name_a_stream_is_refused(id_: str) -> None:
    with pytest.raises(InvalidStreamId):
        Account(id_)


def test_an_aggregate_shows_no_payload() -> None:
    account = Account.open("alice", owner="Secret")
    assert repr(account) == "Account('alice', version=0, pending=1)"


def pickled(account: Account) -> Account:
    copied = pickle.loads(pickle.dumps(account))
    assert isinstance(copied, Account)
    return copied


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_goes_its_own_way(copied: Callable[[Account], Account]) -> None:
    account = Account.open("alice", owner="Alice")
    other = copied(account)
    other.deposit(7)
    assert (account.balance, other.balance) == (0, 7)
    assert (len(account.pending), len(other.pending), other.id) == (1, 2, "alice")


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "kontö", "x" * 241, "a/b"])
def test_a_topic_that_kafka_does_not_take_is_refused(topic: str) -> None:
    with pytest.raises(DefinitionError, match="expected a topic"):
        define(Aggregate[Opened], topic=topic)
    assert define(Aggregate[Opened], topic="x" * 240).topic


@pytest.mark.parametrize(
    "base", [Aggregate, Aggregate[Any], Aggregate[Event], Aggregate[Opened | Any]]
)
def test_a_base_without_a_union_of_events_is_refused(base: Any) -> None:
    with pytest.raises(DefinitionError, match="expected event classes in the brackets"):
        define(base)


def test_two_events_of_one_stored_name_are_refused() -> None:
    class Again(Event, name="tests.opened"):
        pass

    with pytest.raises(DefinitionError, match=r"tests\.opened"):
        define(Aggregate[Opened | Again])


@pytest.mark.parametrize(
    ("annotation", "default", "says"),
    [
        (int, ..., "no default"),
        (int, "x", "a default that its type refuses"),
        (NonNegativeInt, -1, "greater than or equal to 0"),
        (object(), 1, "cannot be validated"),
        (type("Lock", (), {}), None, "cannot be validated"),
    ],
)
def test_a_field_that_cannot_be_validated_is_refused(
    annotation: Any, default: Any, says: str
) -> None:
    members = {"__annotations__": {"value": annotation}, "value": default}
    if default is ...:
        del members["value"]
    with pytest.raises(DefinitionError, match=says) as caught:
        define(Aggregate[Opened], members)
    assert "aggregate Made, field value:" in str(caught.value)


@pytest.mark.parametrize("name", ["id", "version", "pending", "record", "replay", "topic", "_id"])
def test_a_field_with_the_name_of_a_member_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="the name of a member of Aggregate"):
        define(Aggregate[Opened], {"__annotations__": {name: int}, name: 0})


def test_a_type_that_is_not_known_yet_is_refused() -> None:
    with pytest.raises(DefinitionError, match="define it above"):
        define(Aggregate[Opened], {"__annotations__": {"value": "Later"}, "value": None})


def test_aggregates_of_one_application_have_topics_and_names_of_their_own() -> None:
    check_aggregates([Account, Ledger, Account])
    with pytest.raises(DefinitionError, match="a topic of its own"):
        check_aggregates([Account, define(Aggregate[Opened], topic="accounts")])

    class Impostor(Event, name="account_opened"):
        pass

    with pytest.raises(DefinitionError, match="account_opened"):
        check_aggregates([Account, define(Aggregate[Impostor])])


def test_an_event_may_belong_to_two_aggregates() -> None:
    check_aggregates([Account, define(Aggregate[AccountEvent], topic="mirror")])


@pytest.mark.parametrize("topic", ["foldlog.schemas", "accounts.requests", "accounts.replies"])
def test_a_topic_of_the_toolkits_own_is_refused(topic: str) -> None:
    with pytest.raises(DefinitionError, match="toolkit"):
        new_class("Taken", (Aggregate[AccountOpened],), {"topic": topic})


def test_when_applying_history_fails_the_error_says_where() -> None:
    class Broken(Aggregate[AccountOpened], topic="accounts"):
        def apply(self, event: AccountOpened) -> None:
            raise RuntimeError("no")

    recorded = Recorded(AccountOpened(owner="a"), "alice", 1, 0, "accounts", 3, 7, bytes(16), 0, 1)
    with pytest.raises(RuntimeError) as raised:
        Broken("alice").replay([recorded])
    assert "version 1 of 'alice', at accounts[3]@7" in raised.value.__notes__[0]
