"""What holds a writer up does not hold its callers: they are answered, and the store closes."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import confluent_kafka.admin
import pytest
from confluent_kafka import KafkaError, murmur2

from eventstore.errors import EventStoreError, StoreClosed, UnknownOutcome
from eventstore.events import Event
from eventstore.kafka import checkpointer, heads, partition, writer
from eventstore.kafka.partition import Phase
from eventstore.kafka.restorer import Restored, Restorer
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import PartitionKey
from eventstore.store import ANY, Append
from tests.bank import Account, MoneyDeposited
from tests.bank_store import (
    SECONDS,
    answer,
    deposit,
    error_of,
    open_store,
    partitions_of,
    wait_for_checkpoints,
    wait_until,
)

TOPIC = Account.topic
admin: Any = confluent_kafka.admin
Open = Callable[..., KafkaEventStore]
STREAMS = [
    next(name for name in map(str, range(99)) if murmur2(name.encode(), 2) == each)
    for each in (0, 1)
]
"""A stream in each of two partitions."""
LOCK_SECONDS = 2 * SECONDS
"""For which a lock is waited where nobody may wait for that."""


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


@contextmanager
def impatient(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Who has waited for a second is given up."""
    with monkeypatch.context() as patched:
        patched.setattr(writer, "PATIENCE_SECONDS", 1.0)
        yield


def troubled(store: KafkaEventStore, why: str) -> bool:
    return any(why in (each.trouble or "") for each in partitions_of(store))


