"""The checker finds nothing wrong with a true run, and something wrong with every mutant of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.checker import CHECKS, Run, StoredHead, check
from tests.faults.history import NO_ANSWER, Operation
from tests.faults.log import LAYOUT, Header, Raw, amount_of, append_id_of, read
from tests.faults.scribe import Scribe, truthful

SEEDS = range(20)
MUTANTS: list[tuple[str, Callable[[Scribe], Run]]] = []


def run_of(scribe: Scribe) -> Run:
    return Run(scribe.operations, read(scribe.records))


def caught_by(name: str) -> Callable[[Callable[[Scribe], Any]], Callable[[Scribe], Run]]:
    """Register a mutant with the check that must find it; it changes the scribe, or gives a run."""

    def register(mutate: Callable[[Scribe], Any]) -> Callable[[Scribe], Run]:
        def mutated(scribe: Scribe) -> Run:
            changed = mutate(scribe)
            return changed if isinstance(changed, Run) else run_of(scribe)

        mutated.__name__ = mutate.__name__
        MUTANTS.append((name, mutated))
        return mutated

    return register


def test_a_true_run_has_nothing_wrong() -> None:
    for seed in SEEDS:
        scribe = truthful(seed)
        found = run_of(scribe)
        assert check(found) == []
        valid = sum(len(append) for append in found.log.appends)
        assert valid == sum(stream.version for stream in scribe.streams.values())


def test_every_mutant_of_a_history_or_a_log_is_caught() -> None:
    for seed in SEEDS:
        for name, mutate in MUTANTS:
            found = {violation.check for violation in check(mutate(truthful(seed)))}
            assert name in found, (seed, mutate.__name__, found)


def test_every_check_has_a_mutant() -> None:
    assert {name for name, _ in MUTANTS} == {each.__name__ for each in CHECKS}


@pytest.mark.parametrize("amount", [1, 63, 64, 300, 2**31, 2**47])
def test_an_amount_is_read_from_the_avro_body_as_it_was_written(amount: int) -> None:
    scribe = Scribe(1)
    scribe.draw.randrange = lambda *_bounds: amount  # type: ignore[method-assign]
    scribe.append("w1.1", "a", 1)
    assert amount_of(read(scribe.records).appends[0][0]) == amount


def picked(scribe: Scribe, kind: str, **told: Any) -> int:
    """Which of the operations, one of this kind that was told so."""
    wanted = [
        number
        for number, each in enumerate(scribe.operations)
        if each.kind == kind
        and (each.told is not None or told.get("error") == "killed")
        and all((each.told or {}).get(name) == value for name, value in told.items())
    ]
    return scribe.draw.choice(wanted)


def retell(scribe: Scribe, number: int, **told: Any) -> None:
    each = scribe.operations[number]
    scribe.operations[number] = dataclasses.replace(each, told={**(each.told or {}), **told})


def reask(scribe: Scribe, number: int, **asked: Any) -> None:
    each = scribe.operations[number]
    scribe.operations[number] = dataclasses.replace(each, asked={**each.asked, **asked})


def rewrite(scribe: Scribe, offset: int, **fields: Any) -> None:
    """Change fields of a record's header."""
    raw = scribe.records[offset]
    header = Header(*LAYOUT.unpack(raw.headers[0][1]))._replace(**fields)
    scribe.records[offset] = raw._replace(headers=[("foldlog", LAYOUT.pack(*header))])


def offset_of_an_event(scribe: Scribe, *, least: int = 0) -> int:
    """Where an event of an append stands that has events before it in its stream."""
    events = [
        event
        for append in read(scribe.records).appends
        for event in append
        if event.header.version > least
    ]
    return scribe.draw.choice(events).offset


@caught_by("the_log_is_well_formed")
def an_append_skips_an_index(scribe: Scribe) -> None:
    first = scribe.streams["a"].appends[0][1]
    rewrite(scribe, first + 1, place=2)


@caught_by("the_log_is_well_formed")
def a_record_of_an_unknown_kind(scribe: Scribe) -> None:
    rewrite(scribe, offset_of_an_event(scribe), kind=9)


