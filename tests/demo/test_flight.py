from datetime import UTC, date, datetime, timedelta

import pytest

from foldlog.demo.flights.aggregate import (
    Flight,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightScheduled,
)
from foldlog.demo.flights.errors import RowError
from foldlog.demo.flights.source import FlightRow
from foldlog.demo.flights.timetable import flight_of, shifted

ROW = FlightRow(
    line=2,
    carrier="UA",
    number=1545,
    date=date(2013, 1, 1),
    origin="EWR",
    destination="IAH",
    tail_number="N14228",
    scheduled_departure=5 * 60 + 15,
    scheduled_arrival=8 * 60 + 19,
    departure_delay=2,
    arrival=8 * 60 + 30,
    arrival_delay=11,
    air_time=227,
    distance=1400,
)


def utc(hour: int, minute: int = 0, day: int = 1, month: int = 1) -> datetime:
    return datetime(2013, month, day, hour, minute, tzinfo=UTC)


def times(flight: Flight) -> list[datetime]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [epoch + timedelta(microseconds=time) for time in flight.pending_times]


def test_a_row_becomes_a_flight_that_was_scheduled_departed_and_arrived() -> None:
    flight = flight_of(ROW)
    assert flight.id == "UA-1545-2013-01-01-EWR"
    scheduled, departed, arrived = flight.pending
    assert scheduled == FlightScheduled(
        carrier="UA",
        number=1545,
        date=date(2013, 1, 1),
        origin="EWR",
        destination="IAH",
        tail_number="N14228",
        departs=utc(10, 15),
        arrives=utc(14, 19),
        distance=1400,
    )
    assert isinstance(departed, FlightDeparted)
    assert departed.delay == 2
    assert isinstance(arrived, FlightArrived)
    assert (arrived.delay, arrived.air_time) == (11, 227)
    # The day's timetable stands from midnight in New York.
    assert times(flight) == [utc(5), utc(10, 17), utc(14, 30)]


def test_a_row_without_a_departure_becomes_a_cancelled_flight() -> None:
    row = ROW._replace(departure_delay=None, arrival=None, arrival_delay=None, air_time=None)
    flight = flight_of(row)
    assert [type(event) for event in flight.pending] == [FlightScheduled, FlightCancelled]
    assert times(flight)[1] == utc(10, 15)


def test_a_row_without_an_arrival_becomes_a_flight_that_only_departed() -> None:
    flight = flight_of(ROW._replace(arrival=None, arrival_delay=None, air_time=None))
    assert [type(event) for event in flight.pending] == [FlightScheduled, FlightDeparted]


def test_without_a_delay_the_arrival_is_the_first_showing_of_its_time_after_departure() -> None:
    late = ROW._replace(departure_delay=24 * 60, arrival_delay=None)
    assert times(flight_of(late))[2] == utc(14, 30, day=2)


def test_an_arrival_is_read_on_the_clocks_of_its_destination() -> None:
    honolulu = ROW._replace(destination="HNL", scheduled_arrival=14 * 60, arrival_delay=0)
    assert times(flight_of(honolulu))[2] == utc(0, day=2)
    san_juan = ROW._replace(destination="SJU", scheduled_arrival=10 * 60, arrival_delay=0)
    assert times(flight_of(san_juan))[2] == utc(14)


def test_an_unknown_airport_is_refused() -> None:
    with pytest.raises(RowError, match="found 'XXX'"):
        flight_of(ROW._replace(destination="XXX"))


def test_a_departure_that_the_clocks_skip_is_refused() -> None:
    row = ROW._replace(date=date(2013, 3, 10), scheduled_departure=150)
    with pytest.raises(RowError, match="2:30, which they are put forward over"):
        flight_of(row)


def test_an_arrival_before_the_departure_is_refused() -> None:
    with pytest.raises(RowError, match="expected an arrival after"):
        flight_of(ROW._replace(arrival_delay=-300))


def test_a_row_is_shifted_by_years_unless_that_year_has_no_such_day() -> None:
    assert shifted(ROW, 0) == ROW
    assert shifted(ROW, 3) == ROW._replace(date=date(2016, 1, 1))
    leap_day = ROW._replace(date=date(2016, 2, 29))
    assert shifted(leap_day, 4) == leap_day._replace(date=date(2020, 2, 29))
    assert shifted(leap_day, 1) is None


def test_a_flight_leaves_once() -> None:
    flight = flight_of(ROW)
    with pytest.raises(ValueError, match="has left or ended"):
        flight.depart(5)
    with pytest.raises(ValueError, match="has left or ended"):
        flight.cancel()


def test_a_flight_arrives_once_and_only_after_it_left() -> None:
    arrived = flight_of(ROW)
    with pytest.raises(ValueError, match="in the air"):
        arrived.arrive(utc(20), delay=None, air_time=None)
    cancelled = flight_of(ROW._replace(departure_delay=None, arrival=None, arrival_delay=None))
    with pytest.raises(ValueError, match="in the air"):
        cancelled.arrive(utc(20), delay=None, air_time=None)


def test_a_flight_that_is_not_in_the_timetable_does_not_leave() -> None:
    with pytest.raises(ValueError, match="in the timetable"):
        Flight("UA-1-2013-01-01-EWR").depart(0)
