from concurrent.futures import Future
from pathlib import Path

import pytest

from eventstore.memory import MemoryEventStore
from eventstore.repository import Repository
from eventstore.store import Append, Appended
from foldlog.demo.flights.aggregate import Flight
from foldlog.demo.flights.loader import count_rows, load
from foldlog.demo.flights.source import COLUMNS

HEADER = ",".join(COLUMNS)
FLOWN = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,NA,EWR,RDU,NA,416"
LEAP_DAY = "2012,2,29,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400"


@pytest.fixture
def store() -> MemoryEventStore:
    return MemoryEventStore()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "flights.csv", FLOWN, CANCELLED)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join((HEADER, *lines, "")))
    return path


def test_each_flight_is_one_append_of_its_events(store: MemoryEventStore, file: Path) -> None:
    loaded = load(store, file)
    assert (loaded.flights, loaded.events) == (2, 5)
    history = list(store.read("flights", "UA-1545-2013-01-01-EWR"))
    assert [(recorded.version, recorded.count) for recorded in history] == [(1, 3), (2, 3), (3, 3)]


def test_loaded_again_it_appends_nothing_and_says_so(store: MemoryEventStore, file: Path) -> None:
    load(store, file)
    again = load(store, file)
    assert (again.flights, again.events) == (0, 0)
    assert (again.repeated_flights, again.repeated_events) == (2, 5)
    assert again.refusals == []


def test_interrupted_and_loaded_again_it_goes_on(store: MemoryEventStore, file: Path) -> None:
    load(store, write(file.with_name("half.csv"), FLOWN))
    rest = load(store, file)
    assert (rest.flights, rest.repeated_flights) == (1, 1)


def test_the_order_of_the_rows_does_not_matter(store: MemoryEventStore, file: Path) -> None:
    load(store, file)
    turned = load(store, write(file, CANCELLED, FLOWN))
    assert (turned.flights, turned.repeated_flights) == (0, 2)


def test_a_flight_that_the_log_tells_otherwise_is_refused_with_its_line(
    store: MemoryEventStore, file: Path
) -> None:
    load(store, file)
    changed = FLOWN.replace("517,515,2,", "518,515,3,")
    loaded = load(store, write(file, CANCELLED, changed))
    ((years, line, reason),) = loaded.refusals
    assert (years, line) == (0, 3)
    assert "other facts of UA-1545-2013-01-01-EWR in the log" in reason
    assert loaded.repeated_flights == 1


class Forgetful(MemoryEventStore):
    """Has forgotten every append id, as a store does after some days; it keeps the heads."""

    def submit(self, append: Append) -> Future[Appended]:
        self._answers.clear()
        return super().submit(append)


def test_a_flight_whose_append_id_was_forgotten_is_known_by_its_head(file: Path) -> None:
    store = Forgetful()
    load(store, file)
    again = load(store, file)
    assert (again.flights, again.repeated_flights, again.refusals) == (0, 2, [])


def test_rows_that_break_a_rule_are_listed_and_the_rest_goes_in(
    store: MemoryEventStore, file: Path
) -> None:
    unknown = FLOWN.replace("IAH", "XXX").replace("1545", "1546")
    loaded = load(store, write(file, "2013,1", FLOWN, unknown, FLOWN, CANCELLED))
    assert [refusal.line for refusal in loaded.refusals] == [2, 4, 5]
    assert loaded.flights == 2


def test_years_repeat_the_file_each_a_year_later(store: MemoryEventStore, file: Path) -> None:
    loaded = load(store, file, years=3)
    assert (loaded.flights, loaded.events) == (6, 15)
    assert store.head("flights", "EV-4308-2015-01-01-EWR") is not None
    assert load(store, file, years=1).repeated_flights == 2


def test_a_leap_day_is_left_out_of_years_that_lack_it(store: MemoryEventStore, file: Path) -> None:
    loaded = load(store, write(file, LEAP_DAY), years=5)
    assert (loaded.flights, loaded.refusals) == (2, [])
    assert store.head("flights", "UA-1545-2016-02-29-EWR") is not None


def test_progress_is_told_the_rows_that_are_done(store: MemoryEventStore, tmp_path: Path) -> None:
    lines = [FLOWN.replace("1545", str(number)) for number in range(1, 1201)]
    path = write(tmp_path / "many.csv", *lines)
    told: list[int] = []
    load(store, path, progress=told.append)
    assert told == [1000, 1200]
    assert count_rows(path) == 1200


def test_a_flight_comes_back_from_its_stream(store: MemoryEventStore, file: Path) -> None:
    load(store, file)
    flight = Repository(store, Flight).get("UA-1545-2013-01-01-EWR")
    assert flight.version == 3
    assert flight.ended
