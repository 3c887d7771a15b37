from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID, uuid4

import pytest

from eventstore import (
    NO_STREAM,
    Aggregate,
    Append,
    Appended,
    AppendIdReused,
    AppendTooLarge,
    ConcurrencyError,
    EncodingError,
    Event,
    Head,
    InvalidAppend,
    InvalidStreamId,
    MemoryEventStore,
    Metadata,
    Recorded,
    Repository,
    StreamNotFound,
    UnknownOutcome,
    VersionAhead,
    carrying,
)
from tests.bank import Account, MoneyDeposited, MoneyWithdrawn


class LosingAnswers:
    """A store whose next answers are lost on the way, after the append was made."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.losing = 0

    def submit(self, append: Append) -> Future[Appended]:
        future = self.store.submit(append)
        if not self.losing:
            return future
        self.losing -= 1
        lost: Future[Appended] = Future()
        lost.set_exception(UnknownOutcome(append.stream, append.append_id, "no answer"))
        return lost

    def head(self, topic: str, stream: str) -> Head | None:
        return self.store.head(topic, stream)

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        return self.store.read(topic, stream, after=after)

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        return self.store.applied(topic, stream, append_id)


class Late(LosingAnswers):
    """A store in which the append of an earlier call comes into the log at a given moment."""

    def __init__(self) -> None:
        super().__init__()
        self.earlier: Append | None = None
        self.moment = ""

    def _comes(self, moment: str) -> None:
        if moment == self.moment and self.earlier is not None:
            append, self.earlier = self.earlier, None
            self.store.submit(append).result()

    def head(self, topic: str, stream: str) -> Head | None:
        self._comes("before loading")
        return super().head(topic, stream)

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        self._comes("after loading")
        return super().applied(topic, stream, append_id)

    def submit(self, append: Append) -> Future[Appended]:
        self._comes("after deciding")
        return super().submit(append)


@pytest.fixture
def store() -> LosingAnswers:
    return LosingAnswers()


@pytest.fixture
def accounts(store: LosingAnswers) -> Repository[Account]:
    """With one account, alice, who holds 100."""
    accounts = Repository(store, Account)
    alice = Account.open("alice", owner="Alice")
    alice.deposit(100)
    accounts.save(alice)
    return accounts


def test_a_saved_aggregate_is_loaded_as_it_was(accounts: Repository[Account]) -> None:
    alice = accounts.get("alice")
    assert (alice.id, alice.owner, alice.balance, alice.version) == ("alice", "Alice", 100, 2)
    assert alice.pending == ()


def test_a_stream_without_events_is_not_found(accounts: Repository[Account]) -> None:
    with pytest.raises(StreamNotFound, match="'bob' in topic 'accounts'") as caught:
        accounts.get("bob")
    assert (caught.value.topic, caught.value.stream) == ("accounts", "bob")
    with pytest.raises(InvalidStreamId):
        accounts.get("")


def test_saving_moves_the_version_and_clears_what_was_pending(
    accounts: Repository[Account],
) -> None:
    alice = accounts.get("alice")
    alice.deposit(1)
    answer = accounts.save(alice)
    assert (answer.stream, answer.version, len(answer.positions)) == ("alice", 3, 1)
    assert (alice.version, alice.pending) == (3, ())
    alice.deposit(1)
    assert accounts.save(alice).version == 4


def test_saving_nothing_appends_nothing(accounts: Repository[Account]) -> None:
    alice = accounts.get("alice")
    assert accounts.save(alice) == Appended("alice", 2, ())
    assert accounts.submit(alice).result() == Appended("alice", 2, ())
    assert accounts.get("alice").version == 2


def test_of_two_who_change_one_stream_the_second_is_refused(accounts: Repository[Account]) -> None:
    one, other = accounts.get("alice"), accounts.get("alice")
    one.withdraw(100)
    other.withdraw(100)
    accounts.save(one)
    with pytest.raises(ConcurrencyError) as caught:
        accounts.save(other)
    assert (caught.value.expected, caught.value.found) == (2, 3)
    assert (other.version, len(other.pending)) == (2, 1)
    assert accounts.get("alice").balance == 0


def test_one_account_is_opened_once(accounts: Repository[Account]) -> None:
    with pytest.raises(ConcurrencyError):
        accounts.save(Account.open("alice", owner="Mallory"))
    assert accounts.get("alice").owner == "Alice"


def test_an_unknown_outcome_is_resolved_by_repeating_its_append_id(
    accounts: Repository[Account], store: LosingAnswers
) -> None:
    alice = accounts.get("alice")
    alice.deposit(1)
    store.losing = 1
    with pytest.raises(UnknownOutcome) as caught:
        accounts.save(alice)
    assert (alice.version, len(alice.pending)) == (2, 1)
    answer = accounts.save(alice, append_id=caught.value.append_id)
    assert (answer.repeated, answer.version) == (True, 3)
    assert (alice.version, alice.pending) == (3, ())
    assert accounts.get("alice").balance == 101


def test_a_repeated_save_of_a_newer_state_loads_it_again(accounts: Repository[Account]) -> None:
    once = uuid4()
    with accounts.edit("alice", append_id=once) as alice:
        alice.deposit(1)
    accounts.execute("alice", lambda alice: alice.deposit(10))
    with accounts.edit("alice", append_id=once) as alice:
        alice.deposit(1)
    assert (alice.balance, alice.version, alice.pending) == (111, 4, ())
    assert accounts.get("alice").balance == 111


def test_an_append_over_its_bounds_leaves_the_aggregate_as_it_was(
    accounts: Repository[Account],
) -> None:
    alice = accounts.get("alice")
    for _ in range(1_001):
        alice.deposit(1)
    with pytest.raises(AppendTooLarge):
        accounts.save(alice)
    assert (alice.version, len(alice.pending)) == (2, 1_001)


def test_an_event_that_does_not_fit_leaves_the_aggregate_as_it_was(
    accounts: Repository[Account],
) -> None:
    alice = accounts.get("alice")
    alice.deposit(2**63)
    with pytest.raises(EncodingError, match="amount"):
        accounts.save(alice)
    assert (alice.version, len(alice.pending)) == (2, 1)


def test_submitting_moves_on_at_once(accounts: Repository[Account]) -> None:
    alice = accounts.get("alice")
    futures: list[Future[Appended]] = []
    for _ in range(5):
        alice.deposit(1)
        futures.append(accounts.submit(alice))
    assert (alice.version, alice.pending) == (7, ())
    assert [future.result().version for future in futures] == [3, 4, 5, 6, 7]
    assert accounts.get("alice").balance == 105


def test_what_was_submitted_after_a_failed_append_fails_too(accounts: Repository[Account]) -> None:
    alice = accounts.get("alice")
    alice.deposit(2**63)
    failed = accounts.submit(alice)
    alice.deposit(1)
    behind = accounts.submit(alice)
    assert isinstance(failed.exception(), EncodingError)
    assert isinstance(behind.exception(), VersionAhead)
    assert accounts.get("alice").balance == 100


def test_an_edit_is_saved_when_its_block_ends(accounts: Repository[Account]) -> None:
    with accounts.edit("alice") as alice:
        alice.withdraw(30)
        assert accounts.get("alice").balance == 100
    assert (alice.version, alice.pending) == (3, ())
    assert accounts.get("alice").balance == 70


def test_an_edit_whose_block_raises_appends_nothing(accounts: Repository[Account]) -> None:
    with pytest.raises(ValueError, match="not 500"):  # noqa: PT012, SIM117 - one edit, two steps
        with accounts.edit("alice") as alice:
            alice.withdraw(30)
            alice.withdraw(500)
    assert accounts.get("alice").version == 2


def test_an_edit_that_records_nothing_appends_nothing(accounts: Repository[Account]) -> None:
    with accounts.edit("alice"):
        pass
    assert accounts.get("alice").version == 2


def test_an_edit_of_no_stream_does_not_begin_one(accounts: Repository[Account]) -> None:
    with pytest.raises(StreamNotFound), accounts.edit("bob") as bob:
        bob.deposit(1)


def test_an_edit_is_one_attempt(accounts: Repository[Account]) -> None:
    with pytest.raises(ConcurrencyError):  # noqa: PT012, SIM117 - one edit, two steps
        with accounts.edit("alice") as alice:
            alice.deposit(1)
            accounts.execute("alice", lambda other: other.deposit(10))
    assert accounts.get("alice").balance == 110


def test_a_command_is_executed_on_the_aggregate_as_it_is_now(
    accounts: Repository[Account],
) -> None:
    answer = accounts.execute("alice", lambda alice: alice.withdraw(30))
    assert (answer.version, answer.repeated) == (3, False)
    assert accounts.get("alice").balance == 70


def test_a_command_that_refuses_appends_nothing(accounts: Repository[Account]) -> None:
    with pytest.raises(ValueError, match="not 500"):
        accounts.execute("alice", lambda alice: alice.withdraw(500), attempts=3)
    assert accounts.get("alice").version == 2


def test_a_conflict_loads_and_calls_the_command_again(accounts: Repository[Account]) -> None:
    seen: list[int] = []

    def withdraw(alice: Account) -> None:
        seen.append(alice.balance)
        if len(seen) < 3:  # somebody else is quicker
            accounts.execute("alice", lambda other: other.deposit(10))
        alice.withdraw(alice.balance)

    accounts.execute("alice", withdraw, attempts=3)
    assert seen == [100, 110, 120]
    assert accounts.get("alice").balance == 0


def test_a_conflict_at_the_last_attempt_is_the_callers(accounts: Repository[Account]) -> None:
    seen: list[int] = []

    def deposit(alice: Account) -> None:
        seen.append(alice.balance)
        accounts.execute("alice", lambda other: other.deposit(10))
        alice.deposit(1)

    with pytest.raises(ConcurrencyError):
        accounts.execute("alice", deposit, attempts=2)
    assert seen == [100, 110]
    with pytest.raises(ValueError, match="at least 1 attempt"):
        accounts.execute("alice", deposit, attempts=0)


def test_a_command_whose_id_was_applied_is_not_called_again(accounts: Repository[Account]) -> None:
    once = uuid4()
    first = accounts.execute("alice", lambda alice: alice.deposit(1), append_id=once)

    def never(_: Account) -> None:
        raise AssertionError("called")

    again = accounts.execute("alice", never, append_id=once)
    assert again.repeated
    assert (again.version, again.positions) == (first.version, first.positions)


def test_repeating_the_id_of_a_lost_answer_applies_the_command_once(
    accounts: Repository[Account], store: LosingAnswers
) -> None:
    store.losing = 1
    with pytest.raises(UnknownOutcome) as caught:
        accounts.execute("alice", lambda alice: alice.deposit(1))
    answer = accounts.execute(
        "alice", lambda alice: alice.deposit(1), append_id=caught.value.append_id
    )
    assert (answer.repeated, answer.version) == (True, 3)
    assert accounts.get("alice").balance == 101


@pytest.mark.parametrize("moment", ["before loading", "after loading", "after deciding"])
def test_an_id_gets_its_first_answer_whenever_the_earlier_call_comes_into_the_log(
    moment: str,
) -> None:
    store, once = Late(), uuid4()
    accounts = Repository(store, Account)
    alice = Account.open("alice", owner="Alice")
    alice.deposit(100)
    accounts.save(alice)
    decided: list[int] = []

    def withdraw_all(alice: Account) -> None:
        decided.append(alice.balance)
        alice.withdraw(100)  # would be refused on top of its own events

    all_of_it = [MoneyWithdrawn(amount=100)]
    store.earlier = Append(Account.topic, "alice", all_of_it, 2, append_id=once)
    store.moment = moment
    answer = accounts.execute("alice", withdraw_all, append_id=once, attempts=3)
    assert (answer.repeated, answer.version) == (True, 3)
    assert decided == ([100] if moment == "after deciding" else [])
    assert accounts.get("alice").balance == 0


def test_a_conflict_is_tried_again_under_the_same_append_id(store: LosingAnswers) -> None:
    accounts, once, seen = Repository(store, Account), uuid4(), list[int]()
    accounts.save(Account.open("alice", owner="Alice"))

    def deposit(alice: Account) -> None:
        seen.append(alice.version)
        if len(seen) == 1:
            accounts.execute("alice", lambda other: other.deposit(10))
        alice.deposit(1)

    answer = accounts.execute("alice", deposit, append_id=once, attempts=2)
    assert (answer.version, answer.repeated, seen) == (3, False, [1, 2])
    again = accounts.execute("alice", deposit, append_id=once, attempts=2)
    assert (again.version, again.repeated, seen) == (3, True, [1, 2])


def test_an_id_that_was_applied_to_another_stream_is_refused_whatever_the_attempts(
    accounts: Repository[Account],
) -> None:
    once = uuid4()
    accounts.save(Account.open("bob", owner="Bob"), append_id=once)
    with pytest.raises(AppendIdReused) as caught:
        accounts.execute("alice", lambda alice: alice.deposit(1), append_id=once, attempts=3)
    assert (caught.value.stream, caught.value.applied_to) == ("alice", "bob")
    assert accounts.get("alice").version == 2


def test_every_append_names_the_version_that_it_was_decided_on(store: LosingAnswers) -> None:
    appends: list[Append] = []
    submit = store.store.submit

    def noting(append: Append) -> Future[Appended]:
        appends.append(append)
        return submit(append)

    store.store.submit = noting  # type: ignore[method-assign]
    accounts = Repository(store, Account)
    accounts.save(Account.open("alice", owner="Alice"), append_id=uuid4())
    accounts.execute("alice", lambda alice: alice.deposit(1), append_id=uuid4())
    with accounts.edit("alice", append_id=uuid4()) as alice:
        alice.deposit(1)
    alice.deposit(1)
    accounts.submit(alice, append_id=uuid4())
    assert [each.expected for each in appends] == [NO_STREAM, 1, 2, 3]


class Purse(Aggregate[MoneyDeposited], topic="purses"):
    """Another aggregate, with an event of the account's."""

    def apply(self, event: MoneyDeposited) -> None:
        """Keep nothing."""


