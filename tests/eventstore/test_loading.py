from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from eventstore import (
    Aggregate,
    Append,
    ConcurrencyError,
    Event,
    MemoryEventStore,
    PastNotFound,
    Recorded,
    Repository,
    StreamNotFound,
)
from eventstore.defaults import AGGREGATES_CACHED, EVENTS_NOTED
from eventstore.errors import UndecodableEvent
from tests.bank import Account, MoneyDeposited
from tests.eventstore.counting_store import CountingStore


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def accounts(store: CountingStore) -> Repository[Account]:
    """With one account, alice, who holds 100; nothing of her was read."""
    accounts = Repository(store, Account)
    alice = Account.open("alice", owner="Alice")
    alice.deposit(100)
    accounts.save(alice)
    return accounts


def facts(account: Account) -> tuple[str, int, int]:
    return account.owner, account.balance, account.version


def test_what_was_saved_is_loaded_without_reading_an_event(
    accounts: Repository[Account], store: CountingStore
) -> None:
    for number in range(3):
        with accounts.edit("alice") as alice:
            assert facts(alice) == ("Alice", 100 + number, 2 + number)
            alice.deposit(1)
    assert store.reads == []


def test_what_was_submitted_is_loaded_without_reading_an_event(
    accounts: Repository[Account], store: CountingStore
) -> None:
    alice = accounts.get("alice")
    for _ in range(5):
        alice.deposit(1)
        accounts.submit(alice).result()
    assert facts(accounts.get("alice")) == ("Alice", 105, 7)
    assert store.reads == []


def test_what_was_loaded_is_loaded_again_without_reading_an_event(
    accounts: Repository[Account], store: CountingStore
) -> None:
    others = Repository(store, Account)
    assert facts(others.get("alice")) == facts(others.get("alice")) == ("Alice", 100, 2)
    assert store.reads == [0]


def test_only_what_others_appended_since_is_read(
    accounts: Repository[Account], store: CountingStore
) -> None:
    others = Repository(store, Account)
    others.execute("alice", lambda alice: alice.deposit(1))
    assert store.reads == [0]
    assert facts(accounts.get("alice")) == ("Alice", 101, 3)
    assert store.reads == [0, 2]
    with pytest.raises(StreamNotFound):
        accounts.get("bob")


def test_an_append_of_many_events_is_kept_if_it_was_saved_and_read_again_if_submitted(
    accounts: Repository[Account], store: CountingStore
) -> None:
    for is_saved in (True, False):
        alice = accounts.get("alice")
        for _ in range(EVENTS_NOTED + 1):
            alice.deposit(1)
        _ = accounts.save(alice) if is_saved else accounts.submit(alice).result()
    assert store.reads == []
    assert accounts.get("alice").balance == 100 + 2 * (EVENTS_NOTED + 1)
    assert store.reads == [2 + EVENTS_NOTED + 1]


def test_an_append_that_was_refused_leaves_nothing_behind(
    accounts: Repository[Account], store: CountingStore
) -> None:
    late = accounts.get("alice")
    accounts.execute("alice", lambda alice: alice.deposit(1))
    late.deposit(1_000)
    with pytest.raises(ConcurrencyError):
        accounts.save(late)
    with pytest.raises(ConcurrencyError):
        accounts.submit(late).result()
    assert facts(accounts.get("alice")) == ("Alice", 101, 3)


def test_an_append_id_that_was_applied_before_leaves_nothing_behind(
    accounts: Repository[Account],
) -> None:
    append_id = uuid4()
    one, other = accounts.get("alice"), accounts.get("alice")
    one.deposit(1)
    accounts.save(one, append_id=append_id)
    other.deposit(1_000)
    assert accounts.submit(other, append_id=append_id).result().repeated
    assert facts(accounts.get("alice")) == ("Alice", 101, 3)


def test_a_state_that_was_changed_outside_apply_is_not_kept(
    accounts: Repository[Account],
) -> None:
    alice = accounts.get("alice")
    alice.balance = 1_000_000
    alice.deposit(1)
    accounts.save(alice)
    assert accounts.get("alice").balance == 101


