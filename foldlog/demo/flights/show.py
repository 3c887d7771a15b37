"""Prints what people ask of flights, from the read models: plain SQL on plain views."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from foldlog.demo.flights.aggregate import LATE
from foldlog.demo.flights.airports import carriers

NAME_WIDTH: Final = 20
"""Characters of a carrier's name, so that the table fits a terminal."""

MINIMUM: Final = 100
"""Flights that a route needs to be ranked."""

_SHARES: Final = """
    sum(flights)::bigint,
    round(100 * sum(cancelled) / nullif(sum(flights), 0), 1) || ' %',
    round(100 * sum(departed_late) / nullif(sum(departed), 0), 1) || ' %',
    sum(departure_delay) / nullif(sum(departed), 0),
    round(100 * sum(arrived_late) / nullif(sum(arrivals_timed), 0), 1) || ' %',
    sum(arrival_delay) / nullif(sum(arrivals_timed), 0)
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
    "to_char(departed AT TIME ZONE 'UTC', 'HH24:MI'), "
    "to_char(arrived AT TIME ZONE 'UTC', 'HH24:MI'), air_time "
    "FROM aircraft_history WHERE tail_number = :tail_number "
    "ORDER BY scheduled_departure DESC LIMIT 5"
)
WORST_DAYS: Final = sa.text(
    "SELECT day, count(*), count(DISTINCT carrier), count(DISTINCT destination) "
    "FROM cancellations GROUP BY day ORDER BY 2 DESC, 1 LIMIT 5"
)
CANCELLED: Final = sa.text("SELECT count(*) FROM cancellations")

_PUNCTUALITY: Final = ("flights", "cancelled", "left\nlate", "mean", "arrived\nlate", "mean")
_MEANING: Final = f"late: more than {LATE} minutes; mean: minutes, early flights too"


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
    columns = ("aircraft", "flights", "miles", "hours", "destinations", "cancelled")
    _print(console, "Busiest aircraft", columns, aircraft)
    if aircraft:
        tail_number = aircraft[0][0]
        flights = db.execute(LAST_FLIGHTS, {"tail_number": tail_number})
        columns = ("flight", "to", "scheduled (UTC)", "left", "arrived", "air time")
        _print(console, f"The last flights of {tail_number}", columns, flights)


def _show_cancellations(console: Console, db: sa.Connection) -> None:
    cancelled = db.execute(CANCELLED).scalar_one()
    columns = ("day", "cancelled", "carriers", "destinations")
    title = f"Days with most of the {cancelled:,} cancellations"
    _print(console, title, columns, db.execute(WORST_DAYS))


def _named(row: Sequence[Any]) -> tuple[Any, ...]:
    carrier, *shares = row
    full = carriers().get(carrier, "").removesuffix(" Inc.").removesuffix(" Co.")
    name = textwrap.shorten(full, NAME_WIDTH, placeholder="…")
    return "all" if carrier is None else f"{carrier} {name}".strip(), *shares


def _print(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    caption = _MEANING if "mean" in columns else None
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
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
