"""The reader's rule, against a plain specification of it, on random logs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.kafka.header import LAYOUT, Header, Kind
from eventstore.kafka.rule import Dead, ReaderRule
from eventstore.log import LOG_START, SEALED, LogPosition

ALICE, BOB, CAROL = b"alice---", b"bob-----", b"carol---"
FIRST, SECOND = b"first append    ", b"second append   "

Log: TypeAlias = Sequence[Header | None]
"""Headers by offset; None: a foreign record."""
Valid: TypeAlias = list[list[int]]
"""Appends, as the offsets of their events."""


def claim(epoch: int, writer: bytes) -> Header:
    return Header(LAYOUT, Kind.CLAIM, 0, 12, epoch, 0, 0, 0, -1, writer, bytes(16), bytes(8))


def seal(epoch: int, writer: bytes, sequence: int) -> Header:
    return claim(epoch, writer)._replace(kind=Kind.SEAL, count=0, sequence=sequence)


def event(  # noqa: PLR0917 - as they stand in a header
    epoch: int, writer: bytes, sequence: int, index: int = 0, count: int = 1, append: bytes = FIRST
) -> Header:
    return Header(
        LAYOUT, Kind.EVENT, index, count, epoch, sequence, 1, 0, -1, writer, append, bytes(8)
    )


def read(rule: ReaderRule[int], log: Log, begin: int = 0) -> Valid:
    """What the rule makes of the log from ``begin`` on."""
    valid: Valid = []
    for offset, header in enumerate(log[begin:], begin):
        if header is None:
            rule.foreign(offset)
        elif append := rule.read(offset, header, offset):
            valid.append(list(append))
    return valid


# The specification, written for the whole log at once: terms, then live events, then appends.


class Term(NamedTuple):
    """An accepted claim and what stands between it and the next, or the seal."""

    epoch: int
    writer: bytes
    begin: int
    end: int


def terms(log: Log) -> Iterator[Term]:
    epoch, writer, begin = 0, b"", 0
    for offset, header in enumerate(log):
        if header is None:
            continue
        if header.kind == Kind.CLAIM and header.epoch == epoch + 1:
            yield Term(epoch, writer, begin, offset)
            epoch, writer, begin = header.epoch, header.writer, offset + 1
        if header.kind == Kind.SEAL:
            term = Term(epoch, writer, begin, offset)
            due = (epoch, writer, len(live(log, term)) + 1)
            if (header.epoch, header.writer, header.sequence) == due:
                yield term
                return
    yield Term(epoch, writer, begin, len(log))


def live(log: Log, term: Term) -> list[int]:
    found: list[int] = []
    for offset in range(term.begin, term.end):
        header = log[offset]
        if header is not None and header.kind == Kind.EVENT and term.epoch > 0:
            given = (header.epoch, header.writer, header.sequence)
            if given == (term.epoch, term.writer, len(found) + 1):
                found.append(offset)
    return found


def specified(log: Log) -> Valid:
    valid: Valid = []
    for term in terms(log):
        offsets = live(log, term)
        for at, offset in enumerate(offsets):
            first = log[offset]
            assert first is not None
            run = offsets[at : at + first.count]
            same = [
                first._replace(index=index, sequence=first.sequence + index)
                for index in range(first.count)
            ]
            if first.index == 0 and run and [log[each] for each in run] == same:
                valid.append(run)
    return valid


@st.composite
def logs(draw: st.DrawFn) -> list[Header | None]:
    """Logs of writers that claim, append and are overtaken, with faults of every kind."""
    log: list[Header | None] = []
    writers: list[list[Header]] = []  # what each writer would still send, first to last
    epoch = 0
    for action in ["claim", *draw(st.lists(ACTIONS, min_size=8, max_size=30))]:
        match action:
            case "claim":
                writer = draw(st.sampled_from([ALICE, BOB, CAROL]))
                epoch += draw(st.sampled_from([1, 1, 1, 0, 2])) if log else 1
                log.append(claim(epoch, writer))
                writers.append(draw(planned(epoch, writer)))
            case "burst":
                left = writers[draw(st.sampled_from([-1, -1, 0, len(writers) // 2]))]
                size = draw(st.integers(1, 4))
                log += left[:size]
                del left[:size]
            case "lost":
                del writers[-1][:1]
            case "fault":
                log.append(draw(faulty(log)))
            case _:
                log.append(None)
    return log


ACTIONS = st.sampled_from(["claim", "burst", "burst", "burst", "lost", "fault", "foreign"])


@st.composite
def planned(draw: st.DrawFn, epoch: int, writer: bytes) -> list[Header]:
    """What one writer means to send after its claim: appends, perhaps a seal."""
    records: list[Header] = []
    for number, count in enumerate(draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))):
        append = writer + bytes([number]) * 8
        for index in range(count):
            records.append(event(epoch, writer, len(records) + 1, index, count, append))
    if draw(st.sampled_from([False, False, True])):
        records.append(seal(epoch, writer, len(records) + 1))
    return records


@st.composite
def faulty(draw: st.DrawFn, log: Sequence[Header | None]) -> Header | None:
    """A record seen before, as it was or changed in one field."""
    header = draw(st.sampled_from(log))
    if header is None or draw(st.booleans()):
        return header
    name = draw(st.sampled_from(["kind", "epoch", "sequence", "index", "count"]))
    if name == "kind":
        return header._replace(kind=draw(st.sampled_from(list(Kind))))
    step = draw(st.sampled_from([-1, 1]))
    return header._replace(**{name: max(0, getattr(header, name) + step)})


@settings(max_examples=300)
@given(logs())
def test_the_rule_is_what_the_specification_says(log: Log) -> None:
    assert read(ReaderRule(), log) == specified(log)


@given(logs())
def test_what_is_valid_in_a_prefix_stays_valid(log: Log) -> None:
    whole = read(ReaderRule(), log)
    for end in range(len(log)):
        prefix = read(ReaderRule(), log[:end])
        assert prefix == whole[: len(prefix)]


@given(logs(), st.lists(st.integers(0, 40), max_size=4))
def test_a_reader_that_stops_and_goes_on_from_its_position_reads_the_same_events(
    log: Log, stops: list[int]
) -> None:
    valid: Valid = []
    position = LOG_START
    for stop in [*sorted(stops), len(log)]:
        rule: ReaderRule[int] = ReaderRule(position)
        assert rule.position == position
        valid += read(rule, log[:stop], position.next_offset)
        position = rule.position
    assert valid == read(ReaderRule(), log)


@given(logs())
def test_every_record_is_valid_or_dead_or_still_being_collected(log: Log) -> None:
    rule: ReaderRule[int] = ReaderRule()
    valid = sum(map(len, read(rule, log)))
    accepted = rule.position.epoch + rule.sealed
    assert valid + accepted + sum(rule.dead.values()) + rule.collecting == len(log)


def test_an_append_becomes_valid_as_a_whole_at_its_last_event() -> None:
    rule: ReaderRule[int] = ReaderRule()
    assert not rule.read(0, claim(1, ALICE), 0)
    assert not rule.read(1, event(1, ALICE, 1, 0, 3), 1)
    assert not rule.read(2, event(1, ALICE, 2, 1, 3), 2)
    assert rule.position == LogPosition(1, 1, ALICE, 1)
    assert rule.read(3, event(1, ALICE, 3, 2, 3), 3) == [1, 2, 3]
    assert rule.position == LogPosition(4, 1, ALICE, 4)


def test_a_claim_kills_the_append_being_collected_and_the_writer_before() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [
        claim(1, ALICE),
        event(1, ALICE, 1, 0, 2),
        claim(2, BOB),
        event(1, ALICE, 2, 1, 2),
        event(2, BOB, 1),
    ]
    assert read(rule, log) == [[4]]
    assert rule.dead == {Dead.INCOMPLETE: 1, Dead.STALE_WRITER: 1}


def test_of_two_claims_of_one_epoch_the_first_wins() -> None:
    rule: ReaderRule[int] = ReaderRule()
    assert read(rule, [claim(1, ALICE), claim(1, BOB), event(1, BOB, 1), event(1, ALICE, 1)]) == [
        [3]
    ]
    assert rule.dead == {Dead.STALE_CLAIM: 1, Dead.STALE_WRITER: 1}


def test_a_foreign_record_leaves_the_append_being_collected_alone() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [claim(1, ALICE), event(1, ALICE, 1, 0, 2), None, event(1, ALICE, 2, 1, 2)]
    assert read(rule, log) == [[1, 3]]
    assert rule.dead == {Dead.FOREIGN: 1}


def test_an_event_sent_twice_counts_once() -> None:
    rule: ReaderRule[int] = ReaderRule()
    assert read(rule, [claim(1, ALICE), event(1, ALICE, 1), event(1, ALICE, 1)]) == [[1]]
    assert rule.dead == {Dead.OUT_OF_SEQUENCE: 1}


def test_nothing_after_a_lost_event_is_live_until_the_next_claim() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [claim(1, ALICE), event(1, ALICE, 2), event(1, ALICE, 3), claim(2, BOB), event(2, BOB, 1)]
    assert read(rule, log) == [[4]]


def test_a_live_event_with_a_wrong_index_drops_its_append_and_the_sequence_goes_on() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [
        claim(1, ALICE),
        event(1, ALICE, 1, 0, 3),
        event(1, ALICE, 2, 2, 3),
        event(1, ALICE, 3, append=SECOND),
    ]
    assert read(rule, log) == [[3]]
    assert rule.dead == {Dead.BROKEN: 2}


def test_an_append_begun_anew_drops_the_one_that_was_not_finished() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [
        claim(1, ALICE),
        event(1, ALICE, 1, 0, 2),
        event(1, ALICE, 2, 0, 2, SECOND),
        event(1, ALICE, 3, 1, 2, SECOND),
    ]
    assert read(rule, log) == [[2, 3]]
    assert rule.dead == {Dead.BROKEN: 1}


def test_two_appends_are_never_mixed_into_one() -> None:
    rule: ReaderRule[int] = ReaderRule()
    log = [claim(1, ALICE), event(1, ALICE, 1, 0, 2, FIRST), event(1, ALICE, 2, 1, 2, SECOND)]
    assert read(rule, log) == []
    assert rule.dead == {Dead.BROKEN: 2}


def test_nothing_is_live_before_the_first_claim() -> None:
    assert read(ReaderRule(), [event(0, bytes(8), 1), event(0, bytes(8), 2)]) == []


def test_nothing_after_a_seal_is_live_not_even_for_a_reader_that_starts_there() -> None:
    log = [claim(1, ALICE), event(1, ALICE, 1), seal(1, ALICE, 2), claim(2, BOB), event(2, BOB, 1)]
    rule: ReaderRule[int] = ReaderRule()
    assert read(rule, log[:3]) == [[1]]
    assert rule.position == LogPosition(3, 1, ALICE, SEALED)
    again: ReaderRule[int] = ReaderRule(rule.position)
    assert read(again, log, 3) == []
    assert again.sealed
    assert again.dead == {Dead.SEALED: 2}


def test_a_seal_by_another_writer_is_dead() -> None:
    rule: ReaderRule[int] = ReaderRule()
    assert read(rule, [claim(1, ALICE), seal(1, BOB, 1), event(1, ALICE, 1)]) == [[2]]
    assert rule.dead == {Dead.STALE_SEAL: 1}


def test_the_end_of_a_partition_moves_the_position_but_not_into_an_append() -> None:
    rule: ReaderRule[int] = ReaderRule()
    rule.read(0, claim(1, ALICE), 0)
    rule.skip_to(2)
    assert rule.position == LogPosition(2, 1, ALICE, 1)
    rule.read(2, event(1, ALICE, 1, 0, 2), 2)
    rule.skip_to(5)
    assert rule.position == LogPosition(2, 1, ALICE, 1)
    assert rule.read(5, event(1, ALICE, 2, 1, 2), 5) == [2, 5]


def test_a_seal_kills_the_append_being_collected() -> None:
    rule: ReaderRule[int] = ReaderRule()
    assert read(rule, [claim(1, ALICE), event(1, ALICE, 1, 0, 2), seal(1, ALICE, 2)]) == []
    assert rule.dead == {Dead.INCOMPLETE: 1}
    assert rule.position == LogPosition(3, 1, ALICE, SEALED)
