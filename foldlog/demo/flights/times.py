"""Turns what clocks show into instants: minutes since 1970 in UTC, by a zone's own rules.

`zoneinfo` gives the offset of an instant; what is asked for here is the instant at which a
clock shows a time, 336,776 times over. So the spans of constant offset around a day are kept.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

DAY: Final = 1_440
"""Minutes of a day."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = EPOCH.toordinal()

_DAYS_OF_ZONES_CACHED: Final = 65_536


class Span(NamedTuple):
    """A stretch of time in which a zone keeps one offset from UTC."""

    start: int
    """Its first minute."""
    end: int
    """The first minute after it."""
    offset: int
    """Local time minus UTC, in minutes."""


def moment(instant: int) -> datetime:
    """An instant as an aware datetime in UTC."""
    return EPOCH + timedelta(minutes=instant)


def instant_of(zone: str, ordinal: int, clock: int) -> int | None:
    """The instant at which clocks of ``zone`` show ``clock`` on a day.

    ``ordinal`` is the day's `date.toordinal`, ``clock`` its minute; 1440 is the midnight after
    it. Where clocks are put back and show a time twice, it is the first; where they are put
    forward over that time, None.
    """
    local = (ordinal - EPOCH_ORDINAL) * DAY + clock
    for start, end, offset in spans(zone, local // DAY - 1):
        if start <= local - offset < end:
            return local - offset
    return None


def next_showing(zone: str, after: int, clock: int) -> int:
    """The first instant later than ``after`` at which clocks of ``zone`` show ``clock``.

    A time that the clocks are put forward over is shown on the day after.
    """
    for start, end, offset in spans(zone, after // DAY):
        first = max(start, after + 1)
        instant = first + (clock - first - offset) % DAY
        if instant < end:
            return instant
    raise AssertionError(f"the clocks of {zone} do not show minute {clock} within three days")


@lru_cache(_DAYS_OF_ZONES_CACHED)
def spans(zone: str, day: int) -> tuple[Span, ...]:
    """The spans of ``zone`` from the start of a UTC day (days since 1970) over four days."""
    return tuple(_merged(_spans_by_day(ZoneInfo(zone), day)))


def _merged(found: Iterator[Span]) -> Iterator[Span]:
    current = next(found)
    for span in found:
        if span.offset == current.offset:
            current = Span(current.start, span.end, current.offset)
        else:
            yield current
            current = span
    yield current


def _spans_by_day(zone: ZoneInfo, day: int) -> Iterator[Span]:
    for start in range(day * DAY, (day + 4) * DAY, DAY):
        end = start + DAY
        before, after = _offset(zone, start), _offset(zone, end)
        if before == after:
            yield Span(start, end, before)
        else:
            change = _change(zone, start, end)
            yield Span(start, change, before)
            yield Span(change, end, after)


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """The first minute with the offset of ``high``, by halving."""
    target = _offset(zone, high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset(zone, middle) == target else (middle, high)
    return high


def _offset(zone: ZoneInfo, instant: int) -> int:
    shift = moment(instant).astimezone(zone).utcoffset()
    return 0 if shift is None else int(shift.total_seconds()) // 60
