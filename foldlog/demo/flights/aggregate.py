"""A flight: planned, then it leaves and arrives, or is cancelled.

Each event repeats the route, the aircraft and the local date, since a read model sees one
event at a time. Each is dated when it happened. When a flight was put into the timetable is
not on record: that is dated at the start of its day where it leaves from, when the day's
timetable stands; and a cancellation at the time at which the flight should have left.
"""

from datetime import date, datetime, timedelta
from typing import Final, Self, TypeAlias, assert_never

from pydantic import AwareDatetime

from eventstore.aggregates import Aggregate
from eventstore.events import Event

LATE: Final = 15
"""Minutes: a flight with a longer delay counts as late, as the US authorities count."""


class FlightScheduled(Event, name="flight_scheduled"):
    """A flight is in the timetable."""

    carrier: str
    number: int
    date: date
    """The local date of the scheduled departure."""
    origin: str
    destination: str
    tail_number: str | None
    departs: AwareDatetime
    arrives: AwareDatetime
    distance: int
    """Miles."""


class FlightDeparted(Event, name="flight_departed"):
    """A flight left."""

    carrier: str
    date: date
    origin: str
    destination: str
    tail_number: str | None
    delay: int
    """Minutes after the scheduled departure; negative: before."""


class FlightArrived(Event, name="flight_arrived"):
    """A flight arrived."""

    carrier: str
    date: date
    origin: str
    destination: str
    tail_number: str | None
    delay: int | None
    """Minutes after the scheduled arrival; None: not on record."""
    air_time: int | None
    """Minutes in the air; None: not on record."""


class FlightCancelled(Event, name="flight_cancelled"):
    """A flight never left."""

    carrier: str
    date: date
    origin: str
    destination: str
    tail_number: str | None
    departs: AwareDatetime
    """When it should have left."""


FlightEvent: TypeAlias = FlightScheduled | FlightDeparted | FlightArrived | FlightCancelled


def flight_id(carrier: str, number: int, day: date, origin: str) -> str:
    """A flight's stream id, such as ``UA-1545-2013-01-01-EWR``.

    The origin is part of it, since a flight number may name several legs of a day.
    """
    return f"{carrier}-{number}-{day}-{origin}"


class Flight(Aggregate[FlightEvent], topic="flights"):
    """One flight of one day."""

    plan: FlightScheduled | None = None
    departed: datetime | None = None
    ended: bool = False
    """It arrived, or was cancelled."""

    @classmethod
    def schedule(cls, plan: FlightScheduled, *, at: datetime) -> Self:
        """A new flight, in the timetable since ``at``."""
        flight = cls(flight_id(plan.carrier, plan.number, plan.date, plan.origin))
        flight.record(plan, at=at)
        return flight

    def depart(self, delay: int) -> datetime:
        """It leaves, ``delay`` minutes after the scheduled time; returns when that is."""
        plan = self._planned()
        if self.departed is not None or self.ended:
            raise ValueError(f"expected a flight that has not left; {self.id} has left or ended")
        at = plan.departs + timedelta(minutes=delay)
        event = FlightDeparted(
            carrier=plan.carrier,
            date=plan.date,
            origin=plan.origin,
            destination=plan.destination,
            tail_number=plan.tail_number,
            delay=delay,
        )
        self.record(event, at=at)
        return at

    def arrive(self, at: datetime, *, delay: int | None, air_time: int | None) -> None:
        """It arrives at ``at``; delay and time in the air, in minutes, where they are known."""
        plan = self._planned()
        if self.departed is None or self.ended:
            raise ValueError(f"expected a flight in the air; {self.id} has not left or has ended")
        if at <= self.departed:
            raise ValueError(f"expected an arrival after {self.departed}; found {at}")
        event = FlightArrived(
            carrier=plan.carrier,
            date=plan.date,
            origin=plan.origin,
            destination=plan.destination,
            tail_number=plan.tail_number,
            delay=delay,
            air_time=air_time,
        )
        self.record(event, at=at)

    def cancel(self) -> None:
        """It never leaves."""
        plan = self._planned()
        if self.departed is not None or self.ended:
            raise ValueError(f"expected a flight that has not left; {self.id} has left or ended")
        event = FlightCancelled(
            carrier=plan.carrier,
            date=plan.date,
            origin=plan.origin,
            destination=plan.destination,
            tail_number=plan.tail_number,
            departs=plan.departs,
        )
        self.record(event, at=plan.departs)

    def apply(self, event: FlightEvent) -> None:
        """Fold an event into what the decisions above need."""
        match event:
            case FlightScheduled():
                self.plan = event
            case FlightDeparted(delay=delay):
                self.departed = self._planned().departs + timedelta(minutes=delay)
            case FlightArrived() | FlightCancelled():
                self.ended = True
            case _:
                assert_never(event)

    def _planned(self) -> FlightScheduled:
        if self.plan is None:
            raise ValueError(f"expected a flight in the timetable; {self.id} is not")
        return self.plan
