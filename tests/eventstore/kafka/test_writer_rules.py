"""Each rule of the writer by an example in memory, with the one step that it is there for."""

import struct
from collections.abc import Sequence
from dataclasses import replace

from confluent_kafka import KafkaError

from eventstore.errors import (
    AppendIdReused,
    ConcurrencyError,
    DeliveryFailed,
    StoreClosed,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka.requests import AppendRequest
from eventstore.store import NO_STREAM, Append, Appended
from tests.bank_store import deposit
from tests.writer_model import Database, Fate, Log, Process


def answered(process: Process, append: Append) -> Appended:
    request = process.submit(append)
    process.drain()
    return request.future.result(0)


def checkpointed(process: Process) -> None:
    process.checkpoint()
    process.store()
    process.serve()


def serving(process: Process, *appends: Append) -> list[AppendRequest]:
    """Claimed, and these sent but not delivered."""
    requests = [process.submit(append) for append in appends]
    process.claim()
    process.deliver(1)
    process.look_up()
    process.serve()
    return requests


def timed_out(process: Process, fates: Sequence[Fate]) -> None:
    process.break_producer(KafkaError._MSG_TIMED_OUT, fates)


# Deciding


def test_an_append_below_what_is_in_flight_waits_for_it() -> None:
    process = Process(Log(), Database(), limit=100)
    first, second = serving(process, deposit("a", NO_STREAM), deposit("a", NO_STREAM))
    assert not second.future.done()
    process.drain()
    assert first.future.result(0).version == 1
    assert isinstance(second.future.exception(0), ConcurrencyError)


def test_an_append_is_not_refused_by_what_never_came_to_be() -> None:
    process = Process(Log(), Database(), limit=100)
    first, second = serving(process, deposit("a", NO_STREAM), deposit("a", NO_STREAM))
    process.break_producer(KafkaError.MSG_SIZE_TOO_LARGE, [Fate.LOST])
    process.claim()
    process.deliver(1)
    process.serve()
    process.break_producer(KafkaError.MSG_SIZE_TOO_LARGE, [Fate.LOST])
    process.drain()
    assert isinstance(first.future.exception(0), DeliveryFailed)
    assert second.future.result(0).version == 1


def test_an_append_above_what_is_in_flight_is_refused_at_once_and_not_for_good() -> None:
    process = Process(Log(), Database(), limit=100)
    _, ahead = serving(process, deposit("a", NO_STREAM), deposit("a", 2))
    assert isinstance(ahead.future.exception(0), VersionAhead)


def test_an_append_that_follows_one_whose_id_is_looked_up_waits_behind_it() -> None:
    process = Process(Log(), Database(), limit=1)
    for name in "ab":
        answered(process, deposit(name))
        checkpointed(process)
    asked = process.submit(deposit("b", 1))
    following = process.submit(deposit("b", 2, first_try=True))
    process.serve()
    process.drain()
    assert (asked.future.result(0).version, following.future.result(0).version) == (2, 3)


def test_an_id_in_flight_for_another_stream_is_refused_when_that_is_known() -> None:
    process = Process(Log(), Database(), limit=100)
    append = deposit("a")
    mine, other = serving(process, append, deposit("b", append_id=append.append_id))
    assert not other.future.done()
    process.drain()
    assert mine.future.result(0).version == 1
    assert isinstance(other.future.exception(0), AppendIdReused)


def test_an_append_whose_records_cannot_be_made_is_refused_alone() -> None:
    process = Process(Log(), Database(), limit=100)
    times = [0]
    changed = replace(deposit("a", 1), times=times)
    times[0] = 2**63  # the list is still its caller's
    before, broken, after = serving(process, deposit("a", NO_STREAM), changed, deposit("a", 1))
    process.drain()
    assert (before.future.result(0).version, after.future.result(0).version) == (1, 2)
    assert isinstance(broken.future.exception(0), struct.error)


# Checkpoints, and what may be forgotten


def test_a_checkpoint_ends_with_a_whole_append() -> None:
    log, database = Log(), Database()
    process = Process(log, database, limit=1)
    answered(process, deposit("a"))
    process.submit(deposit("a", amounts=[1, 1, 1]))
    process.look_up()
    process.serve()
    process.deliver(2)
    process.checkpoint()
    process.store()
    assert database.position.next_offset == 2
    process.deliver(1)
    assert answered(Process(log, database, limit=1), deposit("a", 4)).version == 5


def test_what_no_checkpoint_holds_is_not_forgotten() -> None:
    process = Process(Log(), Database(), limit=1)
    answered(process, deposit("a"))
    process.checkpoint()
    appends = [deposit(name) for name in "bcd"]
    first = [answered(process, append) for append in appends]
    process.store()
    process.serve()
    again = [answered(process, append) for append in appends]
    assert [each.positions for each in again] == [each.positions for each in first]
    assert [answered(process, deposit(name, 1)).version for name in "abcd"] == [2] * 4


def test_a_checkpoint_that_failed_is_made_good_by_the_next() -> None:
    log, database = Log(), Database()
    process = Process(log, database, limit=1)
    append = deposit("a")
    answered(process, append)
    process.checkpoint()
    process.store(stored=False)
    process.serve()
    answered(process, deposit("b"))
    checkpointed(process)
    assert set(database.heads) == {"a", "b"}
    assert answered(Process(log, database, limit=1), append).repeated


def test_a_checkpoint_that_was_stored_unheard_does_not_end_the_session() -> None:
    process = Process(Log(), Database(), limit=100)
    answered(process, deposit("a"))
    session = process.partition.session
    process.checkpoint()
    process.store(heard=False)
    process.serve()
    answered(process, deposit("b"))
    checkpointed(process)
    assert process.partition.session is session
    assert process.partition.heads.checkpoint == 3


def test_what_was_just_looked_up_is_the_last_to_be_forgotten() -> None:
    process = Process(Log(), Database(), limit=1)
    once = deposit("a")
    answered(process, once)
    checkpointed(process)
    for name in "bc":
        answered(process, deposit(name))
    assert answered(process, deposit("a", 1)).version == 2
    assert answered(process, once).repeated
    assert answered(process, deposit("b", 1)).version == 2


def test_repeating_old_appends_does_not_grow_memory() -> None:
    process = Process(Log(), Database(), limit=2)
    appends = [deposit(f"account-{number}") for number in range(50)]
    for append in appends:
        answered(process, append)
    checkpointed(process)
    assert all(answered(process, append).repeated for append in appends)
    heads = process.partition.heads
    assert (len(heads.tips), len(heads.applied)) == (2, 2)


def test_a_writer_with_a_later_epoch_fences_by_its_checkpoint() -> None:
    log, database = Log(), Database()
    first, second = (Process(log, database, limit=1) for _ in range(2))
    answered(first, deposit("b"))
    answered(first, deposit("a"))
    checkpointed(first)
    answered(second, deposit("a"))
    checkpointed(second)
    again = first.submit(deposit("b"))
    first.look_up()
    first.serve()
    assert not first.partition.serving
    assert not again.future.done()
    first.drain()
    assert again.future.result(0).version == 2


def test_a_checkpoint_that_is_fenced_ends_the_session() -> None:
    log, database = Log(), Database()
    first, second = (Process(log, database, limit=100) for _ in range(2))
    answered(first, deposit("a"))
    first.checkpoint()
    answered(second, deposit("a"))
    checkpointed(second)
    first.store()
    first.serve()
    assert not first.partition.serving
    assert database.position.epoch == 2


def test_a_database_that_went_back_between_reading_and_claim_is_read_from() -> None:
    log, database = Log(), Database()
    backup = database.copy()
    process = Process(log, database, limit=1)
    append = deposit("a")
    answered(process, append)
    checkpointed(process)
    later = Process(log, database, limit=1)
    again = later.submit(append)
    later.claim()
    database.put_back(backup)
    later.drain()
    assert again.future.result(0).repeated


def test_a_database_that_goes_back_under_a_session_ends_it() -> None:
    log, database = Log(), Database()
    process = Process(log, database, limit=1)
    appends = [deposit(name) for name in "abc"]
    answered(process, appends[0])
    checkpointed(process)
    backup = database.copy()
    for append in appends[1:]:
        answered(process, append)
    checkpointed(process)
    database.put_back(backup)
    assert all(answered(process, append).repeated for append in appends)


# Doubt


def test_an_append_id_is_found_after_its_head_was_forgotten() -> None:
    log, database = Log(), Database()
    process = Process(log, database, limit=1)
    first, *others = [deposit(name) for name in "abcd"]
    for append in (first, *others):
        answered(process, append)
        checkpointed(process)
    assert len(process.partition.heads.tips) == 1
    again = answered(process, first)
    assert (again.repeated, again.positions[0].offset) == (True, 1)


def test_an_append_that_was_in_doubt_is_looked_up_when_a_checkpoint_hides_it() -> None:
    log, database = Log(), Database()
    first, second = (Process(log, database, limit=1) for _ in range(2))
    doubted = first.submit(deposit("a", first_try=True))
    first.claim()
    first.deliver(1)
    first.serve()
    first.break_producer(KafkaError._MSG_TIMED_OUT, [Fate.LANDS])
    for name in "bc":
        second.submit(deposit(name))
        second.drain()
        second.checkpoint()
        second.store()
        second.serve()
    assert not doubted.future.done()
    first.drain()
    answer = doubted.future.result(0)
    assert (answer.version, answer.positions[0].offset, answer.repeated) == (1, 1, False)
    assert sum(append[0][1] == "a" for append in log.appends()) == 1


def test_who_shares_an_append_in_doubt_gets_its_answer_too() -> None:
    log = Log()
    process = Process(log, Database(), limit=100)
    append = deposit("a")
    first, same = process.submit(append), process.submit(append)
    process.claim()
    process.deliver(1)
    process.serve()
    process.break_producer(KafkaError._MSG_TIMED_OUT, [Fate.LANDS])
    process.drain()
    assert first.future.result(0).positions == same.future.result(0).positions
    assert first.future.result(0).repeated  # whose it is, is not known: the log has just its id
    assert same.future.result(0).repeated


def test_an_append_in_doubt_whose_id_is_its_calls_own_is_not_told_of_as_repeated() -> None:
    process = Process(Log(), Database(), limit=100)
    request = process.submit(deposit("a", first_try=True))
    process.claim()
    process.deliver(1)
    process.serve()
    process.break_producer(KafkaError._MSG_TIMED_OUT, [Fate.LANDS])
    process.drain()
    assert not request.future.result(0).repeated


def test_an_append_that_the_broker_refuses_twice_is_refused_and_harms_no_other() -> None:
    process = Process(Log(), Database(), limit=100)
    refused, other = process.submit(deposit("a")), process.submit(deposit("b"))
    for _ in range(2):
        process.claim()
        process.deliver(1)
        process.serve()
        process.break_producer(KafkaError.MSG_SIZE_TOO_LARGE, [Fate.LOST])
    process.drain()
    assert isinstance(refused.future.exception(0), DeliveryFailed)
    assert other.future.result(0).version == 1


def test_what_closing_leaves_in_doubt_is_not_called_refused() -> None:
    process = Process(Log(), Database(), limit=100)
    doubted, late = process.submit(deposit("a")), None
    process.claim()
    process.deliver(1)
    process.serve()
    process.break_producer(KafkaError._MSG_TIMED_OUT, [Fate.LANDS])
    late = process.submit(deposit("b"))
    process.partition.refuse_everything(StoreClosed("closed"))
    assert isinstance(doubted.future.exception(0), UnknownOutcome)
    assert isinstance(late.future.exception(0), StoreClosed)


def test_a_late_checkpoint_of_an_earlier_session_does_not_fence_the_next() -> None:
    log, database = Log(), Database()
    process = Process(log, database, limit=100)
    process.submit(deposit("a"))
    process.drain()
    process.checkpoint()
    process.submit(deposit("a"))
    process.serve()
    process.break_producer(KafkaError._MSG_TIMED_OUT, [Fate.LOST])
    process.claim()
    process.deliver(1)
    process.store()
    process.drain()
    session = process.partition.session
    process.checkpoint()
    process.store()
    process.serve()
    assert process.partition.session is session
    assert process.partition.serving
    assert database.position.epoch == 2
