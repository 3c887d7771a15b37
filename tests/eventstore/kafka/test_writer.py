"""The writer on a real broker and PostgreSQL: contention, kills, outages, endings."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import psycopg
import pytest
from confluent_kafka import murmur2
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore import Repository
from eventstore._failpoints import VARIABLE as FAILPOINT
from eventstore.errors import (
    AppendIdReused,
    AppendTooLarge,
    ConcurrencyError,
    EventStoreError,
    InvalidAppend,
    OffsetGone,
    StoreClosed,
    TopicRecreated,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka import heads as heads_module
from eventstore.kafka.partition import Partition
from eventstore.kafka.restorer import Restorer
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Topics
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Checkpoint
from eventstore.store import ANY, NO_STREAM, Append, Appended
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
from tests.raw_log import RawRecord, all_valid_events, claims, dump

TOPIC = Account.topic
STORES = 2
PARTITIONS = 3
Open = Callable[..., KafkaEventStore]


@pytest.fixture
def opened(kafka: str, postgres: str) -> Iterator[Open]:
    """Opens stores, with PostgreSQL unless told otherwise, and closes what the test leaves."""
    with ExitStack() as stack:

        def store(address: str | None = postgres) -> KafkaEventStore:
            return stack.enter_context(open_store(kafka, address, partitions=PARTITIONS))

        yield store


def events(kafka: str) -> list[RawRecord]:
    return all_valid_events(kafka, TOPIC, PARTITIONS)


def append_ids(found: list[RawRecord]) -> set[bytes]:
    return {each.header.append for each in found if each.header is not None}


def execute(postgres: str, statement: str) -> None:
    with address.connect(postgres, autocommit=True) as connection:
        connection.execute(statement.encode())


# Two writers


def test_a_second_writer_makes_the_first_ones_append_fail_truthfully(
    kafka: str, opened: Open
) -> None:
    first, second = opened(), opened()
    answer(first, deposit("alice", NO_STREAM))
    assert answer(second, deposit("alice", 1)).version == 2
    with pytest.raises(ConcurrencyError) as caught:
        answer(first, deposit("alice", 1))
    assert (caught.value.expected, caught.value.found) == (1, 2)
    assert answer(first, deposit("alice", 2)).version == 3
    assert answer(second, deposit("alice", ANY)).version == 4
    assert len(events(kafka)) == 4


def test_a_second_writer_needs_no_postgres_to_fence_the_first(kafka: str, opened: Open) -> None:
    first, second = opened(None), opened(None)
    answer(first, deposit("alice", NO_STREAM))
    assert answer(second, deposit("alice", 1)).version == 2
    with pytest.raises(ConcurrencyError):
        answer(first, deposit("alice", 1))
    assert len(events(kafka)) == 2


def test_writers_that_fight_for_a_partition_lose_and_double_nothing(
    kafka: str, opened: Open
) -> None:
    stores = [opened(), opened()]
    acknowledged: list[Appended] = []
    unknown: list[Append] = []

    def load(number: int) -> None:
        store = stores[number % STORES]
        for turn in range(60):
            append = deposit(f"account-{turn % 7}", ANY, amounts=(1, 2))
            try:
                acknowledged.append(answer(store, append))
            except UnknownOutcome:
                unknown.append(append)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(load, range(8)))
    acknowledged.extend([answer(stores[0], append) for append in unknown])
    found = events(kafka)
    places = {(each.stream, each.header.version) for each in found if each.header is not None}
    assert len(found) == 2 * 8 * 60
    assert {(each.stream, each.version) for each in acknowledged} <= places
    assert len({(each.stream, each.version) for each in acknowledged}) == 8 * 60


def test_an_append_in_flight_when_another_claims_is_decided_on_the_true_head(
    kafka: str, opened: Open
) -> None:
    first, second = opened(), opened()
    answer(first, deposit("alice", NO_STREAM))
    answer(second, deposit("alice", ANY))
    futures = [first.submit(deposit("alice", ANY)) for _ in range(50)]
    versions = [future.result(SECONDS).version for future in futures]
    assert sorted(versions) == list(range(3, 53))
    assert all(not future.result().repeated for future in futures)
    assert len(events(kafka)) == 52


# Kills and restarts

LOAD = """
import sys
sys.path.insert(0, {root!r})
from uuid import NAMESPACE_URL, uuid5
from tests.bank_store import deposit, open_store
store = open_store({kafka!r}, {postgres!r}, partitions=3)
def say(number):
    def done(future):
        sys.stdout.write(f"{{number}} {{future.result().version}}\\n")
        sys.stdout.flush()
    return done
