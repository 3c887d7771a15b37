"""Appends as bytes: encoded together they are what each is alone, whatever is wrong with one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import AppendTooLarge, EncodingError
from eventstore.events import Event
from eventstore.kafka.messages import FEW, Encoder
from eventstore.kafka.records import encode
from eventstore.kafka.requests import AppendRequest, encode_together
from eventstore.store import ANY, Append
from tests.bank import AccountOpened, MoneyDeposited
from tests.eventstore.kafka.test_messages import REGISTRY

ENCODER = Encoder(REGISTRY)

EVENTS = st.one_of(
    st.builds(AccountOpened, owner=st.text(max_size=3)),
    st.builds(MoneyDeposited, amount=st.integers(1, 2**40)),
)


def at_one_time(events: list[Event], at: int) -> Append:
    times = [at] * len(events)
    return Append("accounts", "alice", events, ANY, times=times, append_id=UUID(int=5))


APPENDS = st.builds(
    at_one_time, st.lists(EVENTS, min_size=1, max_size=FEW + 2), st.integers(0, 2**50)
)


def append(*events: Event) -> Append:
    return Append("accounts", "alice", events, ANY)


@given(st.lists(APPENDS, max_size=FEW))
def test_appends_encoded_together_are_as_each_alone(appends: list[Append]) -> None:
    assert encode(ENCODER, appends) == [one for each in appends for one in encode(ENCODER, [each])]


@given(st.lists(EVENTS, max_size=3 * FEW))
def test_events_encoded_together_are_as_each_alone(events: list[Event]) -> None:
    times = range(len(events))
    assert ENCODER.encode(events, times) == [
        one
        for event, at in zip(events, times, strict=True)
        for one in ENCODER.encode([event], [at])
    ]


def test_an_append_that_cannot_be_encoded_harms_none_that_is_encoded_with_it() -> None:
    good = append(AccountOpened(owner="Alice"), *[MoneyDeposited(amount=1)] * FEW)
    broken = append(MoneyDeposited.model_construct(amount=2**63))
    long = append(*[MoneyDeposited(amount=1)] * 1_001)
    large = append(AccountOpened(owner="A" * 900_000))
    requests = [AppendRequest(each, 0) for each in (good, broken, good, long, large, good)]
    encode_together(ENCODER, requests)
    assert [request.ready is not None for request in requests] == [
        request.append is good for request in requests
    ]
    for request, error in zip(
        [requests[1], *requests[3:5]], [EncodingError, AppendTooLarge, AppendTooLarge], strict=True
    ):
        with pytest.raises(error):
            request.encoded(ENCODER)


def test_appends_beyond_what_is_encoded_at_once_are_left_to_their_turn() -> None:
    requests = [AppendRequest(append(*[MoneyDeposited(amount=1)] * 1_000), 0) for _ in range(7)]
    encode_together(ENCODER, requests)
    assert [request.ready is not None for request in requests] == [True] * 5 + [False] * 2
    encode_together(ENCODER, requests)
    assert all(request.ready is not None for request in requests)


def test_an_append_is_encoded_once_and_keeps_its_time() -> None:
    """Also if it is decided again, after doubt: it happened when it was first to be sent."""
    request = AppendRequest(append(MoneyDeposited(amount=1)), 0)
    first = request.encoded(ENCODER)
    encode_together(ENCODER, [request])
    assert request.encoded(ENCODER) is first


def test_what_came_from_another_process_is_sent_as_it_came() -> None:
    [came] = encode(ENCODER, [append(MoneyDeposited(amount=1))])
    request = AppendRequest(came, 0)
    encode_together(ENCODER, [request])
    assert request.encoded(ENCODER) is came