@caught_by("nothing_is_valid_twice")
def an_append_is_applied_again(scribe: Scribe) -> None:
    stream = scribe.streams["a"]
    append_id = stream.appends[0][0]
    scribe.append("w2.1", "a", 3)
    first = stream.appends[-1][1]
    for offset in range(first, first + 3):
        rewrite(scribe, offset, append=bytes.fromhex(append_id))


@caught_by("what_is_valid_was_asked_for")
def an_append_that_nobody_asked_for(scribe: Scribe) -> None:
    scribe.append("w1.1", "a", 2)
    scribe.operations.pop()


@caught_by("what_is_valid_was_asked_for")
def other_contents(scribe: Scribe) -> None:
    offset = offset_of_an_event(scribe)
    scribe.records[offset] = scribe.records[offset]._replace(value=b"\0\0\0\0\1\2")


@caught_by("what_is_valid_was_asked_for")
def half_an_append(scribe: Scribe) -> None:
    number = picked(scribe, "append", repeated=False)
    amounts = scribe.operations[number].asked["amounts"]
    for at, each in enumerate(scribe.operations):
        if each.asked.get("append_id") == scribe.operations[number].append_id:
            reask(scribe, at, amounts=[*amounts, 77])


@caught_by("versions_are_contiguous")
def a_version_is_left_out(scribe: Scribe) -> None:
    offset = offset_of_an_event(scribe)
    header = Header(*LAYOUT.unpack(scribe.records[offset].headers[0][1]))
    rewrite(scribe, offset, version=header.version + 1)


@caught_by("events_are_chained")
def an_event_is_chained_elsewhere(scribe: Scribe) -> None:
    rewrite(scribe, offset_of_an_event(scribe, least=1), previous=0)


@caught_by("expected_versions_were_true")
def an_append_follows_another_version_than_it_expected(scribe: Scribe) -> None:
    number = picked(scribe, "append", repeated=False)
    append_id = scribe.operations[number].append_id
    for at, each in enumerate(scribe.operations):
        if each.asked.get("append_id") == append_id:
            reask(scribe, at, expected=99)


@caught_by("what_was_acknowledged_is_valid")
def an_acknowledged_append_is_lost(scribe: Scribe) -> None:
    number = picked(scribe, "append", repeated=False)
    told = scribe.operations[number].told or {}
    rewrite(scribe, told["positions"][-1][1], writer=b"somebody")


@caught_by("what_was_acknowledged_is_valid")
def an_answer_names_other_positions(scribe: Scribe) -> None:
    number = picked(scribe, "append", repeated=False)
    positions = (scribe.operations[number].told or {})["positions"]
    retell(scribe, number, positions=[[0, offset + 1] for _, offset in positions])


@caught_by("what_was_acknowledged_is_valid")
def a_repeated_append_gets_another_answer(scribe: Scribe) -> None:
    scribe.again("w2.1", "a", 0)
    retell(scribe, -1, version=99)


@caught_by("what_was_refused_is_not_valid")
def an_append_is_refused_and_valid(scribe: Scribe) -> None:
    number = picked(scribe, "append", repeated=False)
    retell(scribe, number, error="ConcurrencyError", expected=0, found=1)


@caught_by("what_was_refused_is_not_valid")
def a_command_is_refused_and_valid(scribe: Scribe) -> None:
    scribe.execute("w1.1", "a")
    retell(scribe, -1, error="ConcurrencyError", expected=0, found=1)


@caught_by("repeated_is_said_of_what_was_told_before")
def a_repeated_append_counts_as_new(scribe: Scribe) -> None:
    scribe.again("w2.1", "b", 0)
    retell(scribe, -1, repeated=False)


@caught_by("conflicts_were_true")
def a_conflict_with_a_version_that_never_was(scribe: Scribe) -> None:
    retell(scribe, picked(scribe, "append", error="ConcurrencyError"), found=999)


@caught_by("conflicts_were_true")
def a_conflict_with_what_nobody_had_asked_for_yet(scribe: Scribe) -> None:
    scribe.conflict("w1.1", "a")
    conflict = scribe.operations[-1]
    scribe.append("w1.1", "a", 1)
    found = scribe.streams["a"].version
    told = {**(conflict.told or {}), "found": found}
    scribe.operations[-2] = dataclasses.replace(conflict, told=told)


