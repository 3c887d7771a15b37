"""The log reader on a real broker: records written by hand, read by the rule."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from eventstore import Event, Recorded
from eventstore.errors import OffsetGone, UndecodableEvent, UnknownRecord
from eventstore.kafka.header import LAYOUT, Header, Kind
from eventstore.kafka.reader import LogReader, PartitionBatch
from eventstore.kafka.rule import Dead
from eventstore.log import LOG_START, LogPosition
from tests.bank import AccountOpened, MoneyDeposited
from tests.scripted_log import AT, BANK, ScriptedLog

TOPIC = "accounts"
ALICE = [AccountOpened(owner="Alice"), MoneyDeposited(amount=1), MoneyDeposited(amount=2)]
BOB = [AccountOpened(owner="Bob"), MoneyDeposited(amount=30)]


@pytest.fixture
def log(kafka: str) -> ScriptedLog:
    return ScriptedLog(kafka, TOPIC)


@pytest.fixture
def open_reader(log: ScriptedLog) -> Iterator[Callable[..., LogReader]]:
    readers: list[LogReader] = []

    def opened(*only: type[Event]) -> LogReader:
        reader = LogReader(log.settings, {TOPIC: BANK}, log.registry, only=only or None)
        readers.append(reader)
        return reader

    yield opened
    for reader in readers:
        reader.close()


def read_all(
    reader: LogReader, *, events: int = 100, seconds: float = 60
) -> tuple[list[Recorded[Event]], LogPosition]:
    """Read partition 0 up to its end; the events, and the last position."""
    end, deadline = reader.ends(TOPIC)[0], time.monotonic() + seconds
    recorded: list[Recorded[Event]] = []
    position = LOG_START
    while (TOPIC, 0) not in reader.at_end() or position.next_offset < end:
        assert time.monotonic() < deadline, f"came to {position}, not to {end}"
        for batch in reader.read(events=events, timeout=0.2):
            recorded += batch.recorded
            position = batch.position
        if reader.at_end() and position.next_offset < end:
            break  # an append that is not complete ends the log
    return recorded, position


def read_into(batches: list[PartitionBatch], reader: LogReader, *, times: int = 50) -> None:
    for _ in range(times):
        batches += reader.read(events=100, timeout=0.2)


def test_valid_events_come_in_order_and_the_dead_are_skipped(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    zombie = log.claim(1)
    log.append(zombie, "alice", ALICE[:1])
    log.append(zombie, "carol", ALICE, only=2)
    writer = log.claim(2)
    log.append(zombie, "alice", ALICE, only=1)
    log.put(b"alice", b"a stranger's")
    log.append(writer, "bob", BOB)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    recorded, position = read_all(reader)
    assert [(each.stream, each.version, each.event) for each in recorded] == [
        ("alice", 1, ALICE[0]),
        ("bob", 1, BOB[0]),
        ("bob", 2, BOB[1]),
    ]
    assert [each.offset for each in recorded] == [1, 7, 8]
    assert recorded[0].time == AT
    assert position == LogPosition(9, 2, writer.id, 3)
    assert reader.dead()[TOPIC, 0] == {Dead.INCOMPLETE: 2, Dead.STALE_WRITER: 1, Dead.FOREIGN: 1}


def test_a_batch_says_what_passed_last_also_when_it_was_not_wanted(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    log.append(writer, "alice", ALICE)
    (offset,) = log.append(writer, "carol", [AccountOpened(owner="Carol")])
    reader = open_reader(MoneyDeposited)
    reader.assign({(TOPIC, 0): LOG_START})
    batches: list[PartitionBatch] = []
    while not batches or batches[-1].position.next_offset <= offset:
        batches += reader.read(events=100, timeout=0.5)
    events = [each.event for batch in batches for each in batch.recorded]
    assert events == ALICE[1:]
    assert batches[-1].last is not None
    assert batches[-1].last[0] == offset
    assert batches[-1].last[1] == reader.event_id_at(TOPIC, 0, offset)


def test_an_append_that_is_not_complete_is_kept_back_and_the_position_stays_before_it(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    log.append(writer, "alice", ALICE[:1])
    log.append(writer, "bob", BOB, only=1)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    recorded, position = read_all(reader)
    assert [each.event for each in recorded] == ALICE[:1]
    assert position == LogPosition(2, 1, writer.id, 2)


def test_a_reader_goes_on_from_any_batchs_position_without_loss_or_repetition(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    for number in range(10):
        log.append(writer, f"account-{number}", ALICE)
    recorded: list[Recorded[Event]] = []
    position = LOG_START
    while position.next_offset < 31:
        with open_reader() as reader:  # each reader stops after one small batch
            reader.assign({(TOPIC, 0): position})
            batches: list[PartitionBatch] = []
            while not batches and (TOPIC, 0) not in reader.at_end():
                batches = reader.read(events=5, timeout=0.5)
            for batch in batches:
                recorded += batch.recorded
                position = batch.position
    assert [each.offset for each in recorded] == list(range(1, 31))


def test_seek_forgets_what_was_read_ahead(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    for number in range(20):
        log.append(writer, f"account-{number}", ALICE)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    positions = [LOG_START]
    for _ in range(30):
        while not (batches := reader.read(events=7, timeout=0.5)):
            pass
        (batch,) = batches
        began = positions[-1]
        expected = list(range(max(1, began.next_offset), batch.position.next_offset))
        assert [each.offset for each in batch.recorded] == expected
        positions.append(batch.position)
        if len(positions) % 3 == 0 or batch.position.next_offset > 50:
            positions.append(positions[len(positions) // 4])  # back, to a position seen before
            reader.seek(TOPIC, 0, positions[-1])


def test_assign_replaces_what_was_assigned(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    log.append(writer, "alice", ALICE)
    reader = open_reader()
    for _ in range(3):
        reader.assign({(TOPIC, 0): LOG_START})
        assert [each.event for each in read_all(reader)[0]] == ALICE
    reader.assign({})
    assert reader.read(events=10, timeout=0.2) == []


def test_a_new_event_is_read_within_moments(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    read_all(reader)
    waits: list[float] = []
    for _ in range(20):
        log.append(writer, "alice", ALICE[:1])
        begun = time.monotonic()
        while not any(batch.recorded for batch in reader.read(events=10_000, timeout=5)):
            pass
        waits.append(time.monotonic() - begun)
    assert sorted(waits)[5] < 0.1  # of the best quarter, whatever else the machine does


def test_the_end_that_is_asked_from_the_leader_counts_every_record(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    reader = open_reader()
    assert reader.ends(TOPIC) == {0: 0}
    log.append(log.claim(), "alice", ALICE)
    assert reader.ends(TOPIC) == {0: 4}


def test_a_log_that_does_not_hold_the_position_stops_the_reader_loudly(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    log.append(log.claim(), "alice", ALICE)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LogPosition(1000, 1, b"writer--", 5)})
    with pytest.raises(OffsetGone, match=r"accounts\[0\] to hold offset 1000") as raised:
        read_into([], reader)
    assert (raised.value.topic, raised.value.partition, raised.value.offset) == (TOPIC, 0, 1000)
    reader.seek(TOPIC, 0, LOG_START)
    assert [each.event for each in read_all(reader)[0]] == ALICE


def test_a_record_of_a_newer_release_is_never_passed_over(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    log.append(writer, "alice", ALICE)
    newer = Header(LAYOUT + 1, Kind.EVENT, 0, 1, 1, 4, 1, AT, -1, writer.id, bytes(16), bytes(8))
    offset = log.put_header(newer)
    log.append(writer, "bob", BOB)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    batches: list[PartitionBatch] = []
    with pytest.raises(UnknownRecord) as raised:
        read_into(batches, reader)
    assert raised.value.offset == offset
    assert [each.event for batch in batches for each in batch.recorded] == ALICE
    assert batches[-1].position.next_offset == offset  # what precedes it was given first
    assert reader.read(events=100, timeout=0.5) == []  # raised once; then the partition rests


def test_an_append_that_cannot_be_decoded_stops_its_partition_before_it(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    log.append(writer, "alice", ALICE)
    first, _ = log.append(writer, "bob", BOB, body=b"broken")
    log.append(writer, "carol", BOB)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    batches: list[PartitionBatch] = []
    with pytest.raises(UndecodableEvent) as raised:
        read_into(batches, reader)
    assert raised.value.offset == first
    assert [each.event for batch in batches for each in batch.recorded] == ALICE
    assert batches[-1].position == LogPosition(first, 1, writer.id, 4)


def test_a_partition_that_stops_leaves_the_others_going(kafka: str) -> None:
    log = ScriptedLog(kafka, "wide", partitions=3)
    for partition in range(3):
        log.partition = partition
        writer = log.claim()
        if partition == 1:
            log.put(b"", b"", [("foldlog", b"")])
        log.append(writer, f"account-{partition}", BOB)
    with LogReader(log.settings, {"wide": BANK}, log.registry) as reader:
        reader.assign({("wide", partition): LOG_START for partition in range(3)})
        streams: set[str] = set()
        errors: list[UnknownRecord] = []
        deadline = time.monotonic() + 60
        while (len(streams) < 2 or not errors) and time.monotonic() < deadline:
            try:
                for batch in reader.read(events=100, timeout=0.2):
                    streams |= {each.stream for each in batch.recorded}
            except UnknownRecord as error:
                errors.append(error)
    assert streams == {"account-0", "account-2"}
    assert [error.partition for error in errors] == [1]


@pytest.mark.parametrize("time_us", [0, -1, -1_000, 1, 10**15 * 4, -(10**14)])
def test_an_event_keeps_its_time_to_the_microsecond_whenever_it_was(
    log: ScriptedLog, open_reader: Callable[..., LogReader], time_us: int
) -> None:
    log.append(log.claim(), "alice", ALICE[:1], time=time_us)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    assert [each.time for each in read_all(reader)[0]] == [time_us]


def test_the_event_at_an_offset_is_read_again_and_only_an_event_has_an_id(
    log: ScriptedLog, open_reader: Callable[..., LogReader]
) -> None:
    writer = log.claim()
    offsets = log.append(writer, "alice", ALICE)
    foreign = log.put(b"alice", b"a stranger's")
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    recorded, _ = read_all(reader)
    for _ in range(2):
        assert [reader.event_id_at(TOPIC, 0, offset) for offset in offsets] == [
            each.id for each in recorded
        ]
    assert reader.event_id_at(TOPIC, 0, 0) is None
    assert reader.event_id_at(TOPIC, 0, foreign) is None
    assert reader.event_id_at(TOPIC, 0, 1000) is None


def test_a_strangers_open_transaction_does_not_hold_the_reader_up(
    log: ScriptedLog, open_reader: Callable[..., LogReader], kafka: str
) -> None:
    writer = log.claim()
    quiet = logging.getLogger("stranger")
    stranger = Producer({"bootstrap.servers": kafka, "transactional.id": "stranger"}, logger=quiet)
    stranger.init_transactions(30)
    stranger.begin_transaction()
    stranger.produce(TOPIC, b"a stranger's", b"alice", partition=0)
    stranger.flush(30)
    log.append(writer, "alice", ALICE)
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    recorded, position = read_all(reader)
    assert [each.event for each in recorded] == ALICE
    assert position.next_offset == 5

    stranger.commit_transaction(30)  # leaves a mark at the end, which is no record
    deadline = time.monotonic() + 60
    while (end := reader.ends(TOPIC)[0]) < 6:
        assert time.monotonic() < deadline
    while position.next_offset < end and time.monotonic() < deadline:
        for batch in reader.read(events=100, timeout=0.2):
            assert batch.recorded == []
            position = batch.position
    assert position == LogPosition(end, 1, writer.id, 4)


def test_a_log_whose_beginning_was_deleted_is_not_taken_for_a_whole_one(
    log: ScriptedLog, open_reader: Callable[..., LogReader], kafka: str
) -> None:
    log.append(log.claim(), "alice", ALICE)
    admin: Any = AdminClient({"bootstrap.servers": kafka})
    (deleted,) = admin.delete_records([TopicPartition(TOPIC, 0, 2)]).values()
    deleted.result()
    reader = open_reader()
    reader.assign({(TOPIC, 0): LOG_START})
    with pytest.raises(OffsetGone, match=r"accounts\[0\] to hold offset 0"):
        read_into([], reader)