def closed_within(store: KafkaEventStore, seconds: float) -> bool:
    thread = threading.Thread(target=store.close, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def waiting_for_a_lock(store: KafkaEventStore, append: Append, postgres: str) -> None:
    """The append's claim is acknowledged, and its checkpoint is being waited for."""
    store.submit(append)
    wait_until(lambda: somebody_waits(postgres))


def somebody_waits(postgres: str) -> bool:
    with address.connect(postgres) as other:
        waiting = other.execute(
            "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE NOT granted AND datname = current_database()"
        )
        return waiting.fetchone() is not None


def test_a_store_closes_while_its_checkpoint_is_locked(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 1.0)
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", LOCK_SECONDS)
    with opened() as store:
        answer(store, deposit("alice"))
    store = opened()
    with locked(postgres):
        waiting_for_a_lock(store, deposit("alice"), postgres)
        assert closed_within(store, SECONDS)


def test_a_locked_checkpoint_is_waited_for_a_few_seconds_and_tried_again(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", 0.3)
    with opened() as store:
        answer(store, deposit("alice"))
    store = opened()
    with locked(postgres):
        refused = store.submit(deposit("alice"))
        wait_until(lambda: troubled(store, "lock timeout"))
        with impatient(monkeypatch):
            assert "lock timeout" in str(error_of(refused))
    assert answer(store, deposit("alice")).version >= 2


def test_a_question_that_waits_behind_a_locked_partition_is_answered_in_bounded_time(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", LOCK_SECONDS)
    with opened(partitions=2) as store:
        for stream in STREAMS:
            answer(store, deposit(stream))
    store = opened(partitions=2)
    with locked(postgres), ThreadPoolExecutor(1) as threads:
        waiting_for_a_lock(store, deposit(STREAMS[0]), postgres)
        head = threads.submit(store.head, TOPIC, STREAMS[1])
        with impatient(monkeypatch), pytest.raises(EventStoreError, match="no answer"):
            head.result(SECONDS)
    head_after = store.head(TOPIC, STREAMS[1])
    assert head_after is not None


def test_a_question_that_waits_when_the_store_is_closed_is_refused(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 1.0)
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", LOCK_SECONDS)
    with opened(partitions=2) as store:
        for stream in STREAMS:
            answer(store, deposit(stream))
    store = opened(partitions=2)
    with locked(postgres), ThreadPoolExecutor(1) as threads:
        waiting_for_a_lock(store, deposit(STREAMS[0]), postgres)
        head = threads.submit(store.head, TOPIC, STREAMS[1])
        wait_until(lambda: any(each.questions for each in partitions_of(store)))
        assert closed_within(store, SECONDS)
        assert isinstance(head.exception(SECONDS), StoreClosed)


def test_jobs_that_wait_when_the_store_is_closed_are_not_begun(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_SECONDS", 1.0)
    monkeypatch.setattr(checkpointer, "LOCK_SECONDS", LOCK_SECONDS)
    with opened(partitions=2) as store:
        for stream in STREAMS:
            answer(store, deposit(stream))
    begun = noted_reads(monkeypatch)
    store = opened(partitions=2)
    helper = cast("Any", store)._writer._claiming._thread
    with locked(postgres):
        waiting_for_a_lock(store, deposit(STREAMS[0]), postgres)
        store.submit(deposit(STREAMS[1]))
        wait_until(lambda: any(each.phase is Phase.READING for each in partitions_of(store)))
        assert closed_within(store, SECONDS)
    helper.join(SECONDS)
    assert not helper.is_alive()
    assert begun == [0]


def noted_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The partitions of which a reading was begun since."""
    begun, read_on = list[int](), Restorer.read_on

    def noted(restorer: Restorer, key: PartitionKey, *rest: Any, **more: Any) -> Restored:
        begun.append(key.partition)
        return read_on(restorer, key, *rest, **more)

    monkeypatch.setattr(Restorer, "read_on", noted)
    return begun


def test_a_callback_cannot_close_the_store_which_stays_open(opened: Open) -> None:
    store = opened()
    closed: Future[None] = Future()

    def close(_: object) -> None:
        try:
            store.close()
        except EventStoreError as error:
            closed.set_exception(error)

    store.submit(deposit("alice")).add_done_callback(close)
    assert "callback" in str(closed.exception(SECONDS))
    assert answer(store, deposit("alice")).version == 2


def test_a_callback_that_appends_again_meets_a_failed_writer_once(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    answer(store, deposit("alice"))
    refused: Future[int] = Future()
    calls = 0

    def again(_: object) -> None:
        nonlocal calls
        calls += 1
        try:
            store.submit(deposit("alice")).add_done_callback(again)
        except StoreClosed:
            refused.set_result(calls)

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(partition.Partition, "serve", fail)
    store.submit(deposit("alice")).add_done_callback(again)
    assert refused.result(SECONDS) == 1


def test_a_defect_in_a_helping_thread_is_told_and_does_not_end_it(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    store = opened()
    monkeypatch.setattr(heads, "HEADS_CACHED", 1)
    monkeypatch.setattr(writer, "CHECKPOINT_SECONDS", 0.1)
    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "write", fail)
        answer(store, deposit("alice"))
        wait_until(lambda: "a checkpoint of" in caplog.text)
    wait_for_checkpoints(store)
    monkeypatch.setattr(checkpoints, "look_up", fail)
    answer(store, deposit("bob"))
    wait_for_checkpoints(store)
    refused = store.submit(deposit("alice"))
    wait_until(lambda: troubled(store, "a defect"))
    with impatient(monkeypatch):
        assert "a defect" in str(error_of(refused))
    assert "could not be looked up: a defect" in caplog.text
    assert caplog.text.count("a checkpoint of") == 1


def test_doubts_and_a_missing_postgres_are_warned_of_and_a_closed_store_is_not(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = opened(None), opened(None)
    assert "no PostgreSQL" in caplog.text
    answer(first, deposit("alice"))
    first.close()
    second.close()
    assert "doubt" not in caplog.text
    first, second = opened(), opened()
    answer(first, deposit("alice"))
    answer(second, deposit("alice"))
    answer(first, deposit("alice"))
    assert f"the session of {TOPIC}[0] is in doubt: record 2 of" in caplog.text


def test_a_claim_that_is_refused_ends_no_other_partitions_session(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: dict[str, Sequence[type[Event]]] = {
        TOPIC: Account.event_types,
        "other": [MoneyDeposited],
    }
    with open_store(kafka, postgres, partitions=2, events=events) as store:
        answer(store, deposit(STREAMS[0]))
        answer(store, in_other(STREAMS[0]))
        sessions = [each.session for each in partitions_of(store)]
        limit_records(kafka, "other", 1, heeded_by=1)
        refused = store.submit(in_other(STREAMS[1]))
        wait_until(lambda: troubled(store, "not acknowledged"))
        with impatient(monkeypatch):
            while not refused.done():
                answer(store, deposit(STREAMS[0]))
        assert isinstance(refused.exception(), UnknownOutcome)
        assert "not acknowledged" in str(refused.exception())
        assert [each.session for each in partitions_of(store)][:2] == sessions
        limit_records(kafka, "other", 1_000_000, heeded_by=1)
        assert answer(store, in_other(STREAMS[1])).version == 1


def in_other(stream: str) -> Append:
    return Append("other", stream, [MoneyDeposited(amount=1)], ANY)


def limit_records(kafka: str, topic: str, size: int, *, heeded_by: int) -> None:
    """The broker refuses the topic's larger records from now on, in a partition at least."""
    kafka_admin: Any = KafkaSettings(kafka).admin()
    entry = admin.ConfigEntry(
        "max.message.bytes", str(size), incremental_operation=admin.AlterConfigOpType.SET
    )
    resource = admin.ConfigResource("TOPIC", topic, incremental_configs=[entry])
    kafka_admin.incremental_alter_configs([resource])[resource].result(SECONDS)
    wait_until(lambda: takes_records(kafka, topic, heeded_by) is (size > len(STRANGE)))


STRANGE = b"a record of a stranger"


def takes_records(kafka: str, topic: str, partition: int) -> bool:
    """Whether the broker takes one now."""
    reports = list[KafkaError | None]()
    producer = KafkaSettings(kafka).producer(idempotent=False)
    producer.produce(
        topic, STRANGE, partition=partition, on_delivery=lambda error, _: reports.append(error)
    )
    assert not producer.flush(SECONDS)
    return [each is None for each in reports] == [True]