@caught_by("the_order_is_that_of_time")
def an_append_overtakes_one_that_was_told_before(scribe: Scribe) -> None:
    """The last but one is asked for after the last was told."""
    scribe.append("w1.1", "a", 1)
    scribe.append("w2.1", "a", 1)
    number = len(scribe.operations) - 2
    late = scribe.operations[number]
    scribe.operations[number] = dataclasses.replace(late, invoked=10**6, answered=10**6 + 1)


@caught_by("reads_were_true")
def a_read_leaves_an_event_out(scribe: Scribe) -> None:
    number = picked(scribe, "read")
    events = (scribe.operations[number].told or {})["events"]
    retell(scribe, number, events=events[1:])


@caught_by("reads_were_true")
def a_read_lacks_what_its_process_had_appended(scribe: Scribe) -> None:
    scribe.append("w1.1", "a", 1)
    scribe.read("w1.1", "a")
    number = len(scribe.operations) - 3
    events = (scribe.operations[number].told or {})["events"]
    retell(scribe, number, events=events[:-1])


@caught_by("heads_were_true")
def a_head_is_older_than_what_its_process_had_appended(scribe: Scribe) -> None:
    scribe.append("w1.1", "a", 1)
    scribe.read("w1.1", "a")
    retell(scribe, -2, version=scribe.streams["a"].version - 1)


@caught_by("heads_were_true")
def a_head_of_another_append(scribe: Scribe) -> None:
    retell(scribe, picked(scribe, "head"), facts=["00", 0, 0])


@caught_by("what_was_said_of_append_ids_is_true")
def an_append_id_is_not_known_to_who_was_told(scribe: Scribe) -> None:
    scribe.read("w1.1", "a")
    retell(scribe, -1, version=None)


@caught_by("what_was_said_of_append_ids_is_true")
def an_append_id_led_elsewhere(scribe: Scribe) -> None:
    retell(scribe, picked(scribe, "applied"), positions=[[0, 0]])


@caught_by("commands_decided_on_what_they_followed")
def an_update_is_lost(scribe: Scribe) -> None:
    """The command saw one version less than it followed."""
    number = picked(scribe, "execute")
    each = scribe.operations[number]
    version, balance = (each.told or {})["seen"]
    last = scribe.streams[each.stream].events[version - 1]
    retell(scribe, number, seen=[version - 1, balance - last[3]])


@caught_by("commands_decided_on_what_they_followed")
def a_command_sees_a_wrong_balance(scribe: Scribe) -> None:
    number = picked(scribe, "execute")
    version, balance = (scribe.operations[number].told or {})["seen"]
    retell(scribe, number, seen=[version, balance + 1])


@caught_by("everything_is_known_in_the_end")
def an_outcome_stays_unknown(scribe: Scribe) -> None:
    scribe.append("w1.1", "a", 1, unknown=True)


@caught_by("every_question_was_answered")
def somebody_waits_in_vain(scribe: Scribe) -> None:
    scribe.operation("w1.1", "head", "a", {"error": NO_ANSWER})


@caught_by("checkpoints_hold_what_the_log_says")
def a_checkpoint_holds_an_old_head(scribe: Scribe) -> Run:
    found = run_of(scribe)
    events = found.streams["a"]
    stored = StoredHead(0, "a", 1, append_id_of(events[0]), events[0].offset, events[0].offset)
    return dataclasses.replace(found, stored=[stored], checkpoints={0: len(scribe.records)})


def test_a_head_below_its_checkpoint_is_right() -> None:
    found = run_of(truthful(1))
    first = found.log.appends[0]
    stored = StoredHead(0, "a", 3, append_id_of(first[0]), first[0].offset, first[-1].offset)
    checkpoint = first[-1].offset + 1
    assert check(dataclasses.replace(found, stored=[stored], checkpoints={0: checkpoint})) == []


def test_an_operation_that_was_killed_is_neither_success_nor_refusal() -> None:
    scribe = truthful(1)
    scribe.append("w1.1", "a", 1, unknown=True)
    killed: Operation = scribe.operations[-1]
    assert killed.outcome == "killed"
    assert not killed.succeeded
    scribe.again("w2.1", "a", -1)
    assert check(run_of(scribe)) == []


def test_a_record_that_comes_twice_in_a_dump_is_noticed() -> None:
    scribe = truthful(1)
    again: list[Raw] = [*scribe.records, scribe.records[0]]
    assert read(again).faults
