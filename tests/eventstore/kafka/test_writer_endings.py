"""What holds a writer up does not hold its callers: they are answered, and the store closes."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from eventstore.kafka import checkpointer, writer
from eventstore.kafka.store import KafkaEventStore
from eventstore.postgres import address
from eventstore.store import Append
from tests.bank import Account
from tests.bank_store import answer, deposit, error_of, open_store

TOPIC = Account.topic
Open = Callable[..., KafkaEventStore]


@pytest.fixture
def opened(kafka: str, postgres: str) -> Iterator[Open]:
    with ExitStack() as stack:

        def store(address: str | None = postgres, *, partitions: int = 1) -> KafkaEventStore:
            return stack.enter_context(open_store(kafka, address, partitions=partitions))

        yield store


@contextmanager
def locked(postgres: str) -> Generator[None]:
    """Another process stands still in the middle of storing a checkpoint."""
    with address.connect(postgres) as other:
        other.execute("SELECT 1 FROM foldlog.checkpoints FOR UPDATE")
        yield
        other.rollback()


def closed_within(store: KafkaEventStore, seconds: float) -> bool:
    thread = threading.Thread(target=store.close, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def waiting_for_a_lock(store: KafkaEventStore, append: Append) -> None:
    """The append's claim is acknowledged, and its checkpoint is being waited for."""
    store.submit(append)
    time.sleep(1)


def test_a_store_closes_while_its_checkpoint_is_locked(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 1.0)
    with opened() as store:
        answer(store, deposit("alice"))
    store = opened()
    with locked(postgres):
        waiting_for_a_lock(store, deposit("alice"))
        assert closed_within(store, 10)


def test_a_locked_checkpoint_is_waited_for_a_few_seconds_and_tried_again(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", 0.3)
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 1.0)
    with opened() as store:
        answer(store, deposit("alice"))
    store = opened()
    with locked(postgres):
        error = error_of(store.submit(deposit("alice")))
        assert "lock timeout" in str(error)
    assert answer(store, deposit("alice")).version >= 2
