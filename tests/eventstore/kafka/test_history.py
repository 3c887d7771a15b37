"""One stream read backwards along its events, on a real broker."""

import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest

from eventstore import Head
from eventstore.errors import BrokenChain, UndecodableEvent
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.history import AROUND, StreamReader
from tests.bank import AccountOpened, MoneyDeposited
from tests.scripted_log import BANK, ScriptedLog

ALICE = [AccountOpened(owner="Alice"), MoneyDeposited(amount=1), MoneyDeposited(amount=2)]


@pytest.fixture
def log(kafka: str) -> ScriptedLog:
    return ScriptedLog(kafka, "accounts")


@pytest.fixture
def streams(log: ScriptedLog) -> Iterator[StreamReader]:
    reader = StreamReader(log.settings, Decoder(BANK, log.registry))
    yield reader
    reader.close()


def head(version: int, first: int, last: int) -> Head:
    return Head(version, uuid4(), first, last)


def amounts(log: ScriptedLog, streams: StreamReader, at: Head, *, after: int = 0) -> list[int]:
    found = list(streams.read("accounts", 0, "alice", at, after=after))
    assert [each.version for each in found] == list(range(after + 1, at.version + 1))
    assert {each.stream for each in found} <= {"alice"}
    return [each.event.amount for each in found if isinstance(each.event, MoneyDeposited)]


@pytest.mark.parametrize("known", ["first and last offset", "last offset"])
@pytest.mark.parametrize("between", [0, 3, 2 * AROUND])
def test_a_stream_is_read_in_order_whatever_stands_between_its_events(
    log: ScriptedLog, streams: StreamReader, between: int, known: str
) -> None:
    writer = log.claim()
    offsets = log.append(writer, "alice", ALICE)
    for amount in (3, 4):
        if between:
            log.append(writer, "bob", [MoneyDeposited(amount=99)] * between)
        offsets += log.append(writer, "alice", [MoneyDeposited(amount=amount)])
    first = offsets[0] if "first" in known else -1
    assert amounts(log, streams, head(5, first, offsets[-1])) == [1, 2, 3, 4]
    assert amounts(log, streams, head(5, first, offsets[-1]), after=3) == [3, 4]
    assert amounts(log, streams, head(3, first, offsets[2])) == [1, 2]
    assert amounts(log, streams, head(3, first, offsets[2]), after=3) == []


def test_an_event_that_cannot_be_decoded_hides_none_before_it(
    log: ScriptedLog, streams: StreamReader
) -> None:
    writer = log.claim()
    offsets = log.append(writer, "alice", ALICE)
    offsets += log.append(writer, "alice", [MoneyDeposited(amount=3)], body=b"another body")
    found = streams.read("accounts", 0, "alice", head(4, offsets[0], offsets[-1]))
    assert [next(found).version for _ in ALICE] == [1, 2, 3]
    with pytest.raises(UndecodableEvent):
        next(found)


def test_what_a_zombie_wrote_to_the_stream_is_not_part_of_it(
    log: ScriptedLog, streams: StreamReader
) -> None:
    zombie = log.claim(1)
    offsets = log.append(zombie, "alice", ALICE)
    writer = log.claim(2)
    log.append(zombie, "alice", [MoneyDeposited(amount=99)], only=1)
    offsets += log.append(writer, "alice", [MoneyDeposited(amount=3)])
    assert amounts(log, streams, head(4, offsets[0], offsets[-1])) == [1, 2, 3]


def test_a_zombie_in_the_place_of_an_event_that_was_in_flight_is_not_part_of_the_stream(
    log: ScriptedLog, streams: StreamReader
) -> None:
    zombie = log.claim(1)
    offsets = log.append(zombie, "alice", ALICE)
    writer = log.claim(2)
    (place,) = log.append(zombie, "alice", [MoneyDeposited(amount=99)] * 2, only=1)
    offsets += log.append(writer, "alice", [MoneyDeposited(amount=3)])
    log.chain_to("alice", place)  # where the writer believes that its event stands
    offsets += log.append(writer, "alice", [MoneyDeposited(amount=4)])
    assert amounts(log, streams, head(5, offsets[0], offsets[-1])) == [1, 2, 3, 4]


def test_a_head_that_the_log_contradicts_is_refused(
    log: ScriptedLog, streams: StreamReader
) -> None:
    writer = log.claim()
    offsets = log.append(writer, "alice", ALICE)
    (bob,) = log.append(writer, "bob", ALICE[:1])
    stranger = log.put(b"alice", b"a stranger's")
    with pytest.raises(BrokenChain, match=r"version 4 of 'alice' at accounts\[0\]@3; found v"):
        streams.read("accounts", 0, "alice", head(4, offsets[0], offsets[-1]))
    for wrong in (0, bob, stranger, 1000):
        with pytest.raises(BrokenChain):
            streams.read("accounts", 0, "alice", head(3, offsets[0], wrong))


def test_several_threads_read_at_once(log: ScriptedLog, streams: StreamReader) -> None:
    writer = log.claim()
    offsets = log.append(writer, "alice", ALICE)
    log.append(writer, "bob", [MoneyDeposited(amount=99)] * 100)
    offsets += log.append(writer, "alice", [MoneyDeposited(amount=3)])
    found: list[list[int]] = []

    def read(first: int) -> None:
        found.extend(amounts(log, streams, head(4, first, offsets[-1])) for _ in range(10))

    threads = [threading.Thread(target=read, args=(first,)) for first in (offsets[0], -1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[1, 2, 3]] * 30
