"""Servers that hang: every append gets an answer in bounded time, and then work goes on."""

import os
import signal
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from eventstore.errors import EventStoreError, UnknownOutcome
from eventstore.kafka import heads as heads_module
from eventstore.kafka import restorer, settings, writer
from eventstore.kafka.store import KafkaEventStore
from eventstore.store import ANY, NO_STREAM, Append, Appended
from foldlog import migrations
from foldlog.embedded import Stack
from foldlog.embedded._leftovers import servers_of
from tests.bank import Account
from tests.bank_store import SECONDS, answer, deposit, open_store, wait_for_checkpoints
from tests.raw_log import all_valid_events


@contextmanager
def hanging(stack: Stack, program: str) -> Generator[None]:
    """The server's processes stand still, as on a machine that is frozen."""
    pids = [pid for pid, name in servers_of(stack.data).items() if name == program]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def repeated(store: KafkaEventStore, append: Append) -> Appended:
    """As callers do: the same append id again, for as long as the outcome is unknown."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return answer(store, append)
        except UnknownOutcome:
            if time.monotonic() > deadline:
                raise


def test_a_kafka_or_postgres_that_hangs_leaves_nobody_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PRODUCER", {**settings.PRODUCER, "message.timeout.ms": 5_000})
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 3.0)
    monkeypatch.setattr(heads_module, "HEADS_CACHED", 2)
    monkeypatch.setattr(restorer, "CONNECT_SECONDS", 2.0)
    with Stack(tmp_path, fsync=False) as stack:
        migrations.upgrade(stack.postgres)
        with open_store(stack.kafka, stack.postgres, partitions=2) as store:
            appends = [deposit(f"account-{number}", NO_STREAM) for number in range(40)]
            for append in appends:
                repeated(store, append)
            wait_for_checkpoints(store)  # and most is forgotten
            with hanging(stack, "java"):
                futures = [store.submit(deposit(f"new-{number}")) for number in range(100)]
                errors = [future.exception(SECONDS) for future in futures]
                assert all(isinstance(error, UnknownOutcome) for error in errors)
                with ThreadPoolExecutor(1) as threads, pytest.raises(EventStoreError):
                    threads.submit(store.head, Account.topic, "account-1").result(SECONDS)
            again = [repeated(store, deposit(f"account-{number}", 1)) for number in range(40)]
            assert {each.version for each in again} == {2}
            wait_for_checkpoints(store)
            with hanging(stack, "postgres"):
                known = answer(store, deposit("account-39", ANY, first_try=True))
                assert known.version == 3
                forgotten = store.submit(deposit("account-0", 2))
                assert isinstance(forgotten.exception(SECONDS), UnknownOutcome)
            assert repeated(store, deposit("account-0", 2)).version == 3
        found = all_valid_events(stack.kafka, Account.topic, 2)
        assert sum(each.stream.startswith("account-") for each in found) == 82
