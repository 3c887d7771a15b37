"""Times against a slow reference: every minute is tried, one after the other, with zoneinfo."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldlog.demo.flights.times import DAY, EPOCH, instant_of, moment, next_showing

ZONES = [
    "America/Anchorage",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "America/New_York",
    "America/Phoenix",
    "America/Puerto_Rico",
    "Pacific/Honolulu",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",  # 5:45
    "Pacific/Apia",  # left out a whole day in 2011
]
CHANGES = [date(2013, 3, 10), date(2013, 11, 3), date(2014, 3, 9), date(2011, 12, 30)]


def shifted(day: date, shift: int) -> date:
    return day + timedelta(days=shift)


# Half of the days lie around a change of the clocks, where errors would be.
near_changes = st.builds(shifted, st.sampled_from(CHANGES), st.integers(-2, 2))
days = st.dates(date(1990, 1, 1), date(2037, 12, 1)) | near_changes
clocks = st.integers(0, DAY - 1)


def minutes(at: datetime) -> int:
    return (at - EPOCH) // timedelta(minutes=1)


def shown(zone: str, instant: int) -> tuple[date, int]:
    local = moment(instant).astimezone(ZoneInfo(zone))
    return local.date(), local.hour * 60 + local.minute


def first_with(zone: str, start: int, end: int, day: date | None, clock: int) -> int | None:
    for instant in range(start, end):
        found, minute = shown(zone, instant)
        if minute == clock and day in {None, found}:
            return instant
    return None


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), day=days, clock=clocks)
def test_the_instant_of_a_clock_time_is_the_first_that_shows_it_on_that_day(
    zone: str, day: date, clock: int
) -> None:
    start = minutes(datetime(day.year, day.month, day.day, tzinfo=UTC)) - DAY
    expected = first_with(zone, start, start + 3 * DAY, day, clock)
    assert instant_of(zone, day.toordinal(), clock) == expected


@settings(max_examples=60, deadline=None)
@given(zone=st.sampled_from(ZONES), day=days, minute=clocks, clock=clocks)
def test_the_next_showing_is_the_first_later_instant_that_shows_the_time(
    zone: str, day: date, minute: int, clock: int
) -> None:
    after = minutes(datetime(day.year, day.month, day.day, tzinfo=UTC)) + minute
    expected = first_with(zone, after + 1, after + 3 * DAY, None, clock)
    assert next_showing(zone, after, clock) == expected


def test_a_time_that_the_clocks_skip_has_no_instant() -> None:
    assert instant_of("America/New_York", date(2013, 3, 10).toordinal(), 2 * 60 + 30) is None


def test_a_time_that_is_skipped_at_the_destination_is_shown_the_day_after() -> None:
    after = minutes(datetime(2013, 3, 10, 4, tzinfo=UTC))
    arrival = next_showing("America/New_York", after, 2 * 60 + 30)
    assert moment(arrival) == datetime(2013, 3, 11, 6, 30, tzinfo=UTC)


def test_a_time_shown_twice_is_first_the_earlier_then_the_later() -> None:
    one_thirty = instant_of("America/New_York", date(2013, 11, 3).toordinal(), 90)
    assert one_thirty is not None
    assert moment(one_thirty) == datetime(2013, 11, 3, 5, 30, tzinfo=UTC)
    again = next_showing("America/New_York", one_thirty, 90)
    assert moment(again) == datetime(2013, 11, 3, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_the_time_that_a_clock_shows_now_is_next_shown_later(zone: str) -> None:
    now = minutes(datetime(2013, 6, 1, 12, tzinfo=UTC))
    assert next_showing(zone, now, shown(zone, now)[1]) == now + DAY


def test_midnight_may_be_written_as_the_end_of_the_day_before() -> None:
    day = date(2013, 6, 1).toordinal()
    assert instant_of("America/New_York", day, DAY) == instant_of("America/New_York", day + 1, 0)
