"""What people ask of flights: who is punctual, where did an aircraft fly, what was cancelled.

`PunctualityByCarrier` and `PunctualityByRoute` count, so that the order between partitions,
which meet in one row, does not matter. `AircraftHistory` keeps a row for each flight, which
belongs to one partition. `Cancellations` is written in SQL, and reads one kind of event only.
"""

from datetime import date, datetime
from operator import add
from typing import Final, NamedTuple, assert_never

import sqlalchemy as sa

from eventstore.store import Recorded
from foldlog.demo.flights.aggregate import (
    LATE,
    Flight,
    FlightArrived,
    FlightCancelled,
    FlightDeparted,
    FlightEvent,
    FlightScheduled,
)
from projections.projection import RowProjection, SqlProjection

metadata = sa.MetaData()


class Counts(NamedTuple):
    """What is counted of a month; sums of delays are minutes, an early flight's negative."""

    flights: int = 0
    """Flights in the timetable."""
    cancelled: int = 0
    """Those that never left."""
    departed: int = 0
    """Those that left."""
    departed_late: int = 0
    """Those that left more than `LATE` minutes after their time."""
    departure_delay: int = 0
    """The sum of the delays of those that left."""
    arrived: int = 0
    """Those that arrived."""
    arrivals_timed: int = 0
    """Those that arrived and whose delay is on record."""
    arrived_late: int = 0
    """Those that arrived more than `LATE` minutes after their time."""
    arrival_delay: int = 0
    """The sum of the delays on record."""


NOTHING: Final = Counts()


def counts(event: FlightEvent) -> Counts:
    """What one event adds."""
    match event:
        case FlightScheduled():
            return Counts(flights=1)
        case FlightDeparted(delay=delay):
            return Counts(departed=1, departed_late=delay > LATE, departure_delay=delay)
        case FlightArrived(delay=delay):
            if delay is None:
                return Counts(arrived=1)
            late = delay > LATE
            return Counts(arrived=1, arrivals_timed=1, arrived_late=late, arrival_delay=delay)
        case FlightCancelled():
            return Counts(cancelled=1)
        case _:
            assert_never(event)


def _columns() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in Counts._fields]


class CarrierMonth(NamedTuple):
    """How punctual a carrier was in a month; `Counts` says what is counted."""

    carrier: str
    month: date
    """Its first day."""
    flights: int
    cancelled: int
    departed: int
    departed_late: int
    departure_delay: int
    arrived: int
    arrivals_timed: int
    arrived_late: int
    arrival_delay: int


punctuality_by_carrier = sa.Table(
    "punctuality_by_carrier",
    metadata,
    sa.Column("carrier", sa.Text, primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),
    *_columns(),
)


class PunctualityByCarrier(RowProjection[FlightEvent, CarrierMonth]):
    """Punctuality by carrier and month."""

    name = "punctuality_by_carrier"
    version = 1
    aggregates = (Flight,)
    table = punctuality_by_carrier

    def key(self, recorded: Recorded[FlightEvent]) -> tuple[str, date]:
        """The carrier, and the first day of the flight's month."""
        event = recorded.event
        return event.carrier, event.date.replace(day=1)

    def fold(self, row: CarrierMonth | None, recorded: Recorded[FlightEvent]) -> CarrierMonth:
        """Count the event."""
        so_far = NOTHING if row is None else row[2:]
        return CarrierMonth(*self.key(recorded), *map(add, so_far, counts(recorded.event)))


class RouteMonth(NamedTuple):
    """How punctual a route was in a month; `Counts` says what is counted."""

    origin: str
    destination: str
    month: date
    """Its first day."""
    flights: int
    cancelled: int
    departed: int
    departed_late: int
    departure_delay: int
    arrived: int
    arrivals_timed: int
    arrived_late: int
    arrival_delay: int


punctuality_by_route = sa.Table(
    "punctuality_by_route",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("destination", sa.Text, primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),
    *_columns(),
)


