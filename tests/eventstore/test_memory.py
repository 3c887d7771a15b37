import pytest

from eventstore import (
    NO_STREAM,
    Append,
    AppendTooLarge,
    EventStore,
    MemoryEventStore,
    StoreClosed,
)
from eventstore.contract import EventStoreContract
from eventstore.defaults import BYTES_PER_EVENT
from eventstore.kafka.header import STRUCT
from eventstore.kafka.messages import PREFIX
from tests.bank import Account, AccountOpened


class TestMemoryEventStore(EventStoreContract):
    @pytest.fixture
    def store(self) -> EventStore:
        return MemoryEventStore()


def opened(stream: str) -> Append:
    return Append(Account.topic, stream, [AccountOpened(owner="Alice")], NO_STREAM)


def test_a_closed_store_refuses_appends_and_can_still_be_read() -> None:
    store = MemoryEventStore()
    store.submit(opened("alice")).result()
    store.close()
    with pytest.raises(StoreClosed):
        store.submit(opened("bob"))
    assert len(list(store.read(Account.topic, "alice"))) == 1


def test_the_bounds_of_an_append_can_be_set() -> None:
    store = MemoryEventStore(events_per_append=1, bytes_per_append=10)
    with pytest.raises(AppendTooLarge, match="at most 10 bytes"):
        store.submit(opened("alice")).result()
    events = [AccountOpened(owner="A"), AccountOpened(owner="B")]
    with pytest.raises(AppendTooLarge, match="at most 1 events"):
        store.submit(Append(Account.topic, "alice", events, NO_STREAM)).result()


def test_an_append_is_as_large_in_memory_as_it_is_on_kafka() -> None:
    assert STRUCT.size + PREFIX.size == BYTES_PER_EVENT
