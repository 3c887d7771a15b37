"""Compares every figure of every read model with one computed straight from the CSV file.

None of it goes through our events: polars reads the file, its own time zones turn local times
into instants, and its own joins compare. A difference is a defect, here or there.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

import polars as pl
import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import TupleRow

from foldlog.demo.flights.aggregate import LATE
from foldlog.demo.flights.airports import zones
from foldlog.demo.flights.files import open_bytes
from foldlog.demo.flights.source import COLUMNS, UNKNOWN

PUBLISHED_CANCELLATIONS: Final = 8_255
"""Flights of the shipped year that never departed, as others have published."""

TEXTS: Final = ("carrier", "tailnum", "origin", "dest")
HISTORY: Final = (
    "flight",
    "tail_number",
    "carrier",
    "day",
    "origin",
    "destination",
    "scheduled_departure",
    "scheduled_arrival",
    "distance",
    "departed",
    "arrived",
    "air_time",
    "cancelled",
)
CANCELLATIONS: Final = (*HISTORY[:6], "scheduled_departure")
SHOWN: Final = 5
"""Differing rows that are listed in full, per read model."""


class Figures(NamedTuple):
    """One read model's rows, as the CSV says they must be."""

    read_model: str
    key: tuple[str, ...]
    rows: pl.DataFrame


class Difference(NamedTuple):
    """Rows of a read model that are not what the CSV says, in one month."""

    read_model: str
    month: str
    missing: int
    """Rows that only the CSV has."""
    surplus: int
    """Rows that only the read model has."""
    differing: int
    """Rows that both have, with other figures."""
    examples: tuple[str, ...]


class Checked(NamedTuple):
    """What was compared, and what differs."""

    figures: int
    rows: int
    differences: tuple[Difference, ...]


def check(
    engine: sa.Engine, path: Path, *, years: int = 1, refused: Collection[tuple[int, int]] = ()
) -> Checked:
    """Compare the read models with a file; ``refused`` are (years, line) that were left out.

    Only the months of the file, and of the ``years`` that it is repeated for, are compared.
    """
    table = flights(path)
    counted = rows = 0
    differences: list[Difference] = []
    for shift in range(years):
        for month, part in _months(later(table, shift, _lines(refused, shift))):
            for expected in figures(part):
                rows += expected.rows.height
                counted += expected.rows.height * (expected.rows.width - len(expected.key))
                found = stored(engine, expected, month)
                difference = compare(expected, found, month)
                if difference is not None:
                    differences.append(difference)
    return Checked(counted, rows, tuple(differences))