class Savings(Account, topic="savings"):
    """An account of another topic."""


@pytest.mark.parametrize("other", [Savings, Purse])
def test_an_aggregate_of_another_type_is_refused(
    store: LosingAnswers, accounts: Repository[Account], other: Any
) -> None:
    told = f"expected an aggregate of Account, topic 'accounts'; found {other.__name__}, topic "
    stranger = other("alice")
    for nothing_pending in (True, False):
        with pytest.raises(TypeError, match=told):
            accounts.save(stranger)
        with pytest.raises(TypeError, match=told):
            accounts.submit(stranger)
        if nothing_pending:
            stranger.record(MoneyDeposited(amount=1))
    assert (stranger.version, len(stranger.pending)) == (0, 1)
    assert store.head(other.topic, "alice") is None
    with pytest.raises(TypeError, match="found a value of type str"):
        accounts.save("alice")  # type: ignore[arg-type]


def test_an_append_id_that_is_text_is_refused_before_anything_is_decided(
    accounts: Repository[Account],
) -> None:
    text: Any = str(uuid4())
    told = r"its append id is of type str; give a UUID: uuid\.UUID\(text\)"
    alice, decided = accounts.get("alice"), list[Account]()
    for nothing_pending in (True, False):
        with pytest.raises(InvalidAppend, match=told):
            accounts.save(alice, append_id=text)
        with pytest.raises(InvalidAppend, match=told):
            accounts.submit(alice, append_id=text)
        if nothing_pending:
            alice.deposit(1)
    with pytest.raises(InvalidAppend, match=told):
        accounts.execute("alice", decided.append, append_id=text, attempts=2)
    with pytest.raises(InvalidAppend, match=told), accounts.edit("alice", append_id=text) as alice:
        decided.append(alice)
    with pytest.raises(InvalidAppend, match="of type str"):
        accounts.execute("alice", decided.append, append_id="")  # type: ignore[arg-type]
    assert decided == []
    assert accounts.get("alice").version == 2