class PunctualityByRoute(RowProjection[FlightEvent, RouteMonth]):
    """Punctuality by route and month."""

    name = "punctuality_by_route"
    version = 1
    aggregates = (Flight,)
    table = punctuality_by_route

    def key(self, recorded: Recorded[FlightEvent]) -> tuple[str, str, date]:
        """Origin and destination, and the first day of the flight's month."""
        event = recorded.event
        return event.origin, event.destination, event.date.replace(day=1)

    def fold(self, row: RouteMonth | None, recorded: Recorded[FlightEvent]) -> RouteMonth:
        """Count the event."""
        so_far = NOTHING if row is None else row[3:]
        return RouteMonth(*self.key(recorded), *map(add, so_far, counts(recorded.event)))


class AircraftFlight(NamedTuple):
    """A flight in an aircraft's history."""

    flight: str
    tail_number: str
    carrier: str
    day: date
    origin: str
    destination: str
    scheduled_departure: datetime
    scheduled_arrival: datetime
    distance: int
    departed: datetime | None = None
    """None: it did not leave."""
    arrived: datetime | None = None
    """None: its arrival is not on record."""
    air_time: int | None = None
    cancelled: bool = False


aircraft_history = sa.Table(
    "aircraft_history",
    metadata,
    sa.Column("flight", sa.Text, primary_key=True),
    sa.Column("tail_number", sa.Text, nullable=False),
    sa.Column("carrier", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("scheduled_departure", sa.DateTime(timezone=True), nullable=False),
    sa.Column("scheduled_arrival", sa.DateTime(timezone=True), nullable=False),
    sa.Column("distance", sa.Integer, nullable=False),
    sa.Column("departed", sa.DateTime(timezone=True)),
    sa.Column("arrived", sa.DateTime(timezone=True)),
    sa.Column("air_time", sa.Integer),
    sa.Column("cancelled", sa.Boolean, nullable=False),
    sa.Index("aircraft_history_of", "tail_number", "scheduled_departure"),
)


class AircraftHistory(RowProjection[FlightEvent, AircraftFlight]):
    """Each aircraft's flights; those whose aircraft is not on record are left out."""

    name = "aircraft_history"
    version = 1
    aggregates = (Flight,)
    table = aircraft_history
    key_is_stream = True

    def key(self, recorded: Recorded[FlightEvent]) -> str | None:
        """The flight."""
        return recorded.stream if recorded.event.tail_number is not None else None

    def fold(self, row: AircraftFlight | None, recorded: Recorded[FlightEvent]) -> AircraftFlight:
        """Plan the flight, then fill in what came of it."""
        event = recorded.event
        if isinstance(event, FlightScheduled):
            return _planned(recorded.stream, event)
        if row is None:
            raise ValueError(f"expected {recorded.stream} to be scheduled first; found {event!r}")
        match event:
            case FlightDeparted():
                return row._replace(departed=recorded.at)
            case FlightArrived(air_time=air_time):
                return row._replace(arrived=recorded.at, air_time=air_time)
            case FlightCancelled():
                return row._replace(cancelled=True)
            case _:
                assert_never(event)


def _planned(flight: str, event: FlightScheduled) -> AircraftFlight:
    return AircraftFlight(
        flight=flight,
        tail_number=event.tail_number or "",
        carrier=event.carrier,
        day=event.date,
        origin=event.origin,
        destination=event.destination,
        scheduled_departure=event.departs,
        scheduled_arrival=event.arrives,
        distance=event.distance,
    )


cancellations = sa.Table(
    "cancellations",
    metadata,
    sa.Column("flight", sa.Text, primary_key=True),
    sa.Column("carrier", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("tail_number", sa.Text),
    sa.Column("scheduled_departure", sa.DateTime(timezone=True), nullable=False),
    sa.Index("cancellations_by_day", "day"),
)


class Cancellations(SqlProjection[FlightCancelled]):
    """The flights that never left."""

    name = "cancellations"
    version = 1
    aggregates = (Flight,)
    tables = (cancellations,)
    events = (FlightCancelled,)

    def project(self, db: sa.Connection, recorded: Recorded[FlightCancelled]) -> None:
        """List the flight."""
        event = recorded.event
        db.execute(
            sa.insert(cancellations),
            {
                "flight": recorded.stream,
                "carrier": event.carrier,
                "day": event.date,
                "origin": event.origin,
                "destination": event.destination,
                "tail_number": event.tail_number,
                "scheduled_departure": event.departs,
            },
        )
