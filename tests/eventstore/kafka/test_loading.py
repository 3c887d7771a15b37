"""Loads on Kafka while another store appends: what is kept is always what the log says."""

import threading
from contextlib import ExitStack

from eventstore import Repository
from eventstore.kafka.store import KafkaEventStore
from eventstore.state_store import StateStore
from tests.bank import Account
from tests.bank_store import open_store

EDITS = 150


def test_a_process_that_only_loads_sees_each_version_as_a_replay_gives_it(
    kafka: str, postgres: str
) -> None:
    with ExitStack() as exits:
        writing, reading = (
            exits.enter_context(open_store(kafka, postgres, partitions=1)) for _ in range(2)
        )
        states = [exits.enter_context(StateStore(postgres)) for _ in range(2)]
        mine = Repository(writing, Account, states=states[0])
        mine.save(Account.open("alice", owner="Alice"))
        writer = threading.Thread(target=edit, args=(mine,))
        writer.start()
        others = Repository(reading, Account, states=states[1])
        seen: list[int] = []
        while writer.is_alive() or seen[-1:] != [EDITS + 1]:
            alice = others.get("alice")
            assert alice.balance == alice.version - 1
            seen.append(alice.version)
        writer.join()
        assert seen == sorted(seen)
        fresh = Repository(reading, Account).get("alice")
        assert vars(fresh) == vars(others.get("alice")) == vars(mine.get("alice"))
        check_past(reading)


def edit(accounts: Repository[Account]) -> None:
    for _ in range(EDITS):
        with accounts.edit("alice") as alice:
            alice.deposit(1)


def check_past(store: KafkaEventStore) -> None:
    accounts = Repository(store, Account)
    for version in (1, 2, EDITS, EDITS + 1):
        assert accounts.get("alice", version=version).balance == version - 1