def test_a_command_that_would_have_to_be_awaited_is_refused(accounts: Repository[Account]) -> None:
    async def deposit(alice: Account) -> None:
        alice.deposit(1)

    with pytest.raises(TypeError, match="AsyncRepository, which awaits it"):
        accounts.execute("alice", deposit)


def test_a_command_that_is_a_generator_is_refused(accounts: Repository[Account]) -> None:
    def deposits(alice: Account) -> Iterator[None]:
        alice.deposit(1)
        yield

    async def awaited(alice: Account) -> AsyncIterator[None]:
        alice.deposit(1)
        yield

    for command, kind in ((deposits, "generator"), (awaited, "async generator")):
        with pytest.raises(
            TypeError, match=rf"found the {kind} \S*{command.__name__}: .* no yield"
        ):
            accounts.execute("alice", command)


def test_a_uuid_is_as_good_an_id_as_its_text(store: LosingAnswers) -> None:
    accounts, id_ = Repository(store, Account), uuid4()
    assert accounts.save(Account.open(str(id_), owner="Alice")).stream == str(id_)
    assert accounts.get(id_).id == Account(id_).id == str(id_)
    accounts.execute(id_, lambda account: account.deposit(1), append_id=uuid4())
    with accounts.edit(id_) as account:
        account.deposit(1)
    assert accounts.get(id_, version=2).balance == 1
    assert accounts.get(str(id_)).balance == 2
    with pytest.raises(InvalidStreamId, match="found '7': it is of type int"):
        Account(7)  # type: ignore[arg-type]