for number in range(1_000_000):
    once = uuid5(NAMESPACE_URL, f"load-{{number}}")
    append = deposit(f"account-{{number % 50}}", amounts=(1, 2, 3), append_id=once)
    store.submit(append).add_done_callback(say(number))
"""


def killed_in_mid_load(kafka: str, postgres: str, answers: int) -> dict[int, int]:
    """Number of each append that was acknowledged before the kill → its version."""
    script = LOAD.format(root=str(Path(__file__).parents[3]), kafka=kafka, postgres=postgres)
    acknowledged: dict[int, int] = {}
    with Popen([sys.executable, "-c", script], stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            number, version = map(int, line.split())
            acknowledged[number] = version
            if len(acknowledged) == answers:
                process.kill()
    return acknowledged


def test_what_was_acknowledged_before_a_kill_is_there_and_repeating_it_adds_nothing(
    kafka: str, postgres: str, opened: Open
) -> None:
    acknowledged = killed_in_mid_load(kafka, postgres, 3_000)
    store = opened()
    for number in range(30):  # claims every partition: what the dead one sent comes too late now
        answer(store, deposit(f"another-{number}", NO_STREAM))
    before = append_ids(events(kafka))
    ids = {number: uuid5(NAMESPACE_URL, f"load-{number}") for number in acknowledged}
    assert {each.bytes for each in ids.values()} <= before
    last = max(acknowledged) + 600
    futures = {
        number: store.submit(
            deposit(
                f"account-{number % 50}",
                amounts=(1, 2, 3),
                append_id=uuid5(NAMESPACE_URL, f"load-{number}"),
            )
        )
        for number in range(last)
    }
    for number, future in futures.items():
        again = future.result(SECONDS)
        assert again.repeated is (uuid5(NAMESPACE_URL, f"load-{number}").bytes in before)
        assert again.version == acknowledged.get(number, again.version)
    assert len(events(kafka)) == 3 * last + 30


def test_a_writer_that_stands_still_within_its_checkpoint_holds_nobody_up(
    kafka: str, postgres: str, opened: Open
) -> None:
    script = LOAD.format(root=str(Path(__file__).parents[3]), kafka=kafka, postgres=postgres)
    armed = os.environ | {FAILPOINT: "checkpoint_written:stop"}
    with Popen([sys.executable, "-c", script], stdout=DEVNULL, env=armed) as process:
        try:
            assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
            store = opened()
            for number in range(20):
                assert not answer(store, deposit(f"account-{number}")).repeated
        finally:
            process.kill()


def test_a_restarted_writer_reads_from_its_checkpoint(opened: Open) -> None:
    with opened() as store:
        futures = [store.submit(deposit(f"account-{number}")) for number in range(600)]
        last = [future.result(SECONDS) for future in futures][-1]
    with opened() as store:
        assert store.head(TOPIC, last.stream) is not None
        while not (known := [each.restored for each in partitions_of(store) if each.restored]):
            time.sleep(0.01)  # the answer comes a little before the writer hears of it
        restored = known[0]
        assert restored.begin.next_offset > 100
        assert restored.rule.next_offset == restored.begin.next_offset
        assert not restored.heads.applied
        assert restored.heads.tips_whole


def test_a_partition_of_few_streams_is_loaded_once_and_no_stream_of_it_looked_up(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as store:
        for stream in ("alice", "bob"):
            answer(store, deposit(stream, NO_STREAM))

    def fail(*_: object) -> None:
        raise AssertionError("a look-up")

    monkeypatch.setattr(checkpoints, "look_up", fail)
    with opened() as store:
        for stream, version in (("alice", 1), ("bob", 1), ("carol", 0)):
            assert answer(store, deposit(stream, version, first_try=True)).version == version + 1
            refused = store.submit(deposit(stream, 0, first_try=True))
            assert isinstance(error_of(refused), ConcurrencyError)


def test_a_restart_with_an_empty_database_reads_everything_again(
    kafka: str, postgres: str, opened: Open
) -> None:
    with opened() as store:
        first = answer(store, once := deposit("alice", NO_STREAM))
        answer(store, deposit("alice", 1))
    execute(postgres, "TRUNCATE foldlog.checkpoints, foldlog.heads, foldlog.appends")
    with opened() as store:
        assert answer(store, once).positions == first.positions
        head = store.head(TOPIC, "alice")
        assert head is not None
        assert head.version == 2
        assert answer(store, deposit("alice", 2)).version == 3
    assert len(events(kafka)) == 3


def test_a_lost_database_is_made_again_while_the_log_is_read_and_gone_on_with_after_a_failure(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    appends = [deposit(f"account-{number % 30}", append_id=uuid4()) for number in range(600)]
    with opened() as store:
        first = [each.result(SECONDS) for each in [*map(store.submit, appends)]]
    execute(postgres, "TRUNCATE foldlog.checkpoints, foldlog.heads, foldlog.appends")
    monkeypatch.setattr(heads_module, "HEADS_CACHED", PARTITIONS)  # one for each
    monkeypatch.setattr(Restorer.__init__, "__kwdefaults__", {"far": 50, "at_once": 20})
    stored: dict[int, list[int]] = {}
    store_checkpoint = checkpoints.store

    def store_or_fail(connection: Connection[TupleRow], checkpoint: Checkpoint) -> bool:
        offsets = stored.setdefault(checkpoint.key.partition, [])
        offsets.append(checkpoint.position.next_offset)
        if len(offsets) == 2:
            raise OSError("the second fails")
        return store_checkpoint(connection, checkpoint)

    monkeypatch.setattr(checkpoints, "store", store_or_fail)
    again = [each.result(SECONDS) for each in [*map(opened().submit, appends)]]
    assert again == [replace(each, repeated=True) for each in first]
    for offsets in stored.values():
        assert len(offsets) > 3
        del offsets[1]  # what failed is stored after it, in the second try
        assert offsets == sorted(set(offsets))


def test_a_database_that_goes_back_under_a_writer_is_noticed_and_made_good(
    kafka: str, postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads_module, "HEADS_CACHED", PARTITIONS)  # one for each
    store = opened()
    appends = [deposit(f"account-{number}", NO_STREAM) for number in range(60)]
    for append in appends[:30]:
        answer(store, append)
    wait_for_checkpoints(store)
    with address.connect(postgres, autocommit=True) as backup:
        for table in ("checkpoints", "heads", "appends"):
            backup.execute(f"CREATE TABLE {table}_then AS TABLE foldlog.{table}".encode())
        for append in appends[30:]:
            answer(store, append)
        wait_for_checkpoints(store)
        with backup.transaction():
            for table in ("checkpoints", "heads", "appends"):
                backup.execute(f"TRUNCATE foldlog.{table}".encode())
                backup.execute(f"INSERT INTO foldlog.{table} TABLE {table}_then".encode())
    again = [answer(store, append) for append in appends]
    assert all(each.repeated for each in again)
    for append in appends:
        assert answer(store, deposit(append.stream, 1)).version == 2
    wait_for_checkpoints(store)
    assert len(events(kafka)) == 120


def test_a_checkpoint_of_another_log_stops_the_partition_loudly(
    postgres: str, opened: Open
) -> None:
    with opened() as store:
        answer(store, deposit("alice", NO_STREAM))
    execute(postgres, "UPDATE foldlog.checkpoints SET next_sequence = 7")
    with opened() as store, pytest.raises(OffsetGone, match="another record"):
        answer(store, deposit("alice", 1))
    execute(postgres, "UPDATE foldlog.checkpoints SET next_offset = 1000")
    with opened() as store, pytest.raises(OffsetGone, match="its end at"):
        answer(store, deposit("alice", 1))


def test_a_topic_made_again_under_an_open_store_is_not_written_to(kafka: str, opened: Open) -> None:
    store = opened(None)
    answer(store, deposit("alice", NO_STREAM))
    settings = KafkaSettings(kafka)
    admin: Any = settings.admin()
    admin.delete_topics([TOPIC])[TOPIC].result()
    while TOPIC in admin.list_topics(timeout=SECONDS).topics:
        time.sleep(0.05)
    Topics(settings, "single", PARTITIONS).ensure(TOPIC)
    with pytest.raises((TopicRecreated, UnknownOutcome, OffsetGone)):
        answer(store, deposit("alice", 1))


# Bounded memory


def test_what_was_forgotten_is_looked_up(
    kafka: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads_module, "HEADS_CACHED", 2 * PARTITIONS)
    store = opened()
    appends = [deposit(f"account-{number}", NO_STREAM) for number in range(200)]
    for future in [store.submit(append) for append in appends]:
        future.result(SECONDS)
    wait_for_checkpoints(store)
    assert sum(len(each.heads.tips) for each in partitions_of(store)) <= 2 * PARTITIONS
    assert all(future.result(SECONDS).repeated for future in map(store.submit, appends))
    assert sum(len(each.heads.applied) for each in partitions_of(store)) <= 2 * PARTITIONS
    for append in appends[:20]:
        head = store.head(TOPIC, append.stream)
        assert head is not None
        assert (head.version, head.append_id) == (1, append.append_id)
        assert store.applied(TOPIC, append.stream, append.append_id) is not None
    futures = [store.submit(deposit(append.stream, 1)) for append in appends]
    assert {future.result(SECONDS).version for future in futures} == {2}
    refused = [store.submit(deposit(append.stream, NO_STREAM)) for append in appends]
    assert all(isinstance(error_of(future), ConcurrencyError) for future in refused)
    assert isinstance(error_of(store.submit(deposit("account-7", 9))), VersionAhead)
    assert len(events(kafka)) == 400


def test_where_a_stream_begins_is_known_when_only_its_end_was_read_again(opened: Open) -> None:
    with opened() as store:
        first = answer(store, deposit("alice", NO_STREAM))
    with opened() as store:
        answer(store, deposit("alice", 1))
        head = store.head(TOPIC, "alice")
        assert head is not None
        assert (head.version, head.first_offset) == (2, first.positions[0].offset)


# PostgreSQL away


def test_appends_go_on_without_postgres_while_memory_is_whole(
    kafka: str, postgres: str, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    for number in range(30):  # claims every partition
        answer(store, deposit(f"account-{number}", NO_STREAM))
    with unreachable(postgres):
        for number in range(60):
            answer(store, deposit(f"account-{number}", ANY))
        wait_until(lambda: "a checkpoint of" in caplog.text)  # it fails
    answer(store, deposit("account-0", ANY))
    wait_for_checkpoints(store)
    assert len(events(kafka)) == 91
    store.close()
    with opened() as again:
        assert again.head(TOPIC, "account-0") is not None


def test_what_must_be_looked_up_waits_for_postgres_and_holds_nothing_else_up(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads_module, "HEADS_CACHED", PARTITIONS)
    store = opened()
    appends = [deposit(f"account-{number}", NO_STREAM) for number in range(60)]
    for append in appends:
        answer(store, append)
    wait_for_checkpoints(store)
    with unreachable(postgres):
        forgotten = store.submit(deposit("account-0", 1))
        with ThreadPoolExecutor(1) as threads:
            head = threads.submit(store.head, TOPIC, "account-1")
            time.sleep(1.5)
            assert not forgotten.done()
            assert not head.done(), "no answer is not the answer that there is no stream"
            known = next(iter(partitions_of(store)[0].heads.tips))
            answer(store, deposit(known, ANY, first_try=True))
            postgres_is_back(postgres)
            assert forgotten.result(SECONDS).version == 2
            assert head.result(SECONDS) is not None


def test_what_waits_for_postgres_for_too_long_is_answered_as_unknown(
    postgres: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads_module, "HEADS_CACHED", PARTITIONS)
    store = opened()
    for number in range(60):
        answer(store, deposit(f"account-{number}", NO_STREAM))
    wait_for_checkpoints(store)
    monkeypatch.setattr("eventstore.kafka.writer.PATIENCE_SECONDS", 1.0)
    with unreachable(postgres):
        assert isinstance(error_of(store.submit(deposit("account-0", 1))), UnknownOutcome)
        with pytest.raises(EventStoreError):
            store.head(TOPIC, "account-1")


class unreachable:  # noqa: N801 - reads as a word
    """Nobody can connect to the database, and who had is cut off."""

    def __init__(self, postgres: str) -> None:
        url = address.parse(postgres)
        self.name = url.database
        self.postgres = postgres
        server = url.set(drivername="postgresql", database="postgres")
        self.server = server.render_as_string(hide_password=False)

    def __enter__(self) -> None:
        self._allow(connections=False)
        execute(
            self.server,
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'",
        )

    def __exit__(self, *_: object) -> None:
        self._allow(connections=True)

    def _allow(self, *, connections: bool) -> None:
        execute(self.server, f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS {connections}')


def postgres_is_back(postgres: str) -> None:
    unreachable(postgres).__exit__()


# One append's fault is its own


def test_an_append_that_cannot_be_sent_harms_no_other(kafka: str, opened: Open) -> None:
    store = opened()
    answer(store, deposit("alice", NO_STREAM))
    before = store.submit(deposit("alice", 1))
    large = store.submit(deposit("alice", ANY, amounts=[1] * 1_001))
    broken = MoneyDeposited.model_construct(amount=2**63)
    other = store.submit(Append(TOPIC, "alice", [broken], ANY))
    after = store.submit(deposit("alice", 2))
    assert (before.result(SECONDS).version, after.result(SECONDS).version) == (2, 3)
    assert isinstance(error_of(large), AppendTooLarge)
    assert error_of(other) is not None
    with pytest.raises(InvalidAppend):
        Append(TOPIC, "alice", [MoneyDeposited(amount=1)], ANY, times=(2**63,))
    with pytest.raises(InvalidAppend):
        Append(TOPIC, "alice", [MoneyDeposited(amount=1)], ANY, append_id=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert sum(claims(each) for each in dump(kafka, TOPIC, PARTITIONS).values()) == 1


def test_an_append_id_of_another_stream_is_refused_also_while_that_is_in_flight(
    opened: Open,
) -> None:
    store = opened()
    first, second = streams_of_one_partition()
    once = uuid4()
    mine = store.submit(deposit(first, append_id=once))
    others = store.submit(deposit(second, append_id=once))
    assert mine.result(SECONDS).version == 1
    assert isinstance(error_of(others), AppendIdReused)
    assert store.applied(TOPIC, second, once) is None


def streams_of_one_partition() -> tuple[str, str]:
    """Two streams that nobody has used."""
    names = [f"account-{number}" for number in range(PARTITIONS + 1)]
    places: dict[int, str] = {}
    for name in names:
        other = places.setdefault(murmur2(name.encode(), PARTITIONS), name)
        if other != name:
            return other, name
    raise AssertionError("more streams than partitions, and no two in one")


def test_a_callback_may_append_and_may_not_wait_for_the_writer(opened: Open) -> None:
    store = opened()
    chained: Future[Future[Appended]] = Future()
    asked: Future[object] = Future()

    def go_on(done: "Future[Appended]") -> None:
        chained.set_result(store.submit(deposit("alice", done.result().version)))
        try:
            asked.set_result(store.head(TOPIC, "alice"))
        except EventStoreError as error:
            asked.set_exception(error)

    store.submit(deposit("alice", NO_STREAM)).add_done_callback(go_on)
    assert chained.result(SECONDS).result(SECONDS).version == 2
    assert "callback" in str(asked.exception(SECONDS))


# Endings


def test_closing_answers_what_is_in_flight(kafka: str, opened: Open) -> None:
    store = opened()
    futures = [store.submit(deposit(f"account-{number}")) for number in range(500)]
    store.close()
    assert all(future.done() and future.result().version == 1 for future in futures)
    assert len(events(kafka)) == 500


def test_a_closed_store_refuses_everything(opened: Open) -> None:
    store = opened()
    answer(store, deposit("alice", NO_STREAM))
    store.close()
    store.close()
    with pytest.raises(StoreClosed):
        store.submit(deposit("alice", 1))
    with pytest.raises(StoreClosed):
        store.head(TOPIC, "alice")
    with pytest.raises(StoreClosed):
        store.read(TOPIC, "alice")


def test_a_store_closed_under_many_threads_leaves_nobody_waiting(kafka: str, opened: Open) -> None:
    store = opened()
    acknowledged: list[Appended] = []

    def load(number: int) -> None:
        while True:
            try:
                acknowledged.append(answer(store, deposit(f"account-{number}")))
            except (StoreClosed, UnknownOutcome):
                return

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: acknowledged)
    store.close()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert len(events(kafka)) >= len(acknowledged) > 0


def test_a_writer_that_fails_tells_everybody(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened()
    answer(store, deposit("alice", NO_STREAM))

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Partition, "serve", fail)
    waiting = store.submit(deposit("alice", 1))
    assert "a defect" in str(error_of(waiting))
    assert isinstance(error_of(waiting), StoreClosed)
    with pytest.raises(StoreClosed, match="a defect"):
        store.submit(deposit("alice", 1))
    with pytest.raises(StoreClosed):
        store.head(TOPIC, "alice")
    store.close()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own(opened: Open) -> None:
    store = opened()
    answer(store, deposit("alice", NO_STREAM))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            store.submit(deposit("alice", 1))
        except StoreClosed:
            os.write(writing, b"refused")
        finally:
            store.close()
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 7) == b"refused"
    os.close(reading)
    os.close(writing)
    assert answer(store, deposit("alice", 1)).version == 2


# The whole


def test_a_repository_works_on_kafka(kafka: str, opened: Open) -> None:
    with opened() as store:
        accounts = Repository(store, Account)
        accounts.save(Account.open("alice", owner="Alice"))
        accounts.execute("alice", lambda account: account.deposit(100))
        with accounts.edit("alice") as account:
            account.withdraw(30)
        account.deposit(5)
        assert accounts.submit(account).result(SECONDS).version == 4
        once = uuid4()
        first = accounts.execute("alice", lambda account: account.deposit(1), append_id=once)
        again = accounts.execute("alice", lambda account: account.deposit(1), append_id=once)
        assert (again.version, again.repeated) == (first.version, True)
    with opened() as store:
        account = Repository(store, Account).get("alice")
        assert (account.owner, account.balance, account.version) == ("Alice", 76, 5)
    assert len(events(kafka)) == 5


def cut_connections(postgres: str) -> None:
    with address.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_connection_to_postgres_that_was_cut_costs_no_read(postgres: str, opened: Open) -> None:
    with opened() as store:
        answer(store, deposit("alice"))
    reader = opened()
    for _ in range(3):
        head = reader.head(TOPIC, "alice")
        assert head is not None
        assert head.version == 1
        cut_connections(postgres)


def test_a_connection_to_postgres_that_is_cut_costs_no_append(postgres: str, opened: Open) -> None:
    store = opened()
    for number in range(20):
        answer(store, deposit(f"account-{number % 5}"))
        cut_connections(postgres)
        time.sleep(0.1)
    wait_for_checkpoints(store)
    with psycopg.connect(postgres) as connection:
        row = connection.execute("SELECT sum(version) FROM foldlog.heads").fetchone()
    assert row == (20,)


def test_a_stranger_among_records_in_flight_costs_a_claim_and_no_event(
    kafka: str, opened: Open
) -> None:
    store = opened()
    where = answer(store, deposit("alice", NO_STREAM)).positions[0]
    stranger = KafkaSettings(kafka).producer()
    stranger.produce(TOPIC, b"?", b"?", where.partition)
    stranger.flush(SECONDS)
    futures = [store.submit(deposit("alice", version, amounts=(1, 2))) for version in (1, 3, 5)]
    answers = [future.result(SECONDS) for future in futures]
    assert [each.version for each in answers] == [3, 5, 7]
    read = list(store.read(TOPIC, "alice"))
    assert [each.version for each in read] == list(range(1, 8))
    assert [each.position for each in read[1:]] == [
        place for each in answers for place in each.positions
    ]
    assert len(events(kafka)) == 7