class Basket(Aggregate[MoneyDeposited], topic="baskets"):
    amounts: list[int] = []  # noqa: RUF012 - each instance has a copy of its own

    def apply(self, event: MoneyDeposited) -> None:
        if event.amount == 13:
            raise ValueError("thirteen")
        self.amounts.append(event.amount)


def test_two_loads_share_nothing_that_can_be_changed(store: CountingStore) -> None:
    baskets = Repository(store, Basket)
    basket = Basket("one")
    basket.record(MoneyDeposited(amount=1))
    baskets.save(basket)
    basket.amounts.append(2)
    one, other = baskets.get("one"), baskets.get("one")
    one.amounts.append(3)
    assert other.amounts == baskets.get("one").amounts == [1]


def test_where_apply_raises_the_load_fails_and_says_where_and_the_head_stays(
    store: CountingStore,
) -> None:
    baskets = Repository(store, Basket)
    events = [MoneyDeposited(amount=amount) for amount in (1, 13)]
    for event in events:
        store.submit(Append(Basket.topic, "one", [event], events.index(event))).result()
    for _ in range(2):
        with pytest.raises(ValueError, match="thirteen") as caught:
            baskets.get("one")
        assert "money_deposited, version 2 of 'one', at baskets[0]@1" in caught.value.__notes__[0]
    assert baskets.get("one", version=1).amounts == [1]
    head = store.head(Basket.topic, "one")
    assert head is not None
    assert head.version == 2


def test_a_log_that_is_another_is_read_from_its_start(
    accounts: Repository[Account], store: CountingStore
) -> None:
    accounts.execute("alice", lambda alice: alice.deposit(1))
    for deposits in (1, 2):  # at a lower version, and at the same one
        other = CountingStore()
        mallory = Account.open("alice", owner="Mallory")
        for _ in range(deposits):
            mallory.deposit(5)
        Repository(other, Account).save(mallory)
        vars(store).update(vars(other))
        assert facts(accounts.get("alice")) == ("Mallory", 5 * deposits, deposits + 1)


def test_the_number_of_aggregates_kept_is_bounded(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore._loading.AGGREGATES_CACHED", 3)
    assert AGGREGATES_CACHED > 3
    accounts = Repository(store, Account)
    for name in "abcde":
        accounts.save(Account.open(name, owner=name))
    for name in "edcba":
        accounts.get(name)
    assert store.reads == [0, 0]


def test_of_many_threads_that_edit_and_load_none_sees_a_state_that_never_was(
    accounts: Repository[Account], store: CountingStore
) -> None:
    others = Repository(store, Account)

    def edit(number: int) -> None:
        repository = accounts if number % 2 else others
        for _ in range(50):
            repository.execute("alice", lambda alice: alice.deposit(1), attempts=1_000)
            alice = repository.get("alice")
            assert alice.balance == 100 + alice.version - 2

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(edit, range(4)))
    assert facts(accounts.get("alice")) == facts(others.get("alice")) == ("Alice", 300, 202)


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def past(store: CountingStore) -> Repository[Account]:
    """Alice was given 1 at noon, 2 at one, 4 at half past twelve, 8 at three."""
    accounts = Repository(store, Account)
    alice = Account("alice")
    for amount, at in ((1, NOON), (2, NOON + HOUR), (4, NOON + HOUR / 2), (8, NOON + 3 * HOUR)):
        alice.record(MoneyDeposited(amount=amount), at=at)
    accounts.save(alice)
    return accounts


@pytest.mark.parametrize(("version", "balance"), [(1, 1), (2, 3), (3, 7), (4, 15)])
def test_an_aggregate_is_loaded_as_it_was_at_a_version(
    past: Repository[Account], version: int, balance: int
) -> None:
    alice = past.get("alice", version=version)
    assert (alice.version, alice.balance) == (version, balance)
    assert past.get("alice").version == 4


