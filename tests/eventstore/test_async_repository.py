"""The repository for asyncio: what it awaits, and what becomes of what is cancelled."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID, uuid4

import pytest

from eventstore import (
    Append,
    Appended,
    AsyncRepository,
    ConcurrencyError,
    Event,
    Head,
    InvalidAppend,
    MemoryEventStore,
    Metadata,
    Recorded,
    Repository,
    StreamNotFound,
    UnknownOutcome,
    carrying,
)
from tests.bank import Account

P = ParamSpec("P")


class Slow:
    """A store that answers an append when it is told to; it can be full, too."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.holding = False
        self.held: list[tuple[Append, Future[Appended]]] = []
        self.room = threading.Event()
        self.room.set()

    def submit(self, append: Append) -> Future[Appended]:
        assert self.room.wait(10)
        if not self.holding:
            return self.store.submit(append)
        future: Future[Appended] = Future()
        self.held.append((append, future))
        return future

    def answer(self) -> None:
        """Append what was held, as a thread of the store's does."""
        held, self.held = self.held, []

        def answers() -> None:
            for append, future in held:
                decided = self.store.submit(append)
                error = decided.exception()
                if error is None:
                    future.set_result(decided.result())
                else:
                    future.set_exception(error)

        thread = threading.Thread(target=answers)
        thread.start()
        thread.join()

    def head(self, topic: str, stream: str) -> Head | None:
        assert threading.current_thread() is not threading.main_thread(), "the loop was blocked"
        return self.store.head(topic, stream)

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        assert threading.current_thread() is not threading.main_thread(), "the loop was blocked"
        return self.store.read(topic, stream, after=after)

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        assert threading.current_thread() is not threading.main_thread(), "the loop was blocked"
        return self.store.applied(topic, stream, append_id)


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what a store holds has no event
            await asyncio.sleep(0.001)


@pytest.fixture
def store() -> Slow:
    return Slow()


@pytest.fixture
def accounts(store: Slow) -> AsyncRepository[Account]:
    """With one account, alice, who holds 100."""
    alice = Account.open("alice", owner="Alice")
    alice.deposit(100)
    Repository(store, Account).save(alice)
    return AsyncRepository(Repository(store, Account))


@awaited
async def test_an_account_is_loaded_changed_and_saved(accounts: AsyncRepository[Account]) -> None:
    alice = await accounts.get("alice")
    alice.deposit(1)
    answer = await accounts.save(alice)
    assert (answer.version, alice.version, alice.pending) == (3, 3, ())
    assert await accounts.save(alice) == Appended("alice", 3, ())
    async with accounts.edit("alice") as edited:
        edited.withdraw(1)
    assert (await accounts.execute("alice", lambda alice: alice.deposit(5))).version == 5
    assert (await accounts.get("alice")).balance == 105
    assert (await accounts.get("alice", version=2)).balance == 100
    assert repr(accounts) == "AsyncRepository(Repository(Account, topic='accounts'))"
    with pytest.raises(StreamNotFound):
        await accounts.get("bob")


