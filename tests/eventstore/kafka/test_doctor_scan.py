"""What the doctor counts in a partition, record by record, from wherever it begins."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from confluent_kafka import Message

from eventstore.kafka.doctor._scan import KEY_SHOWN, STRANGERS, PartitionScan, SchemasScan, shown
from eventstore.kafka.doctor.facts import Claim, LogFacts, Rivalry
from eventstore.kafka.header import HEADER, Header, Kind, pack
from eventstore.kafka.records import BY
from eventstore.kafka.rule import Dead
from eventstore.log import LogPosition
from tests.bank import MoneyDeposited

MINE, OTHER = os.urandom(8), os.urandom(8)
CLAIM = Claim(40, 4, "host:17", datetime(2026, 3, 2, tzinfo=UTC))


def a_message(
    offset: int, headers: Sequence[tuple[str, bytes]] = (), *, key: bytes = b"", at: int = 1
) -> Message:
    found: list[tuple[str, str | bytes | None]] = [*headers]
    return Message("accounts", 0, offset, key, b"", found, None, (1, at))


def record(
    offset: int,
    kind: Kind = Kind.EVENT,
    *,
    epoch: int = 4,
    writer: bytes = MINE,
    sequence: int = 0,
    place: tuple[int, int] = (0, 1),
    append: bytes = b"",
    seconds: int = 0,
) -> Message:
    index, count = place
    header = Header(
        1,
        kind,
        index,
        count,
        epoch,
        sequence,
        1,
        seconds * 1_000_000,
        -1,
        writer,
        append or uuid4().bytes,
        b"8 bytes!",
    )
    return a_message(offset, [(HEADER, pack(header)), (BY, b"host:17")])


class Asked:
    """Where claims were looked for, and the one that is found at offset 40."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    def __call__(self, offset: int, epoch: int, writer: bytes) -> Claim | None:
        self.offsets.append(offset)
        return CLAIM if (offset, epoch, writer) == (40, 4, MINE) else None


def read(
    messages: Sequence[Message],
    *,
    first: int,
    known: LogPosition | None = None,
    asked: Asked | None = None,
) -> LogFacts:
    scan = PartitionScan(
        "accounts", 0, start=0, first=first, end=1_000, known=known, prove=asked or Asked()
    )
    for message in messages:
        scan.take(message)
    return scan.facts()


def test_a_scan_from_the_start_knows_its_state_and_asks_for_nothing() -> None:
    asked = Asked()
    facts = read(
        [record(0, Kind.CLAIM, epoch=1), record(1, epoch=1, sequence=1)], first=0, asked=asked
    )
    assert (facts.ruled_from, facts.events, asked.offsets) == (0, 1, [])
    assert facts.claim is not None
    assert (facts.claim.offset, facts.claim.by) == (0, "host:17")


def test_an_event_that_proves_itself_begins_the_rule_in_the_middle_of_a_log() -> None:
    asked = Asked()
    messages = [
        record(50, writer=OTHER, sequence=3),  # a zombie: no claim of its stands at 47
        record(51, sequence=11, place=(1, 2)),  # not the first of its append
        record(52, sequence=12),
        record(53, writer=OTHER, sequence=4),
        record(54, sequence=13),
    ]
    facts = read(messages, first=50, asked=asked)
    assert asked.offsets == [47, 40]
    assert (facts.ruled_from, facts.events, facts.dead) == (52, 2, {Dead.STALE_WRITER: 1})
    assert facts.claim == CLAIM
    assert facts.position == LogPosition(55, 4, MINE, 14)


def test_a_checkpoint_within_what_is_read_begins_the_rule_where_no_event_proves_itself() -> None:
    known = LogPosition(52, 4, MINE, 9)  # a stranger's record has moved its events by three
    messages = [record(51, sequence=8), record(52, sequence=9), record(53, sequence=10)]
    facts = read(messages, first=51, known=known)
    assert (facts.ruled_from, facts.events) == (52, 2)
    assert read(messages, first=51).ruled_from is None


def test_strangers_are_counted_without_the_rule_and_only_the_first_are_shown() -> None:
    facts = read([a_message(60 + each, key=b"k" * 99) for each in range(9)], first=60)
    assert (facts.foreign, len(facts.strangers), facts.ruled_from) == (9, STRANGERS, None)
    assert facts.strangers[0].key == "k" * KEY_SHOWN + "…"


def test_the_age_of_strangers_is_that_of_the_youngest_if_all_say_theirs() -> None:
    now = int(time.time() * 1_000)
    old, young = a_message(60, at=1_000), a_message(61, at=now - 5_000)
    age = read([old, young, a_message(62, at=2_000)], first=60).foreign_age
    assert age is not None
    assert 5 <= age.total_seconds() < 60
    undated = Message("accounts", 0, 62, b"", b"", [], None, (0, 0))
    assert read([old, undated], first=60).foreign_age is None
    assert read([], first=60).foreign_age is None


def test_what_a_newer_release_wrote_ends_the_judgement() -> None:
    messages = [a_message(0, [(HEADER, bytes([2, 1]))]), record(1, Kind.CLAIM, epoch=1)]
    facts = read(messages, first=0)
    assert facts.unknown is not None
    assert "layout 2, kind 1" in facts.unknown
    assert (facts.position, facts.claim) == (None, None)


def test_claims_are_counted_within_any_minute() -> None:
    times = (0, 100, 110, 120, 300)
    messages = [
        record(offset, Kind.CLAIM, epoch=offset + 1, writer=bytes([offset] * 8), seconds=at)
        for offset, at in enumerate(times)
    ]
    rivalry = read(messages, first=0).rivalry
    assert rivalry == Rivalry(3, 20.0, 0, frozenset({"host:17"}))


def test_an_append_that_is_not_whole_is_found_at_the_end() -> None:
    append = uuid4().bytes
    messages = [
        record(0, Kind.CLAIM, epoch=1),
        record(1, epoch=1, sequence=1, place=(0, 3), append=append),
        record(2, epoch=1, sequence=2, place=(1, 3), append=append),
    ]
    assert read(messages, first=0).incomplete == (1, 2)


def test_records_past_the_end_as_it_was_are_left_alone() -> None:
    facts = read([record(1_000, Kind.CLAIM), a_message(1_001)], first=990)
    assert (facts.foreign, facts.claim, facts.rivalry) == (0, None, None)


def test_the_schemas_topic_is_learnt_and_what_it_ignores_is_counted() -> None:
    codec = MoneyDeposited.codec
    scan = SchemasScan(0, 2)
    for offset, (key, value) in enumerate(
        [(codec.sha256, codec.canonical), (b"a key", "not a schema"), (b"late", "")]
    ):
        scan.take(Message("foldlog.schemas", 0, offset, key, value.encode()))
    assert (scan.ignored, scan.first_ignored, scan.next_offset) == (1, 1, 2)
    assert scan.table.by_sha256(codec.sha256) is not None


def test_what_a_stranger_wrote_cannot_disturb_the_terminal() -> None:
    assert shown(None) == "none"
    assert "\x1b" not in shown(b"\x1b[31mred")
    assert shown(b"\xff") == "\\xff"
