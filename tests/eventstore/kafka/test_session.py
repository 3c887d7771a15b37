"""A session and its reports: how many come at a time, and an error among them, change nothing."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from eventstore.kafka.requests import AppendRequest
from eventstore.kafka.session import Sent, Session
from eventstore.kafka.transport import Transport
from tests.writer_model import SETTINGS, Read

CLAIM = 40
"""Where the claim stands: reports of failure carry offset 0."""


class Heard:
    """A session with appends in flight, and what it told."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.told: list[object] = []
        self.session: Session[Any] = Session(
            epoch=3,
            writer=b"w" * 8,
            claim_offset=CLAIM,
            completed=lambda sent: self.told.append((sent.request, self.session.committed)),
            doubted=self.told.append,
        )
        for number, size in enumerate(sizes):
            last = self.session.next_sequence + size - 1
            self.session.in_flight.append(Sent(number, 1, size, last))
            self.session.next_sequence = last + 1
        self.session.outstanding = sum(sizes)

    def so_far(self) -> tuple[object, ...]:
        session = self.session
        return (self.told, session.acknowledged, session.committed, session.outstanding)


@st.composite
def reported(draw: st.DrawFn) -> tuple[list[int], list[int | None]]:
    """The sizes of appends, and what is reported of their records: mostly what must be."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    offsets: list[int | None] = list(range(CLAIM + 1, CLAIM + 1 + sum(sizes)))
    for at in draw(st.sets(st.integers(0, len(offsets) - 1), max_size=2)):
        offsets[at] = draw(st.one_of(st.none(), st.integers(CLAIM, CLAIM + 30)))
    return sizes, offsets


def split(offsets: list[int | None], cuts: list[int]) -> Iterator[list[int | None]]:
    places = [0, *sorted({cut for cut in cuts if cut < len(offsets)}), len(offsets)]
    for begin, end in pairwise(places):
        yield offsets[begin:end]


@given(reported(), st.lists(st.integers(0, 24), max_size=5))
def test_many_reports_at_once_say_what_they_say_one_by_one(
    case: tuple[list[int], list[int | None]], cuts: list[int]
) -> None:
    sizes, offsets = case
    one_by_one, together = Heard(sizes), Heard(sizes)
    for offset in offsets:
        one_by_one.session.acknowledge([offset])
    for some in split(offsets, cuts):
        together.session.acknowledge(some)
    assert together.so_far() == one_by_one.so_far()


def test_an_append_before_a_record_out_of_place_is_acknowledged_and_none_after_it() -> None:
    heard = Heard([2, 2, 1])
    heard.session.acknowledge([CLAIM + 1, CLAIM + 2, CLAIM + 3, CLAIM + 5, CLAIM + 5])
    completed, doubt = heard.told
    assert completed == (0, 2)
    assert f"record 4 of the session at offset {CLAIM + 5}, not at {CLAIM + 4}" in str(doubt)


@given(st.lists(st.booleans(), max_size=12), st.sets(st.integers(0, 11)))
def test_reports_are_handed_out_in_order_with_the_errors_among_them(
    delivered: list[bool], polls: set[int]
) -> None:
    """A record after one that failed may stand where that should: it must not be taken for it."""
    heard, transport = Heard([1] * 12), Transport(SETTINGS)
    report = transport.reporter(cast("Session[AppendRequest]", heard.session))
    landed = 0
    for number, lands in enumerate(delivered):
        landed += lands
        error = None if lands else KafkaError(KafkaError._PURGE_QUEUE)
        report(error, cast("Message", Read(CLAIM + landed if lands else 0, b"", None)))
        if number in polls:
            transport.poll(0)
    transport.poll(0)
    failed = delivered.index(False) if False in delivered else len(delivered)
    assert [told for told in heard.told if isinstance(told, tuple)] == [
        (number, number + 1) for number in range(failed)
    ]
    assert (heard.session.reason is None) == (False not in delivered)
    assert heard.session.outstanding == 12 - len(delivered)
