"""What an append may be made of: what no log could hold is refused before it is sent."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from eventstore import ANY, NO_STREAM, Append, InvalidAppend, Recorded
from tests.bank import AccountOpened, MoneyDeposited

EVENTS = [AccountOpened(owner="Alice"), MoneyDeposited(amount=1)]
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


def made(**facts: Any) -> Append:
    """An append to alice; what is given may be of any type, as in code that nobody checks."""
    all_of_it: dict[str, Any] = {
        "topic": "accounts",
        "stream": "alice",
        "events": EVENTS,
        "expected": NO_STREAM,
        **facts,
    }
    return Append(**all_of_it)


def micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution


@pytest.mark.parametrize("time", [1.5, 1e15, "1", None, datetime.now(UTC)])
def test_a_time_that_is_no_int_is_refused(time: object) -> None:
    with pytest.raises(InvalidAppend, match=r"of type .*; give ints, in microseconds since 1970"):
        made(times=(1, time))


@pytest.mark.parametrize(
    "time", [micros(FIRST) - 1, micros(LAST) + 1, -(2**63), 2**63 - 1, 2**63, 2**200]
)
def test_a_time_that_no_datetime_can_give_back_is_refused(time: int) -> None:
    with pytest.raises(InvalidAppend, match=rf"a time is {time}; .*years 1 to 9999"):
        made(times=(time, 1))


def test_every_time_that_is_taken_can_be_given_back() -> None:
    for at in (FIRST, LAST):
        (time, _) = made(times=(micros(at), 0)).times
        assert Recorded(EVENTS[0], "alice", 1, time, "accounts", 0, 0, bytes(16), 0, 2).at == at


@pytest.mark.parametrize(
    "expected", [None, "any", "no stream", "ANY", 1.0, True, False, UUID(int=0)]
)
def test_an_expected_version_that_is_none_is_refused(expected: object) -> None:
    with pytest.raises(InvalidAppend, match=r"it expects .*; expect 0 or more, NO_STREAM or ANY"):
        made(expected=expected)


@pytest.mark.parametrize("expected", [-1, 2**63])
def test_an_expected_version_that_no_stream_can_have_is_refused(expected: int) -> None:
    with pytest.raises(InvalidAppend, match=rf"it expects version {expected}; expect 0 or more"):
        made(expected=expected)


@pytest.mark.parametrize("expected", [NO_STREAM, ANY, 0, 2**63 - 1])
def test_the_expected_versions_that_there_are_are_taken(expected: object) -> None:
    assert made(expected=expected).expected == expected


@pytest.mark.parametrize("append_id", [None, "", str(UUID(int=7)), UUID(int=7).bytes, 7])
def test_an_append_id_that_is_no_uuid_is_refused(append_id: object) -> None:
    with pytest.raises(InvalidAppend, match=r"its append id is of type .*; give a UUID: .*uuid5"):
        made(append_id=append_id)
