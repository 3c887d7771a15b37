"""The read models as pure folds, against the figures that polars computes from the same file."""

from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from eventstore.store import Recorded
from foldlog.demo.flights import check
from foldlog.demo.flights.aggregate import FlightCancelled, FlightEvent
from foldlog.demo.flights.files import open_lines, shipped_flights
from foldlog.demo.flights.read_models import (
    AircraftHistory,
    PunctualityByCarrier,
    PunctualityByRoute,
)
from foldlog.demo.flights.source import FlightRow, read
from foldlog.demo.flights.timetable import flight_of
from projections.projection import RowProjection

MONTH = date(2013, 1, 1)
SAMPLE = 37
"""Every so manieth row is taken, and all of the days about which the clocks change."""
NEAR_CHANGES = ("2013,3,9,", "2013,3,10,", "2013,3,11,", "2013,11,2,", "2013,11,3,", "2013,11,4,")
MODELS: tuple[type[RowProjection[Any, Any]], ...] = (
    PunctualityByCarrier,
    PunctualityByRoute,
    AircraftHistory,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flights") / "sample.csv"
    with open_lines(shipped_flights()) as lines, path.open("w") as sample:
        sample.write(next(lines))
        for number, line in enumerate(lines):
            if not number % SAMPLE or line.startswith(NEAR_CHANGES):
                sample.write(line)
    return path


@pytest.fixture(scope="module")
def log(file: Path) -> list[Recorded[FlightEvent]]:
    return list(recorded(file))


def recorded(path: Path) -> Iterator[Recorded[FlightEvent]]:
    for row in read(path):
        assert isinstance(row, FlightRow)
        flight = flight_of(row)
        pairs = zip(flight.pending, flight.pending_times, strict=True)
        for version, (event, time) in enumerate(pairs, 1):
            yield Recorded(event, flight.id, version, time, "flights", 0, 0, b"", 0, 1)


def fold(projection: RowProjection[Any, Any], log: list[Recorded[FlightEvent]]) -> dict[Any, Any]:
    rows: dict[Any, Any] = {}
    for event in log:
        key = projection.key(event)
        if key is not None:
            rows[key] = projection.fold(rows.get(key), event)
    return rows


def frame(rows: list[dict[str, Any]], like: pl.DataFrame) -> pl.DataFrame:
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.select(pl.col(name).cast(kind) for name, kind in like.schema.items())


@pytest.fixture(scope="module")
def figures(file: Path) -> dict[str, check.Figures]:
    table = check.later(check.flights(file), 0)
    return {found.read_model: found for found in check.figures(table)}


@pytest.mark.parametrize("model", MODELS)
def test_a_row_projection_equals_the_figures_from_the_file(
    model: type[RowProjection[Any, Any]],
    log: list[Recorded[FlightEvent]],
    figures: dict[str, check.Figures],
) -> None:
    expected = figures[model.name]
    rows = [row._asdict() for row in fold(model(), log).values()]
    assert check.compare(expected, frame(rows, expected.rows), MONTH) is None


def test_the_cancellations_equal_those_of_the_file(
    log: list[Recorded[FlightEvent]], figures: dict[str, check.Figures]
) -> None:
    expected = figures["cancellations"]
    found = {event.stream for event in log if isinstance(event.event, FlightCancelled)}
    assert found == set(expected.rows["flight"])


@pytest.mark.parametrize("model", [PunctualityByCarrier, PunctualityByRoute])
def test_counts_do_not_depend_on_the_order_between_flights(
    model: type[RowProjection[Any, Any]], log: list[Recorded[FlightEvent]]
) -> None:
    some = list(islice(log, 5_000))
    assert fold(model(), some) == fold(model(), some[::-1])


def test_a_figure_that_differs_is_reported_with_both_values(
    figures: dict[str, check.Figures],
) -> None:
    expected = figures["punctuality_by_carrier"]
    wrong = expected.rows.with_columns(
        flights=pl.when(pl.int_range(pl.len()) == 0)
        .then(pl.col("flights") + 1)
        .otherwise("flights")
    )
    found = check.compare(expected, wrong, MONTH)
    assert found is not None
    assert (found.missing, found.surplus, found.differing) == (0, 0, 1)
    flights = expected.rows["flights"][0]
    assert f"flights={flights}," in found.examples[0]
    assert f"flights={flights + 1}," in found.examples[0]


def test_rows_that_only_one_side_has_are_reported(figures: dict[str, check.Figures]) -> None:
    expected = figures["cancellations"]
    fewer = check.compare(expected, expected.rows[1:], MONTH)
    assert fewer is not None
    assert (fewer.missing, fewer.surplus, fewer.differing) == (1, 0, 0)
    more = check.compare(expected._replace(rows=expected.rows[1:]), expected.rows, MONTH)
    assert more is not None
    assert (more.missing, more.surplus, more.differing) == (0, 1, 0)


def test_the_shipped_year_has_the_published_cancellations_and_events() -> None:
    table = check.flights(shipped_flights())
    left, arrived = table["dep_time"].count(), table["arr_time"].count()
    cancelled = table.height - left
    assert cancelled == check.PUBLISHED_CANCELLATIONS
    assert table.height + left + arrived + cancelled == 1_001_615
