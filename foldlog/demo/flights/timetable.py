"""Makes flights of rows: local clock times become instants, and the row's story is told.

1. Left = scheduled departure + delay.
2. Arrived = scheduled arrival + delay, the scheduled arrival being the first instant after the
   scheduled departure at which clocks at the destination show its time.
3. Without a delay, arrived = the first instant after it left that shows the arrival's time.
"""

from datetime import date

from foldlog.demo.flights.aggregate import Flight, FlightScheduled
from foldlog.demo.flights.airports import zone_of
from foldlog.demo.flights.errors import RowError
from foldlog.demo.flights.source import FlightRow
from foldlog.demo.flights.times import instant_of, moment, next_showing


def flight_of(row: FlightRow) -> Flight:
    """The flight that a row tells of, with its one to three events recorded.

    Raises:
        RowError: An airport is not known, or the times contradict each other.
    """
    departs = _instant(row, row.scheduled_departure)
    arrives = next_showing(zone_of(row.destination), departs, row.scheduled_arrival)
    plan = FlightScheduled(
        carrier=row.carrier,
        number=row.number,
        date=row.date,
        origin=row.origin,
        destination=row.destination,
        tail_number=row.tail_number,
        departs=moment(departs),
        arrives=moment(arrives),
        distance=row.distance,
    )
    flight = Flight.schedule(plan, at=moment(_instant(row, 0)))
    if row.departure_delay is None:
        flight.cancel()
        return flight
    flight.depart(row.departure_delay)
    if row.arrival is not None:
        arrived = _arrival(row, row.arrival, departs + row.departure_delay, arrives)
        try:
            flight.arrive(moment(arrived), delay=row.arrival_delay, air_time=row.air_time)
        except ValueError as error:
            raise RowError(str(error)) from error
    return flight


def shifted(row: FlightRow, years: int) -> FlightRow | None:
    """The row ``years`` later; None where that year has no such day (29 February)."""
    if years == 0:
        return row
    try:
        return row._replace(date=_later(row.date, years))
    except ValueError:
        return None


def _later(day: date, years: int) -> date:
    return day.replace(year=day.year + years)


def _instant(row: FlightRow, clock: int) -> int:
    instant = instant_of(zone_of(row.origin), row.date.toordinal(), clock)
    if instant is None:
        raise RowError(
            f"expected a time that clocks at {row.origin} show on {row.date}; found "
            f"{clock // 60}:{clock % 60:02}, which they are put forward over"
        )
    return instant


def _arrival(row: FlightRow, shown: int, departed: int, arrives: int) -> int:
    if row.arrival_delay is None:
        return next_showing(zone_of(row.destination), departed, shown)
    return arrives + row.arrival_delay