def _months(table: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    """The flights month by month: no row of a read model spans two, and memory stays small."""
    found = table.select("year", "month").unique().sort("year", "month")
    for year, month in found.iter_rows():
        yield date(year, month, 1), table.filter(year=year, month=month)


def _lines(refused: Collection[tuple[int, int]], years: int) -> list[int]:
    return sorted(line for shift, line in refused if shift == years)


def flights(path: Path) -> pl.DataFrame:
    """The lines of a file, as its columns hold them; a number that is none is null."""
    with open_bytes(path) as binary:
        raw = pl.read_csv(
            binary.read(),
            columns=list(COLUMNS),
            encoding="utf8-lossy",
            infer_schema=False,
            null_values=list(UNKNOWN),
            truncate_ragged_lines=True,
            row_index_name="line",
            row_index_offset=2,
        )
    blank = pl.all_horizontal(pl.col(COLUMNS).is_null())
    return raw.filter(~blank).with_columns(pl.exclude("line", *TEXTS).cast(pl.Int32, strict=False))


def later(table: pl.DataFrame, years: int, refused: Sequence[int] = ()) -> pl.DataFrame:
    """The flights ``years`` later, but for refused lines and a 29 February that does not come."""
    kept = table.filter(~pl.col("line").is_in(refused)) if refused else table
    shifted = kept.with_columns(pl.col("year") + years)
    leap_day = (pl.col("month") == 2) & (pl.col("day") == 29)  # noqa: PLR2004
    return shifted.filter(~leap_day | pl.date("year", 1, 1).dt.is_leap_year())


def figures(table: pl.DataFrame) -> Iterator[Figures]:
    """Every read model's rows for flights as `flights` gives them."""
    timed = _with_instants(table)
    by_carrier, by_route = ("carrier", "month"), ("origin", "destination", "month")
    yield Figures("punctuality_by_carrier", by_carrier, _punctuality(timed, by_carrier))
    yield Figures("punctuality_by_route", by_route, _punctuality(timed, by_route))
    known = timed.filter(pl.col("tail_number").is_not_null())
    yield Figures("aircraft_history", ("flight",), known.select(HISTORY))
    never_left = timed.filter(pl.col("cancelled"))
    yield Figures("cancellations", ("flight",), never_left.select(CANCELLATIONS))


def compare(expected: Figures, found: pl.DataFrame, month: date) -> Difference | None:
    """What differs between the rows expected and the rows found; None: nothing."""
    key, columns = expected.key, expected.rows.columns
    left = expected.rows.with_columns(in_file=True)
    right = found.with_columns(in_model=True).rename({name: f"{name} found" for name in columns})
    both = left.join(right, how="full", left_on=key, right_on=[f"{name} found" for name in key])
    missing, surplus = pl.col("in_model").is_null(), pl.col("in_file").is_null()
    unlike = [
        pl.col(name).ne_missing(pl.col(f"{name} found")) for name in columns if name not in key
    ]
    wrong = both.filter(missing | surplus | pl.any_horizontal(unlike))
    if wrong.is_empty():
        return None
    lacking, extra = wrong.filter(missing).height, wrong.filter(surplus).height
    return Difference(
        expected.read_model,
        f"{month:%Y-%m}",
        lacking,
        extra,
        wrong.height - lacking - extra,
        _examples(wrong, columns),
    )


def _examples(wrong: pl.DataFrame, columns: Sequence[str]) -> tuple[str, ...]:
    def told(row: dict[str, object], suffix: str, mark: str) -> str:
        if row[mark] is None:
            return "no row"
        return ", ".join(f"{name}={row[name + suffix]}" for name in columns)

    return tuple(
        f"expected {told(row, '', 'in_file')}; found {told(row, ' found', 'in_model')}"
        for row in wrong.head(SHOWN).to_dicts()
    )


def _with_instants(table: pl.DataFrame) -> pl.DataFrame:
    """The flights with the columns of the read models, instants in UTC."""
    delay = pl.duration(minutes="dep_delay")
    arrival_delay = pl.duration(minutes="arr_delay")
    left = pl.col("dep_time").is_not_null()
    return (
        _by_zone(table.with_columns(day=pl.date("year", "month", "day")), "origin", _departures)
        .with_columns(departed=pl.col("scheduled_departure") + delay)
        .pipe(_by_zone, "dest", _arrivals)
        .with_columns(
            arrived=pl.coalesce(pl.col("scheduled_arrival") + arrival_delay, "shown_arrival"),
            cancelled=~left,
            month=pl.date("year", "month", 1),
            flight=pl.concat_str("carrier", "flight", "day", "origin", separator="-"),
        )
        .rename({"dest": "destination", "tailnum": "tail_number"})
    )


def _by_zone(
    table: pl.DataFrame, airport: str, transform: Callable[[pl.DataFrame, str], pl.DataFrame]
) -> pl.DataFrame:
    """Transform the flights of each time zone of an airport column on their own."""
    zoned = table.with_columns(zone=pl.col(airport).replace_strict(zones(), return_dtype=pl.String))
    parts = zoned.partition_by("zone", as_dict=True, include_key=False)
    return pl.concat([transform(part, str(zone)) for (zone,), part in parts.items()])


def _departures(table: pl.DataFrame, zone: str) -> pl.DataFrame:
    local = pl.col("day").cast(pl.Datetime("us")) + _clock("sched_dep_time")
    return table.with_columns(scheduled_departure=_utc(local, zone, "earliest"))


def _arrivals(table: pl.DataFrame, zone: str) -> pl.DataFrame:
    return table.with_columns(
        scheduled_arrival=_next_showing("scheduled_departure", "sched_arr_time", zone),
        shown_arrival=_next_showing("departed", "arr_time", zone),
    )


def _next_showing(after: str, clock: str, zone: str) -> pl.Expr:
    """The first instant later than ``after`` at which clocks show ``clock``: all are tried."""
    day = pl.col(after).dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.truncate("1d")
    ways: list[Literal["earliest", "latest"]] = ["earliest", "latest"]
    shown = [
        _utc(day + pl.duration(days=days) + _clock(clock), zone, way)
        for days in (-1, 0, 1, 2)
        for way in ways
    ]
    return pl.min_horizontal(pl.when(instant > pl.col(after)).then(instant) for instant in shown)


def _clock(column: str) -> pl.Expr:
    return pl.duration(hours=pl.col(column) // 100, minutes=pl.col(column) % 100)


def _utc(local: pl.Expr, zone: str, way: Literal["earliest", "latest"]) -> pl.Expr:
    zoned = local.dt.replace_time_zone(zone, ambiguous=way, non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _punctuality(timed: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    departure, arrival = pl.col("dep_delay"), pl.col("arr_delay")
    return (
        timed.group_by(key)
        .agg(
            flights=pl.len(),
            cancelled=pl.col("cancelled").sum(),
            departed=pl.col("dep_time").count(),
            departed_late=(departure > LATE).sum(),
            departure_delay=departure.sum(),
            arrived=pl.col("arr_time").count(),
            arrivals_timed=arrival.count(),
            arrived_late=(arrival > LATE).sum(),
            arrival_delay=arrival.sum(),
        )
        .with_columns(pl.exclude(key).cast(pl.Int64))
    )


def stored(engine: sa.Engine, expected: Figures, month: date) -> pl.DataFrame:
    """The read model's rows of a month, in the columns and types of ``expected``."""
    schema = expected.rows.schema
    day = "month" if "month" in schema else "day"
    query = sql.SQL(
        "COPY (SELECT {columns} FROM {view} WHERE {day} >= {month} "
        "AND {day} < {month} + interval '1 month') TO STDOUT (FORMAT csv)"
    ).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, schema)),
        view=sql.Identifier(expected.read_model),
        day=sql.Identifier(day),
        month=sql.Literal(month),
    )
    if not (copied := _copied(engine, query)):
        return expected.rows.clear()
    text = pl.read_csv(copied, has_header=False, new_columns=list(schema), infer_schema=False)
    return text.select(_typed(name, kind) for name, kind in schema.items())


def _copied(engine: sa.Engine, query: sql.Composed) -> bytes:
    with engine.connect() as db:
        connection = cast("psycopg.Connection[TupleRow]", db.connection.driver_connection)
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        with connection.cursor().copy(query) as copied:
            return b"".join(copied)


def _typed(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Datetime):
        return column.str.strip_suffix("+00").str.to_datetime(time_unit="us", time_zone="UTC")
    if isinstance(kind, pl.Date):
        return column.str.to_date()
    return column == "t" if isinstance(kind, pl.Boolean) else column.cast(kind)
