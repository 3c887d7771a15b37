"""Appends the flights of a file to the log: each once, however often it is run.

1. Read a row, and make a flight of it.
2. Submit it with an append id that is made of what the row says: repeated, it appends nothing.
3. While more than `IN_FLIGHT` answers are awaited, settle the oldest.
4. Rows refused by a rule, or by what the log already holds, are listed; the rest goes in.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from eventstore.collector import uncollected
from eventstore.defaults import APPENDS_IN_FLIGHT
from eventstore.errors import ConcurrencyError, UnknownOutcome
from eventstore.repository import Repository
from eventstore.store import Appended, EventStore
from foldlog.demo.flights.aggregate import Flight
from foldlog.demo.flights.errors import RowError
from foldlog.demo.flights.files import BLOCK, open_bytes
from foldlog.demo.flights.source import FlightRow, Rejected, read
from foldlog.demo.flights.timetable import flight_of, shifted

NAMESPACE: Final = UUID("6f5b0f0e-6f0d-5a1c-9d0e-666c69676874")
"""Of the append ids. Never changed: a log that has them would get each flight again."""

IN_FLIGHT: Final = APPENDS_IN_FLIGHT
"""Answers awaited at most."""

TRIES: Final = 6
PAUSE: Final = 0.5
"""Seconds before an append of unknown outcome is repeated, doubled each time."""

ROWS_PER_BLOCK: Final = 1_000
"""Rows read at once; the garbage collector, which took a third of the time, runs in between."""


class Refusal(NamedTuple):
    """A row that was left out, of the file as it was repeated ``years`` later."""

    years: int
    line: int
    reason: str


@dataclass(slots=True)
class Loaded:
    """What became of a file."""

    flights: int = 0
    """Flights appended now."""
    events: int = 0
    """Events appended now."""
    repeated_flights: int = 0
    """Flights that the log held already, with the same facts."""
    repeated_events: int = 0
    refusals: list[Refusal] = field(default_factory=list[Refusal])
    first: str = ""
    """The stream of the first flight that was submitted."""
    seconds: float = 0.0


class _Sent(NamedTuple):
    """An append whose answer is awaited."""

    years: int
    row: FlightRow
    append_id: UUID
    events: int
    future: "Future[Appended]"


def count_rows(path: Path) -> int:
    """About how many rows a file has, for a progress bar: its line breaks but one."""
    with open_bytes(path) as binary:
        lines = sum(block.count(b"\n") for block in iter(lambda: binary.read(BLOCK), b""))
    return max(lines - 1, 0)


def append_id_of(row: FlightRow) -> UUID:
    """The append id of a row: the same for the same facts, wherever they stand in a file."""
    return uuid5(NAMESPACE, "|".join(map(str, row[1:])))


def load(
    store: EventStore,
    path: Path,
    *,
    years: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Loaded:
    """Append every flight of a file, ``years`` times over, each time a year later.

    ``progress`` is told the rows done so far, every `ROWS_PER_BLOCK` rows.

    Raises:
        SourceError: The file cannot be read, or lacks a column.
        UnknownOutcome: The store did not answer for half a minute; run it again to go on.
    """
    return _Loading(store, progress).run(path, years)


class _Loading:
    """One run of `load`: what was sent, and what came back."""

    def __init__(self, store: EventStore, progress: Callable[[int], None] | None) -> None:
        self._store = store
        self._repository = Repository(store, Flight)
        self._progress = progress
        self._sent: deque[_Sent] = deque()
        self._loaded = Loaded()

    def run(self, path: Path, years: int) -> Loaded:
        started = time.perf_counter()
        rows, done = _repeated(path, years), 0
        while block := list(islice(rows, ROWS_PER_BLOCK)):
            with uncollected():
                for shift, row in block:
                    self._take(shift, row)
            done += len(block)
            if self._progress is not None:
                self._progress(done)
        while self._sent:
            self._settle(self._sent.popleft())
        self._loaded.seconds = time.perf_counter() - started
        return self._loaded

    def _take(self, years: int, row: FlightRow | Rejected) -> None:
        if isinstance(row, Rejected):
            self._refuse(years, row.line, row.reason)
        else:
            self._send(years, row)
        if len(self._sent) > IN_FLIGHT:
            self._settle(self._sent.popleft())

    def _send(self, years: int, row: FlightRow) -> None:
        try:
            flight = flight_of(row)
        except RowError as error:
            self._refuse(years, row.line, str(error))
            return
        self._loaded.first = self._loaded.first or flight.id
        append_id, events = append_id_of(row), len(flight.pending)
        future = self._repository.submit(flight, append_id=append_id)
        self._sent.append(_Sent(years, row, append_id, events, future))

    def _settle(self, sent: _Sent) -> None:
        try:
            appended = self._answer(sent)
        except ConcurrencyError as error:
            self._settle_conflict(sent, error)
        else:
            self._count(sent, repeated=appended.repeated)

    def _settle_conflict(self, sent: _Sent, error: ConcurrencyError) -> None:
        """The log has this flight; after some days its append id is known by the head alone."""
        head = self._store.head(Flight.topic, error.stream)
        if head is not None and head.append_id == sent.append_id:
            self._count(sent, repeated=True)
            return
        self._refuse(
            sent.years,
            sent.row.line,
            f"expected a flight that is new, or as the log has it; found other facts of "
            f"{error.stream} in the log",
        )

    def _answer(self, sent: _Sent) -> Appended:
        """The answer; where the outcome is unknown, of the same append submitted again."""
        future = sent.future
        for attempt in range(TRIES):
            try:
                return future.result()
            except UnknownOutcome:
                time.sleep(PAUSE * 2**attempt)
                flight = flight_of(sent.row)
                future = self._repository.submit(flight, append_id=sent.append_id)
        return future.result()

    def _count(self, sent: _Sent, *, repeated: bool) -> None:
        if repeated:
            self._loaded.repeated_flights += 1
            self._loaded.repeated_events += sent.events
        else:
            self._loaded.flights += 1
            self._loaded.events += sent.events

    def _refuse(self, years: int, line: int, reason: str) -> None:
        self._loaded.refusals.append(Refusal(years, line, reason))


def _repeated(path: Path, years: int) -> Iterator[tuple[int, FlightRow | Rejected]]:
    for shift in range(years):
        for row in read(path):
            later = row if isinstance(row, Rejected) else shifted(row, shift)
            if later is not None:
                yield shift, later
