"""Any process may append: writers share a topic's partitions, and requests travel to them."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, TopicPartition, murmur2

from eventstore.errors import (
    Busy,
    ConcurrencyError,
    InvalidAppend,
    NoWriter,
    StoreClosed,
    UnfitMailTopic,
    UnknownOutcome,
)
from eventstore.kafka import answering, forwarding, ownership, requests, routing, settings
from eventstore.kafka.answering import Answering
from eventstore.kafka.ownership import Ownership, Taken
from eventstore.kafka.records import EncodedAppend
from eventstore.kafka.request_format import REQUEST, Request, pack_request
from eventstore.kafka.routing import Role
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Topics, requests_topic
from eventstore.store import ANY, Appended
from tests.bank import Account
from tests.bank_store import SECONDS, answer, deposit, error_of, open_store, wait_until
from tests.raw_log import all_valid_events, claims, dump

PARTITIONS = 3
WRITER = Path(__file__).with_name("one_writer.py")


def owned(store: KafkaEventStore) -> frozenset[int]:
    routed = cast("Any", store)._writer._routing
    return cast("frozenset[int]", routed._owned.get(Account.topic, frozenset()))


def wait_for_share(*stores: KafkaEventStore) -> None:
    """Until the partitions are divided among just these."""
    deadline = time.monotonic() + 120
    while sum(len(owned(each)) for each in stores) != PARTITIONS or not all(map(owned, stores)):
        assert time.monotonic() < deadline, [owned(each) for each in stores]
        time.sleep(0.05)


def test_writers_share_the_partitions_and_each_appends_to_all_of_them(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = {**settings.MEMBER, "session.timeout.ms": 45_000}  # no member is taken for dead
    monkeypatch.setattr(settings, "MEMBER", patient)
    streams = [f"account-{number}" for number in range(30)]
    with (
        open_store(kafka, postgres, role="writer") as one,
        open_store(kafka, postgres, role="writer") as other,
    ):
        one.open_topics()
        other.open_topics()
        wait_for_share(one, other)
        for stream in streams:
            assert answer(one, deposit(stream, 0)).version == 1
            assert answer(other, deposit(stream, 1)).version == 2
            assert isinstance(error_of(one.submit(deposit(stream, 1))), ConcurrencyError)
        records = dump(kafka, Account.topic, PARTITIONS)
    assert sum(map(claims, records.values())) == PARTITIONS  # nobody took one from the other
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 2 * len(streams)


def never_joins(member: Any) -> None:
    member._leaving.wait()


def test_a_process_that_finds_writers_appends_by_them_before_it_is_one_itself(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(kafka, postgres, role="writer") as one:
        one.open_topics()
        wait_for_share(one)
        monkeypatch.setattr(routing, "JOINING_SECONDS", 1e6)
        monkeypatch.setattr(Ownership, "_run", never_joins)
        with open_store(kafka, postgres, role="writer") as other:
            assert answer(other, deposit("alice")).version == 1
            assert not owned(other)


@pytest.mark.parametrize(
    ("role", "prepared"), [("writer", True), ("sole", True), ("client", False)]
)
def test_who_may_write_makes_its_producer_before_the_first_append(
    kafka: str,
    role: Role,
    prepared: bool,  # noqa: FBT001
) -> None:
    with open_store(kafka, role=role) as store:
        transport = cast("Any", store)._writer._transport
        store.open_topics()
        if prepared:
            wait_until(lambda: transport._producer is not None)
        assert (transport._producer is not None) is prepared


def test_appends_of_one_stream_keep_their_order_while_partitions_move(
    kafka: str, postgres: str
) -> None:
    """Each is decided against the one before, so that one that overtakes is refused."""
    with open_store(kafka, postgres, role="client") as client:
        futures: list[Future[Appended]] = []
        with open_store(kafka, postgres, role="writer") as one:
            futures.extend(one.submit(deposit("alice", number)) for number in range(200))
            with open_store(kafka, postgres, role="writer") as other:
                other.open_topics()
                for number in range(200, 400):
                    futures.append(one.submit(deposit("alice", number)))
                    time.sleep(0.005)
                wait_for_share(one, other)
            answers = [each.result(SECONDS) for each in futures]
            assert [each.version for each in answers] == list(range(1, 401))
            assert not any(each.repeated for each in answers)
        assert client.head(Account.topic, "alice") is not None
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 400


def test_no_append_fails_while_writers_come_and_go(kafka: str, postgres: str) -> None:
    stop, done = threading.Event(), Counter[str]()

    def append() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            done[answer(client, deposit(f"account-{number % 20}")).stream] += 1

    with (
        open_store(kafka, postgres, role="client") as client,
        open_store(kafka, postgres, role="writer") as first,
    ):
        first.open_topics()
        failed: list[BaseException] = []
        thread = threading.Thread(target=lambda: _caught(append, failed))
        thread.start()
        writers = [first]
        for _ in range(3):
            writers.append(open_store(kafka, postgres, role="writer"))
            writers[-1].open_topics()
            wait_for_share(*writers)
            writers.pop(0).close()
        stop.set()
        thread.join()
        writers[0].close()
    assert not failed
    events = all_valid_events(kafka, Account.topic, PARTITIONS)
    assert Counter(each.stream for each in events) == done


def _caught(run: Callable[[], None], failed: list[BaseException]) -> None:
    try:
        run()
    except BaseException as error:  # noqa: BLE001 - the test's thread shows it
        failed.append(error)


@pytest.mark.parametrize("point", ["request_taken", "before_reply", "after_reply"])
def test_a_request_whose_writer_is_killed_is_answered_by_the_next_and_applied_once(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(requests, "ANSWER_SECONDS", 2 * SECONDS)
    with open_store(kafka, postgres, role="client") as client:
        with one_writer(kafka, postgres, failpoint=f"{point}:kill:2") as killed:
            assert answer(client, deposit("alice")).version == 1
            future = client.submit(deposit("alice"))
            assert killed.wait(SECONDS) == -9
        with open_store(kafka, postgres, role="writer") as writer:
            writer.open_topics()
            assert future.result(2 * SECONDS).version == 2
            assert answer(client, deposit("alice")).version == 3
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 3


@contextmanager
def one_writer(
    kafka: str, postgres: str, failpoint: str = ""
) -> Generator["subprocess.Popen[str]"]:
    """A writer in a process of its own, until the end of the block."""
    command = [sys.executable, str(WRITER), kafka, postgres]
    armed = os.environ | {"FOLDLOG_FAILPOINT": failpoint}
    with subprocess.Popen(command, env=armed, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "open\n"
            yield writer
        finally:
            writer.kill()


def test_an_append_repeated_to_another_writer_gets_its_first_answer(
    kafka: str, postgres: str
) -> None:
    append_id = uuid4()
    with open_store(kafka, postgres, role="client") as client:
        with open_store(kafka, postgres, role="writer") as one:
            one.open_topics()
            first = answer(client, deposit("alice", append_id=append_id))
            answer(client, deposit("alice"))
        with open_store(kafka, postgres, role="writer") as other:
            other.open_topics()
            again = answer(client, deposit("alice", append_id=append_id))
    assert (again.version, again.positions, again.repeated) == (1, first.positions, True)


def test_an_append_repeated_after_its_writer_was_killed_gets_its_first_answer(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not its stream's last, and its writer stored no last checkpoint."""
    monkeypatch.setattr(requests, "ANSWER_SECONDS", 2 * SECONDS)
    append_id = uuid4()
    with open_store(kafka, postgres, role="client") as client:
        with one_writer(kafka, postgres) as killed:
            first = answer(client, deposit("alice", append_id=append_id))
            answer(client, deposit("alice"))
            killed.kill()
        with open_store(kafka, postgres, role="writer") as other:
            other.open_topics()
            future = client.submit(deposit("alice", append_id=append_id))
            again = future.result(2 * SECONDS)
    assert (again.version, again.positions, again.repeated) == (1, first.positions, True)
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 2


