"""Prints what people ask of flights, from the read models: plain SQL on plain views."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from foldlog.demo.flights.aggregate import LATE
from foldlog.demo.flights.airports import carriers

MINIMUM: Final = 100
"""Flights that a route needs to be ranked."""

_SHARES: Final = """
    sum(flights)::bigint,
    100.0 * sum(cancelled) / nullif(sum(flights), 0),
    100.0 * sum(departed_late) / nullif(sum(departed), 0),
    sum(departure_delay) / nullif(sum(departed), 0)::numeric,
    100.0 * sum(arrived_late) / nullif(sum(arrivals_timed), 0),
    sum(arrival_delay) / nullif(sum(arrivals_timed), 0)::numeric
"""

BY_CARRIER: Final = sa.text(
    f"SELECT carrier, {_SHARES} FROM punctuality_by_carrier "  # noqa: S608 - constants only
    "GROUP BY GROUPING SETS ((carrier), ()) ORDER BY carrier IS NULL, sum(flights) DESC"
)
BY_MONTH: Final = sa.text(
    f"SELECT to_char(month, 'YYYY-MM'), {_SHARES} FROM punctuality_by_carrier "  # noqa: S608
    "GROUP BY month ORDER BY month DESC LIMIT 12"
)
LATEST_ROUTES: Final = sa.text(
    f"SELECT origin || ' - ' || destination, {_SHARES} FROM punctuality_by_route "  # noqa: S608
    "GROUP BY origin, destination HAVING sum(arrivals_timed) >= :minimum "
    "ORDER BY sum(arrival_delay) / sum(arrivals_timed) DESC LIMIT 8"
)
BUSIEST_AIRCRAFT: Final = sa.text(
    "SELECT tail_number, count(departed), sum(distance) FILTER (WHERE departed IS NOT NULL), "
    "sum(air_time) / 60, count(DISTINCT destination), count(*) FILTER (WHERE cancelled) "
    "FROM aircraft_history GROUP BY tail_number ORDER BY count(departed) DESC, 1 LIMIT 5"
)
LAST_FLIGHTS: Final = sa.text(
    "SELECT flight, destination, scheduled_departure AT TIME ZONE 'UTC', "
    "departed AT TIME ZONE 'UTC', arrived AT TIME ZONE 'UTC', air_time "
    "FROM aircraft_history WHERE tail_number = :tail_number "
    "ORDER BY scheduled_departure DESC LIMIT 5"
)
WORST_DAYS: Final = sa.text(
    "SELECT day, count(*), count(DISTINCT carrier), count(DISTINCT destination) "
    "FROM cancellations GROUP BY day ORDER BY 2 DESC, 1 LIMIT 5"
)
CANCELLED: Final = sa.text("SELECT count(*) FROM cancellations")

_PUNCTUALITY: Final = (
    "flights",
    "cancelled %",
    f"left > {LATE} min late %",
    "min late, mean",
    f"arrived > {LATE} min late %",
    "min late, mean",
)


def show(console: Console, engine: sa.Engine) -> None:
    """Print the tables that a person wants to see."""
    with engine.connect() as db:
        _print(console, "Carriers", ("carrier", *_PUNCTUALITY), map(_named, db.execute(BY_CARRIER)))
        months = reversed(db.execute(BY_MONTH).all())
        _print(console, "Months", ("month", *_PUNCTUALITY), months)
        routes = db.execute(LATEST_ROUTES, {"minimum": MINIMUM})
        _print(console, "Routes that arrive latest", ("route", *_PUNCTUALITY), routes)
        _show_aircraft(console, db)
        _show_cancellations(console, db)


def _show_aircraft(console: Console, db: sa.Connection) -> None:
    aircraft = db.execute(BUSIEST_AIRCRAFT).all()
    columns = ("aircraft", "flights", "miles", "hours in the air", "destinations", "cancelled")
    _print(console, "Busiest aircraft", columns, aircraft)
    if aircraft:
        tail_number = aircraft[0][0]
        flights = db.execute(LAST_FLIGHTS, {"tail_number": tail_number})
        columns = ("flight", "to", "scheduled (UTC)", "left", "arrived", "min in the air")
        _print(console, f"The last flights of {tail_number}", columns, flights)


def _show_cancellations(console: Console, db: sa.Connection) -> None:
    cancelled = db.execute(CANCELLED).scalar_one()
    columns = ("day", "cancelled", "carriers", "destinations")
    title = f"Days with most of the {cancelled:,} cancellations"
    _print(console, title, columns, db.execute(WORST_DAYS))


def _named(row: Sequence[Any]) -> tuple[Any, ...]:
    carrier, *shares = row
    name = "all" if carrier is None else f"{carrier} {carriers().get(carrier, '')}".strip()
    return name, *shares


def _print(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case int():
            return f"{value:,}"
        case float() | Decimal():
            return f"{value:.1f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case _:
            return str(value)
