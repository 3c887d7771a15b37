"""What a partition's log must say before its heads are trusted, on a log in memory."""

import logging

import pytest

from eventstore.errors import CheckpointFenced, PartitionsChanged
from eventstore.kafka.header import LAYOUT, Header, Kind
from eventstore.kafka.heads import Heads
from eventstore.kafka.records import claim_header
from eventstore.log import LogPosition
from tests.bank_store import deposit
from tests.writer_model import KEY, Database, Log, MemoryRestorer, Process

WRITERS = (b"writer-1", b"writer-2")


def event(version: int, count: int = 1) -> Header:
    writer, append = WRITERS[0], version.to_bytes(16, "big")
    return Header(
        LAYOUT, Kind.EVENT, count - 1, count, 1, version, version, 0, -1, writer, append, bytes(8)
    )


def claimed(log: Log, epoch: int, partitions: int) -> LogPosition:
    """Where a reader stands after this claim."""
    writer = WRITERS[epoch - 1]
    raw = claim_header(epoch=epoch, writer=writer, partitions=partitions)
    return LogPosition(log.add(b"", raw).at + 1, epoch, writer, 1)


def written() -> Process:
    """A partition with three streams, stored up to its end."""
    process = Process(Log(), Database(), limit=100)
    for stream in ("a", "b", "c"):
        process.submit(deposit(stream))
    process.drain()
    return process


def checkpoint(process: Process) -> None:
    process.checkpoint()
    process.store()
    process.serve()


# The streams' versions


def test_an_event_that_is_not_its_streams_next_raises_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heads = Heads()
    heads.note_append([(1, b"a", event(1))])
    heads.note_append([(2, b"a", event(4, count=2))])
    assert [(each.name, each.levelno) for each in caplog.records] == [
        ("eventstore.kafka", logging.ERROR)
    ]
    assert "version 2 of stream 'a'" in caplog.text
    assert "version 3" in caplog.text
    assert "offset 2" in caplog.text
    assert heads.tips["a"][0] == 4


def test_a_stream_that_does_not_begin_with_version_1_raises_an_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Heads().note_append([(1, b"a", event(2))])
    assert "version 1 of stream 'a'" in caplog.text


def test_events_in_order_raise_no_alarm_nor_do_streams_that_are_not_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, above = Heads(), Heads(checkpoint=1)
    for version in (1, 2, 3):
        whole.note_append([(version, b"a", event(version))])
    above.note_append([(7, b"a", event(5))])
    above.note_append([(8, b"a", event(6))])
    assert not caplog.records


def test_a_head_that_was_looked_up_further_on_raises_no_alarm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    further, heads = Heads(checkpoint=1), Heads(checkpoint=1)
    further.note_append([(8, b"a", event(6))])
    heads.keep("a", bytes(16), further.tip("a"), None)
    heads.note_append([(7, b"a", event(5))])
    assert not caplog.records


# The checkpoint


def test_a_crowded_partition_is_begun_again_only_when_its_checkpoint_has_moved() -> None:
    process = written()
    log, database = process.transport.client.log, Database()
    restorer = MemoryRestorer(log, database)
    restored = restorer.read_on(KEY, None, cached=100)
    restored.heads.limit = 1
    assert restored.heads.crowded
    assert restorer.read_on(KEY, restored, cached=100) is restored
    checkpoint(process)
    database.put_back(process.database)
    again = restorer.read_on(KEY, restored, cached=100)
    assert again is not restored
    assert again.heads.checkpoint == database.position.next_offset == len(log.records)


def test_a_checkpoint_beyond_our_claim_says_where_it_stands() -> None:
    log, database = Log(), Database()
    restorer = MemoryRestorer(log, database)
    restored = restorer.read_on(KEY, None, cached=100)
    claim = claimed(log, 1, partitions=1)
    database.position = LogPosition(9, 1, WRITERS[0], 4)
    with pytest.raises(CheckpointFenced, match="at offset 1 or before; found offset 9"):
        restorer.confirm(KEY, restored, claim, partitions=1)


def test_a_checkpoint_of_a_later_epoch_says_which() -> None:
    log, database = Log(), Database()
    restorer = MemoryRestorer(log, database)
    restored = restorer.read_on(KEY, None, cached=100)
    claim = claimed(log, 1, partitions=1)
    database.position = LogPosition(9, 2, WRITERS[1], 4)
    with pytest.raises(CheckpointFenced, match="of epoch 1 or before; found epoch 2"):
        restorer.confirm(KEY, restored, claim, partitions=1)


# The number of partitions


def test_a_claim_of_another_number_of_partitions_stops_the_writer() -> None:
    log = Log()
    claimed(log, 1, partitions=3)
    restorer = MemoryRestorer(log, Database())
    restored = restorer.read_on(KEY, None, cached=100)
    claim = claimed(log, 2, partitions=4)
    with pytest.raises(PartitionsChanged, match="with 3 partitions; found 4"):
        restorer.confirm(KEY, restored, claim, partitions=4)


def test_a_dead_claim_says_nothing_about_the_partitions() -> None:
    log = Log()
    claimed(log, 2, partitions=3)
    restorer = MemoryRestorer(log, Database())
    restored = restorer.read_on(KEY, None, cached=100)
    claim = claimed(log, 1, partitions=4)
    assert restorer.confirm(KEY, restored, claim, partitions=4) is restored