def test_a_client_says_so_when_nobody_writes(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(kafka, postgres, role="client") as client:
        append = deposit("alice")
        with monkeypatch.context() as impatient:
            impatient.setattr(requests, "ANSWER_SECONDS", 0.5)
            impatient.setattr(forwarding, "LATE_SECONDS", 0.1)
            error = error_of(client.submit(append))
        assert isinstance(error, NoWriter)
        assert "foldlog writers" in str(error)
        assert error.append_id == append.append_id
        time.sleep(0.5)
        with open_store(kafka, postgres, role="writer") as writer:  # finds it, too late
            writer.open_topics()
            wait_for_share(writer)
            assert answer(writer, deposit("alice", 0)).version == 1
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 1


def test_who_waits_while_it_is_asked_why_nobody_answers_is_answered_at_the_latest_by_closing(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(forwarding, "LATE_SECONDS", 0.1)
    monkeypatch.setattr("eventstore.kafka.writer.CLOSING_SECONDS", 0.5)
    asked, never = threading.Event(), threading.Event()

    def has_writers(_topics: Topics, _topic: str) -> bool:
        asked.set()
        never.wait(SECONDS)
        return False

    monkeypatch.setattr(Topics, "has_writers", has_writers)
    client = open_store(kafka, postgres, role="client")
    future = client.submit(deposit("alice"))
    assert asked.wait(SECONDS)
    client.close()
    never.set()
    assert isinstance(error_of(future), UnknownOutcome)


def test_a_client_never_becomes_a_writer(kafka: str, postgres: str) -> None:
    with open_store(kafka, postgres, role="client") as client:
        client.open_topics()
        assert not Topics(KafkaSettings(kafka), "single").has_writers(Account.topic)


def test_a_writer_whose_queue_is_full_says_so(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "REQUESTS_QUEUED", 1)
    with (
        open_store(kafka, postgres, role="writer") as writer,
        open_store(kafka, postgres, role="client") as client,
    ):
        writer.open_topics()
        futures = [client.submit(deposit("alice")) for _ in range(50)]
        errors = [error for each in futures if (error := each.exception(SECONDS)) is not None]
        assert errors
        assert all(isinstance(error, Busy) for error in errors)
        assert "same append id" in str(errors[0])
        # It is not final: a request that is read again while it is being decided gets it too.
        assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) >= 50 - len(errors)


def member_of(store: KafkaEventStore) -> Any:
    return cast("Any", store)._writer._routing._members[Account.topic]


def test_a_writer_whose_thread_is_held_reads_no_more_than_it_can_keep(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest waits in the request topic; also when partitions move meanwhile."""
    monkeypatch.setattr(ownership, "REQUEST_BYTES_QUEUED", 100_000)
    monkeypatch.setattr(ownership, "RECORDS", 2)
    held = threading.Event()
    with (
        open_store(kafka, postgres, role="writer") as one,
        open_store(kafka, postgres, role="client") as client,
    ):
        one.open_topics()
        wait_for_share(one)
        one.submit(deposit("alice")).add_done_callback(lambda _: held.wait(60))
        futures = [
            client.submit(deposit(f"account-{number % 20}", amounts=[1] * 100))
            for number in range(200)
        ]
        member = member_of(one)
        wait_until(lambda: len(member._paused) == PARTITIONS)
        with open_store(kafka, postgres, role="writer") as other:
            other.open_topics()
            wait_until(lambda: bool(owned(other)))
            wait_until(lambda: member._paused == member._owned)
            taken = sum(each.bytes for each in member._unanswered.values())
            assert taken < 100_000 + 3 * 30_000  # what was given at once came beyond it
            held.set()
            assert all(each.result(SECONDS).version for each in futures)
            wait_until(lambda: all_settled(one) and not member._paused)
        assert answer(client, deposit("alice")).version == 2
    assert len(all_valid_events(kafka, Account.topic, PARTITIONS)) == 20_002


def test_a_commit_that_failed_is_told_and_made_again(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[list[TopicPartition]] = []
    on_commit = cast("Any", Ownership)._on_commit

    def fail_once(self: Ownership, error: KafkaError | None, where: list[TopicPartition]) -> None:
        answered = any(each.offset for each in where)  # before that, where it is to begin
        if answered:
            told.append(where)
        failed = answered and len(told) == 1
        on_commit(self, KafkaError(KafkaError._TIMED_OUT) if failed else error, where)

    monkeypatch.setattr(Ownership, "_on_commit", fail_once)
    with (
        open_store(kafka, postgres, role="writer") as writer,
        open_store(kafka, postgres, role="client") as client,
    ):
        writer.open_topics()
        assert answer(client, deposit("alice")).version == 1
        wait_until(lambda: len(told) > 1)
        first, second = ([(at.partition, at.offset) for at in each] for each in told[:2])
        assert first == second == [(murmur2(b"alice", PARTITIONS), 1)]
    assert "were not committed" in caplog.text


def test_a_member_is_known_before_it_takes_a_request_that_may_be_settled_at_once(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, begin = list[bool](), Ownership.start
    with open_store(kafka, role="writer") as store:
        members = cast("Any", store)._writer._routing._members

        def start(member: Ownership) -> None:
            known.append(member in members.values())
            begin(member)

        monkeypatch.setattr(Ownership, "start", start)
        store.open_topics()
    assert known == [True]


def test_a_reply_that_cannot_be_sent_at_first_is_sent_again(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_store(kafka, postgres, role="writer") as writer,
        open_store(kafka, postgres, role="client") as client,
    ):
        writer.open_topics()
        answer(client, deposit("alice"))
        mail = cast("Any", writer)._writer._routing._answering._mail
        send, refused = mail.send, Counter[str]()

        def refuse_three_times(topic: str, *rest: Any, reported: Any, **more: Any) -> None:
            refused[topic] += 1
            if refused[topic] <= 3:
                reported("Local: Queue full")
            else:
                send(topic, *rest, reported=reported, **more)

        monkeypatch.setattr(mail, "send", refuse_three_times)
        assert answer(client, deposit("alice")).version == 2
        assert refused == {"accounts.replies": 4}


def test_what_is_no_request_is_passed_over_and_holds_nothing_up(
    kafka: str, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        open_store(kafka, postgres, role="writer") as writer,
        open_store(kafka, postgres, role="client") as client,
    ):
        writer.open_topics()
        producer = KafkaSettings(kafka).producer(idempotent=False)
        for partition in range(PARTITIONS):
            producer.produce(requests_topic(Account.topic), b"?", b"alice", partition)
        assert not producer.flush(30)
        for number in range(10):
            assert answer(client, deposit(f"account-{number}")).version == 1
    assert "holds what is no request" in caplog.text


def send_by_hand(kafka: str, stream: str, *, deadline: float, reply_partition: int) -> None:
    """A request whose bytes Foldlog never makes."""
    partition = murmur2(stream.encode(), PARTITIONS)
    append = EncodedAppend(Account.topic, stream, [(b"?" * 5, b"schema!!", 0)], ANY, uuid4())
    value, header = pack_request(Request(append, deadline, b"sender!!", 1, reply_partition))
    producer = KafkaSettings(kafka).producer(idempotent=False)
    topic = requests_topic(Account.topic)
    headers: list[tuple[str, str | bytes | None]] = [(REQUEST, header)]
    producer.produce(topic, value, stream.encode(), partition, headers=headers)
    assert not producer.flush(30)


def all_settled(store: KafkaEventStore) -> bool:
    """Whether every request that was taken has its answer, so that its offset can be committed."""
    return not any(each._offsets for each in member_of(store)._unanswered.values())


@pytest.mark.parametrize("seconds", [-1, 60])
def test_a_request_that_nobody_can_answer_kills_no_writer_and_holds_nothing_up(
    kafka: str, postgres: str, seconds: int
) -> None:
    """Whether its deadline is over, so that it is answered at once, or not."""
    with open_store(kafka, postgres, role="writer") as writer:
        writer.open_topics()
        deadline = time.time() + seconds
        send_by_hand(kafka, "mallory", deadline=deadline, reply_partition=2**32 - 1)
        with open_store(kafka, postgres, role="client") as client:
            assert answer(client, deposit("mallory")).version == 1  # it came behind the other
            wait_until(lambda: all_settled(writer))


def test_a_request_that_cannot_be_taken_on_is_passed_over(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept = Answering.accept

    def fail(self: Answering, topic: str, taken: Taken) -> Any:
        if taken.request.append.stream == "mallory":
            raise OverflowError("too much")
        return accept(self, topic, taken)

    monkeypatch.setattr(Answering, "accept", fail)
    with open_store(kafka, postgres, role="writer") as writer:
        writer.open_topics()
        send_by_hand(kafka, "mallory", deadline=time.time() + 60, reply_partition=0)
        with open_store(kafka, postgres, role="client") as client:
            streams = [f"account-{number}" for number in range(10)]
            assert [answer(client, deposit(each)).version for each in streams] == [1] * 10
        wait_until(lambda: "could not be taken on" in caplog.text and all_settled(writer))


def test_a_version_that_no_stream_can_have_is_refused(kafka: str, postgres: str) -> None:
    with (
        open_store(kafka, postgres, role="client") as client,
        pytest.raises(InvalidAppend, match="expects version"),
    ):
        client.submit(deposit("alice", 2**63))


def test_closing_waits_for_what_was_sent_to_others(kafka: str, postgres: str) -> None:
    with open_store(kafka, postgres, role="writer") as writer:
        writer.open_topics()
        client = open_store(kafka, postgres, role="client")
        futures = [client.submit(deposit(f"account-{number}")) for number in range(100)]
        client.close()
        assert all(each.done() and each.result().version == 1 for each in futures)


def test_writers_that_close_at_once_answer_each_other_first(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.kafka.writer.CLOSING_SECONDS", 120.0)
    stores = [open_store(kafka, postgres, role="writer") for _ in range(3)]
    for store in stores:
        store.open_topics()
    wait_for_share(*stores)
    futures = [store.submit(deposit(f"account-{n}")) for n in range(50) for store in stores]
    closing = [threading.Thread(target=store.close) for store in stores]
    started = time.monotonic()
    for thread in closing:
        thread.start()
    for thread in closing:
        thread.join()
    assert [each.exception(0) for each in futures] == [None] * len(futures)
    assert time.monotonic() - started < 100  # nobody waited until it gave up


def test_what_was_sent_and_never_answered_is_unknown_when_the_store_closes(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.kafka.writer.CLOSING_SECONDS", 0.3)
    client = open_store(kafka, postgres, role="client")
    future = client.submit(deposit("alice"))
    client.close()
    assert isinstance(error_of(future), UnknownOutcome)
    with pytest.raises(StoreClosed):
        client.submit(deposit("alice"))


def test_a_request_topic_of_another_size_is_refused(kafka: str, postgres: str) -> None:
    topics = Topics(KafkaSettings(kafka), "single", PARTITIONS)
    topics.ensure(requests_topic(Account.topic), partitions=PARTITIONS + 1)
    with (
        open_store(kafka, postgres, role="writer") as store,
        pytest.raises(UnfitMailTopic, match=r"accounts\.requests"),
    ):
        store.submit(deposit("alice"))


forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def error_in_a_fork(run: Callable[[], object]) -> str:
    """The error of a call in a forked process, or nothing; it must come soon."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            run()
        except StoreClosed as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    soon, _, _ = select.select([read], [], [], SECONDS)
    told = os.read(read, 1_000).decode() if soon else "nothing: it hangs"
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return told


@forks
def test_a_forked_process_is_told_to_open_a_store_of_its_own(kafka: str, postgres: str) -> None:
    with open_store(kafka, postgres, role="writer") as store:
        answer(store, deposit("alice"))
        told = error_in_a_fork(lambda: store.submit(deposit("alice")))
        assert "forked" in told
        assert "open a store in each process" in told
        assert answer(store, deposit("alice")).version == 2


@forks
@pytest.mark.parametrize(
    ("method", "rest"),
    [("head", ["alice"]), ("applied", ["alice", uuid4()]), ("read", ["alice"])],
)
def test_a_forked_process_is_told_so_about_topics_that_it_has_not_asked_for_yet(
    kafka: str, method: str, rest: list[Any]
) -> None:
    Topics(KafkaSettings(kafka), "single", PARTITIONS).ensure(Account.topic)
    with open_store(kafka) as store:
        ask = getattr(store, method)
        assert "forked" in error_in_a_fork(lambda: ask(Account.topic, *rest))


@forks
def test_a_forked_process_waits_for_no_lock_that_a_thread_held_as_it_was_forked(kafka: str) -> None:
    with open_store(kafka) as store, cast("Any", store)._lock:
        assert "forked" in error_in_a_fork(lambda: store.head(Account.topic, "alice"))
        assert error_in_a_fork(store.close) == ""