@pytest.mark.parametrize(
    ("at", "balance"),
    [
        (NOON, 1),
        (NOON + HOUR / 2, 1),  # what happened then stands behind what happened later
        (NOON + HOUR, 7),
        ((NOON + 3 * HOUR).astimezone(), 15),
        (NOON + 3 * HOUR - timedelta(microseconds=1), 7),
        (NOON + 9 * HOUR, 15),
    ],
)
def test_an_aggregate_is_loaded_as_it_was_at_a_time(
    past: Repository[Account], at: datetime, balance: int
) -> None:
    assert past.get("alice", at=at).balance == balance


def test_a_past_that_never_was_is_not_found(past: Repository[Account]) -> None:
    with pytest.raises(PastNotFound, match=r"expected version 5 .* found version 4") as caught:
        past.get("alice", version=5)
    assert (caught.value.topic, caught.value.stream) == ("accounts", "alice")
    assert (caught.value.asked, caught.value.version) == (5, 4)
    before = NOON - timedelta(microseconds=1)
    with pytest.raises(PastNotFound, match="its first event later: ask for a later time"):
        past.get("alice", at=before)
    with pytest.raises(StreamNotFound):
        past.get("bob", version=1)
    with pytest.raises(StreamNotFound):
        past.get("bob", at=NOON)


def test_what_names_no_moment_is_refused(past: Repository[Account]) -> None:
    with pytest.raises(ValueError, match="found both: give one"):
        past.get("alice", version=1, at=NOON)
    with pytest.raises(ValueError, match="1 or more; found 0"):
        past.get("alice", version=0)
    with pytest.raises(ValueError, match="with a time zone; found 2026-01-31T12:00:00: add one"):
        past.get("alice", at=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("at", ["2026-01-31", NOON.date(), 1_769_860_800_000_000])
def test_a_time_that_is_no_datetime_is_refused(past: Repository[Account], at: Any) -> None:
    with pytest.raises(TypeError, match=r"expected an aware datetime; found \w+ .*(2026|17698608)"):
        past.get("alice", at=at)


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_a_version_that_is_no_number_is_refused(past: Repository[Account], version: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a version as an int; found \w+ .*(1|True)"):
        past.get("alice", version=version)


def test_a_time_at_the_end_of_all_zones_gives_the_present(past: Repository[Account]) -> None:
    end = datetime.max.replace(tzinfo=timezone(-14 * HOUR))
    assert past.get("alice", at=end).version == 4


class Undecodable(MemoryEventStore):
    """A store that decodes event by event, and cannot from some version on."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version
        self.decoded = 0

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        for recorded in super().read(topic, stream, after=after):
            if recorded.version >= self.version:
                raise UndecodableEvent(topic, 0, recorded.offset, "its bytes are others")
            self.decoded += 1
            yield recorded


def test_a_past_reads_no_event_behind_it() -> None:
    store = Undecodable(9)
    accounts = Repository(store, Account)
    alice = Account("alice")
    for hour in range(9):
        alice.record(MoneyDeposited(amount=1), at=NOON + hour * HOUR)
    accounts.save(alice)
    assert accounts.get("alice", version=3).balance == 3
    assert store.decoded == 3
    assert accounts.get("alice", at=NOON + 2 * HOUR).balance == 3
    assert store.decoded == 3 + 4  # the one that ends a past by time is looked at
    assert accounts.get("alice", version=8).balance == 8
    with pytest.raises(UndecodableEvent):
        accounts.get("alice", version=9)


def test_nothing_is_appended_to_a_past(past: Repository[Account]) -> None:
    alice = past.get("alice", version=2)
    alice.deposit(1)
    with pytest.raises(ConcurrencyError) as caught:
        past.save(alice)
    assert (caught.value.expected, caught.value.found) == (2, 4)


def test_the_present_is_the_past_of_its_version(past: Repository[Account]) -> None:
    alice = past.get("alice", version=4)
    alice.deposit(1)
    assert past.save(alice).version == 5
    assert past.get("alice").balance == 16