def test_metadata_goes_with_the_events_of_every_way_to_append(store: LosingAnswers) -> None:
    accounts, metadata = Repository(store, Account), Metadata(causation_id="e1")
    alice = Account.open("alice", owner="Alice")
    accounts.save(alice, metadata=metadata)
    alice.deposit(1)
    accounts.submit(alice, metadata=metadata)
    accounts.execute("alice", lambda alice: alice.deposit(1), metadata=metadata)
    with accounts.edit("alice", metadata=metadata) as alice:
        alice.deposit(1)
    accounts.execute("alice", lambda alice: alice.deposit(1))
    found = [each.metadata for each in store.read(Account.topic, "alice")]
    assert found == [metadata] * 4 + [None]


def test_what_is_carried_goes_with_appends_that_have_no_metadata_of_their_own(
    accounts: Repository[Account], store: LosingAnswers
) -> None:
    request, own = Metadata(correlation_id="r1"), Metadata(causation_id="e1")
    with carrying(request):
        accounts.execute("alice", lambda alice: alice.deposit(1))
        accounts.execute("alice", lambda alice: alice.deposit(1), metadata=own)
        accounts.execute("alice", lambda alice: alice.deposit(1), metadata=Metadata())
    found = [each.metadata for each in store.read(Account.topic, "alice", after=2)]
    assert found == [request, own, None]


def test_the_time_of_an_event_is_kept(accounts: Repository[Account], store: LosingAnswers) -> None:
    alice = accounts.get("alice")
    alice.record(MoneyDeposited(amount=1))
    (when,) = alice.pending_times
    accounts.save(alice)
    (recorded,) = store.read(Account.topic, "alice", after=2)
    assert recorded.time == when


def test_saving_another_state_under_an_applied_id_shows_what_the_log_holds() -> None:
    accounts = Repository(MemoryEventStore(), Account)
    append_id = uuid4()
    accounts.save(Account.open("x", owner="Alice"), append_id=append_id)
    late = Account.open("x", owner="Bob")
    assert accounts.save(late, append_id=append_id).repeated
    assert (late.owner, late.version, late.pending) == ("Alice", 1, ())
