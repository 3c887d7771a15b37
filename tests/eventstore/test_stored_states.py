"""States in PostgreSQL, beside a log in memory: what is loaded from them is what a replay gives."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import Aggregate, EventStore, Repository
from eventstore.defaults import EVENTS_PER_STATE
from eventstore.postgres import address, states
from eventstore.state_port import State, StateKey
from eventstore.state_store import StateStore
from eventstore.states import StateForm
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn
from tests.eventstore.counting_store import CountingStore

FORM = StateForm(Account)
ALICE = StateKey(Account.topic, "alice", FORM.fingerprint)


class Open(Aggregate[AccountEvent], topic="accounts"):
    """Another shape of the same streams: what a later release might make of them."""

    deposits: list[int] = []  # noqa: RUF012 - each instance has a copy of its own

    def apply(self, event: AccountEvent) -> None:
        match event:
            case MoneyDeposited(amount=amount):
                self.deposits.append(amount)
            case AccountOpened() | MoneyWithdrawn():
                pass


@contextmanager
def opened(postgres: str) -> Generator[StateStore]:
    with StateStore(postgres) as kept:
        yield kept


def store_now(kept: StateStore) -> None:
    cast("Any", kept)._store()


def stored(postgres: str, key: StateKey = ALICE) -> State | None:
    with address.connect(postgres) as connection:
        return states.read(connection, key)


def grown(store: EventStore, kept: StateStore | None, events: int) -> Repository[Account]:
    """Alice, at this version, in appends of one event."""
    accounts = Repository(store, Account, states=kept)
    accounts.save(Account.open("alice", owner="Alice"))
    for _ in range(events - 1):
        accounts.execute("alice", lambda alice: alice.deposit(1))
    return accounts


def test_a_state_is_stored_once_its_stream_has_moved_on_far_enough_and_no_sooner(
    postgres: str,
) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        accounts = grown(store, kept, EVENTS_PER_STATE - 1)
        store_now(kept)
        assert stored(postgres) is None
        accounts.execute("alice", lambda alice: alice.deposit(1))
        store_now(kept)
        found = stored(postgres)
        assert found is not None
        assert (found.version, found.text) == (
            EVENTS_PER_STATE,
            f'{{"owner":"Alice","balance":{EVENTS_PER_STATE - 1}}}',
        )
        for _ in range(EVENTS_PER_STATE - 1):
            accounts.execute("alice", lambda alice: alice.deposit(1))
        store_now(kept)
        assert stored(postgres) == found
    assert store.reads == []


def test_what_waits_is_stored_at_closing_and_otherwise_within_a_second_or_so(
    postgres: str,
) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        accounts = grown(store, kept, EVENTS_PER_STATE)
        deadline = time.monotonic() + 30
        while stored(postgres) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert stored(postgres) is not None
        for _ in range(EVENTS_PER_STATE):
            accounts.execute("alice", lambda alice: alice.deposit(1))
    found = stored(postgres)
    assert found is not None
    assert found.version == 2 * EVENTS_PER_STATE


def test_a_load_begins_at_the_stored_state_and_reads_what_follows(postgres: str) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        grown(store, kept, EVENTS_PER_STATE)
    with opened(postgres) as kept:
        assert Repository(store, Account, states=kept).get("alice").version == EVENTS_PER_STATE
        assert store.reads == []  # the head says that it ends with the same append
        Repository(store, Account).execute("alice", lambda alice: alice.deposit(5))
        store.reads.clear()
        alice = Repository(store, Account, states=kept).get("alice")
        assert (alice.version, alice.balance) == (EVENTS_PER_STATE + 1, EVENTS_PER_STATE + 4)
        assert store.reads == [EVENTS_PER_STATE - 1]  # its last event is compared


def test_a_load_far_behind_takes_the_state_that_another_process_stored(postgres: str) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        accounts = grown(store, None, 2)
        behind = Repository(store, Account, states=kept)
        behind.get("alice")
        for _ in range(2 * EVENTS_PER_STATE):
            accounts.execute("alice", lambda alice: alice.deposit(1))
        Repository(store, Account, states=kept).get("alice")
        store_now(kept)
        store.reads.clear()
        assert behind.get("alice").version == 2 + 2 * EVENTS_PER_STATE
        assert store.reads == []


def test_old_and_new_code_keep_their_states_side_by_side(postgres: str) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        grown(store, kept, EVENTS_PER_STATE)
        assert len(Repository(store, Open, states=kept).get("alice").deposits) == 49
    with opened(postgres) as kept:
        store.reads.clear()
        assert len(Repository(store, Open, states=kept).get("alice").deposits) == 49
        assert Repository(store, Account, states=kept).get("alice").balance == 49
        assert store.reads == []


def broken(postgres: str, statement: str) -> Callable[[], None]:
    def apply() -> None:
        with address.connect(postgres) as connection:
            assert connection.execute(statement.encode()).rowcount == 1

    return apply


@pytest.mark.parametrize(
    "change",
    [
        "append_id = gen_random_uuid()",
        "version = version - 1",
        "version = version + 100",
        """state = '{"owner": "Alice"}'""",
        """state = '{"owner": 7, "balance": []}'""",
        "state = '[]'",
    ],
)
def test_a_state_that_is_not_of_the_log_or_cannot_be_read_is_replaced_with_a_warning(
    postgres: str, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = CountingStore()
    with opened(postgres) as kept:
        grown(store, kept, EVENTS_PER_STATE + 3)
    broken(postgres, f"UPDATE foldlog.states SET {change}")()
    with opened(postgres) as kept, caplog.at_level(logging.WARNING):
        alice = Repository(store, Account, states=kept).get("alice")
        assert (alice.version, alice.balance) == (EVENTS_PER_STATE + 3, EVENTS_PER_STATE + 2)
    assert "a stored state of 'alice'" in caplog.text
    found = stored(postgres)
    assert found is not None
    assert found.version == EVENTS_PER_STATE + 3


def test_an_older_state_never_replaces_a_newer_one(postgres: str) -> None:
    new, old = State(7, b"n" * 16, "{}"), State(6, b"o" * 16, "{}")
    with address.connect(postgres) as connection:
        assert states.write(connection, {ALICE: new}) == 1
        assert states.write(connection, {ALICE: old}) == 0
        assert states.read(connection, ALICE) == new
        states.discard(connection, ALICE, 6)
        assert states.read(connection, ALICE) == new
        other = ALICE._replace(fingerprint=b"f" * 16)
        assert states.write(connection, {ALICE: new._replace(version=8), other: old}) == 2
        assert states.forget(connection, Account.topic, [ALICE.fingerprint]) == 1
        assert states.read(connection, other) is None


def test_without_postgres_loads_and_appends_go_on(caplog: pytest.LogCaptureFixture) -> None:
    store = CountingStore()
    with opened("postgresql://nobody@127.0.0.1:1/none") as kept:
        accounts = grown(store, kept, EVENTS_PER_STATE)
        store_now(kept)
        assert Repository(store, Account, states=kept).get("alice").version == EVENTS_PER_STATE
        assert accounts.get("alice").version == EVENTS_PER_STATE
    assert "PostgreSQL did not answer about states" in caplog.text


def test_a_state_that_would_not_come_back_is_left_out_and_told_once(
    postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Ratio(Aggregate[MoneyDeposited], topic="ratios"):
        ratio: float = 0.0

        def apply(self, event: MoneyDeposited) -> None:
            self.ratio = float("inf") if event.amount > 1 else 1.0

    def grow(name: str, amount: int) -> None:
        ratio = Ratio(name)
        for _ in range(EVENTS_PER_STATE):
            ratio.record(MoneyDeposited(amount=amount))
        ratios.save(ratio)

    with opened(postgres) as kept:
        ratios = Repository(CountingStore(), Ratio, states=kept)
        for name, amount in (("one", 1), ("two", 2), ("three", 3)):
            grow(name, amount)
    fingerprint = StateForm(Ratio).fingerprint
    assert stored(postgres, StateKey("ratios", "one", fingerprint)) is not None
    assert stored(postgres, StateKey("ratios", "two", fingerprint)) is None
    assert caplog.text.count("it is not stored, and loads read") == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["save", "submit", "edit", "load", "store", "restart", "others"]),
        st.integers(0, 1),
        st.integers(1, 30),
    ),
    max_size=25,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_however_it_is_loaded_an_aggregate_is_what_a_replay_gives(
    postgres: str, steps: list[tuple[str, int, int]]
) -> None:
    store = CountingStore()
    names = ["alice", "bob"]
    with address.connect(postgres, autocommit=True) as connection:
        connection.execute("TRUNCATE foldlog.states")
    with opened(postgres) as kept:
        mine = Repository(store, Open, states=kept)
        others = Repository(store, Open, states=kept)
        for name in names:
            mine.save(_opened(name))
        for step, which, amount in steps:
            name = names[which]
            account = (others if step == "others" else mine).get(name)
            for _ in range(amount):
                account.record(MoneyDeposited(amount=amount))
            match step:
                case "save" | "edit":
                    mine.save(account)
                case "submit":
                    mine.submit(account)
                case "others":
                    others.save(account)
                case "store":
                    store_now(kept)
                case "restart":
                    mine = Repository(store, Open, states=kept)
                case _:
                    pass
            _check(store, name, mine, others)


def _opened(name: str) -> Open:
    account = Open(name)
    account.record(AccountOpened(owner=name))
    return account


def _check(store: CountingStore, name: str, *repositories: Repository[Open]) -> None:
    replayed = Open(name)
    replayed.replay(cast("Any", store.read(Open.topic, name)))
    for repository in repositories:
        loaded = repository.get(name)
        assert (loaded.version, vars(loaded)) == (replayed.version, vars(replayed))