@awaited
async def test_submitting_moves_on_at_once_and_gives_futures(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    store.holding = True
    alice = await accounts.get("alice")
    futures: list[Awaitable[Appended]] = []
    for _ in range(3):
        alice.deposit(1)
        futures.append(await accounts.submit(alice))
    assert (alice.version, alice.pending, len(store.held)) == (5, (), 3)
    futures.append(await accounts.submit(alice))
    store.answer()
    assert [answer.version for answer in await asyncio.gather(*futures)] == [3, 4, 5, 5]


@awaited
async def test_the_loop_goes_on_while_the_store_has_no_room(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    store.room.clear()
    waiting = asyncio.create_task(accounts.execute("alice", lambda alice: alice.deposit(1)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    store.room.set()
    assert (await waiting).version == 3


@awaited
async def test_a_conflict_is_the_callers_or_tried_again(accounts: AsyncRepository[Account]) -> None:
    seen: list[int] = []

    async def deposit(alice: Account) -> None:
        seen.append(alice.balance)
        if len(seen) < 3:
            await accounts.execute("alice", lambda other: other.deposit(10))
        alice.deposit(1)

    with pytest.raises(ConcurrencyError):
        await accounts.execute("alice", deposit)
    await accounts.execute("alice", deposit, attempts=2)
    assert seen == [100, 110, 120]
    with pytest.raises(ValueError, match="at least 1 attempt"):
        await accounts.execute("alice", deposit, attempts=0)


@awaited
async def test_an_edit_whose_block_raises_appends_nothing(
    accounts: AsyncRepository[Account],
) -> None:
    with pytest.raises(ValueError, match="not 500"):  # noqa: PT012 - one edit, two steps
        async with accounts.edit("alice") as alice:
            alice.withdraw(30)
            alice.withdraw(500)
    assert (await accounts.get("alice")).version == 2


@awaited
async def test_a_cancelled_append_goes_on_and_its_id_tells(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    once, store.holding = uuid4(), True
    saving = asyncio.create_task(
        accounts.execute("alice", lambda alice: alice.deposit(1), append_id=once)
    )
    await until(lambda: store.held)
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert not store.held[0][1].cancelled()
    store.answer()
    answer = await accounts.execute("alice", lambda alice: alice.deposit(1), append_id=once)
    assert (answer.version, answer.repeated) == (3, True)
    assert (await accounts.get("alice")).balance == 101


@awaited
async def test_a_timeout_leaves_the_aggregate_as_it_was(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    alice = await accounts.get("alice")
    alice.deposit(1)
    once, store.holding = uuid4(), True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await accounts.save(alice, append_id=once)
    assert (alice.version, len(alice.pending)) == (2, 1)
    store.answer()
    store.holding = False
    assert (await accounts.save(alice, append_id=once)).repeated
    assert (alice.version, alice.balance, alice.pending) == (3, 101, ())


@awaited
async def test_cancelling_the_future_of_an_append_retracts_nothing(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    alice, store.holding = await accounts.get("alice"), True
    alice.deposit(1)
    future = await accounts.submit(alice)
    future.cancel()
    await asyncio.sleep(0)
    store.answer()
    assert (await accounts.get("alice")).balance == 101


def test_an_answer_that_comes_after_the_loop_has_ended_troubles_nobody(store: Slow) -> None:
    accounts = AsyncRepository(Repository(store, Account))
    alice = Account.open("alice", owner="Alice")

    async def abandoned() -> None:
        store.holding = True
        await accounts.submit(alice)

    asyncio.run(abandoned())
    store.answer()
    assert store.store.head(Account.topic, "alice") is not None


@awaited
async def test_an_append_id_that_is_text_is_refused_before_anything_is_decided(
    accounts: AsyncRepository[Account],
) -> None:
    text: Any = str(uuid4())
    told = "its append id is of type str; give a UUID"
    alice, decided = await accounts.get("alice"), list[Account]()
    for awaits in (accounts.save, accounts.submit):
        with pytest.raises(InvalidAppend, match=told):
            await awaits(alice, append_id=text)
    with pytest.raises(InvalidAppend, match=told):
        await accounts.execute("alice", decided.append, append_id=text)
    with pytest.raises(InvalidAppend, match=told):
        async with accounts.edit("alice", append_id=text) as alice:
            decided.append(alice)
    assert decided == []


@awaited
async def test_a_command_that_is_a_generator_is_refused(accounts: AsyncRepository[Account]) -> None:
    def deposits(alice: Account) -> Iterator[None]:
        alice.deposit(1)
        yield

    async def awaited(alice: Account) -> AsyncIterator[None]:
        alice.deposit(1)
        yield

    for command in (deposits, awaited):
        with pytest.raises(TypeError, match=rf"generator \S*{command.__name__}: .* no yield"):
            await accounts.execute("alice", command)


@awaited
async def test_errors_are_those_of_the_store(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    alice, store.holding = await accounts.get("alice"), True
    alice.deposit(1)
    saving = asyncio.create_task(accounts.save(alice))
    await until(lambda: store.held)
    append, future = store.held.pop()
    future.set_exception(UnknownOutcome(append.stream, append.append_id, "no answer"))
    with pytest.raises(UnknownOutcome) as caught:
        await saving
    assert caught.value.append_id == append.append_id
    assert (alice.version, len(alice.pending)) == (2, 1)


@awaited
async def test_each_task_carries_its_own_metadata(
    accounts: AsyncRepository[Account], store: Slow
) -> None:
    async def request(name: str) -> None:
        with carrying(Metadata(correlation_id=name)):
            await accounts.save(Account.open(name, owner=name))

    await asyncio.gather(request("one"), request("two"))
    for name in ("one", "two"):
        (recorded,) = store.store.read(Account.topic, name)
        assert recorded.metadata == Metadata(correlation_id=name)
