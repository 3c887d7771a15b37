"""The flights example from end to end, each stage with what it took.

1. *Append* every flight of the file, each as one append of its one to three events.
2. *Project* every read model, to the end of the log.
3. *Show* what a person wants to see.
4. *Rebuild* one read model beside the live one, and switch.
5. *Check* every figure against the file.
"""

import time
from pathlib import Path
from typing import Final

from rich.console import Console

from foldlog import progress
from foldlog.app import App
from foldlog.demo.flights import workers
from foldlog.demo.flights.check import PUBLISHED_CANCELLATIONS, Checked
from foldlog.demo.flights.files import shipped_flights
from foldlog.demo.flights.loader import Loaded, count_rows, load
from foldlog.demo.flights.read_models import PunctualityByRoute
from foldlog.demo.flights.show import show
from projections.progress import Progress

REBUILT: Final = PunctualityByRoute.name
"""The read model that is rebuilt."""

LISTED: Final = 20
"""Refused rows that are listed; the others are counted."""


class Tour:
    """The stages, on an application that is open, for one file."""

    def __init__(self, app: App, console: Console, path: Path, *, years: int) -> None:
        self._app, self._console, self._path, self._years = app, console, path, years
        self._loaded = Loaded()

    def run(self) -> bool:
        """Go through all stages; whether every row went in and every figure is right."""
        self.append()
        self.project()
        show(self._console, self._app.engine)
        self.rebuild()
        return self.check() and not self._loaded.refusals

    @property
    def example(self) -> str:
        """The id of the file's first flight."""
        return self._loaded.first

    def append(self) -> None:
        """Append the flights, and say what became of the rows."""
        total = count_rows(self._path) * self._years
        with progress.shown(self._console, "flights") as tell:
            self._loaded = load(
                self._app.store,
                self._path,
                years=self._years,
                progress=lambda done: tell("Appending", done, total),
            )
        self._tell_loaded(self._loaded)
        self._tell_refusals(self._loaded)

    def project(self) -> None:
        """Bring every read model to the end of the log."""
        started = time.perf_counter()
        last: dict[str, Progress] = {}
        with progress.shown(self._console, "records") as tell:

            def listen(moment: Progress) -> None:
                last[moment.projection] = moment
                tell(f"Projecting {moment.projection}", moment.done, moment.total)

            workers.catch_up(tuple(self._app.projections), listen)
        for name, moment in last.items():
            self._say(f"Projected {name}: {_rate(moment.done, 'records', moment.seconds)}.")
        seconds = time.perf_counter() - started
        self._say(f"All read models are up to date ({seconds:.1f} s).")

    def rebuild(self) -> None:
        """Replay one read model beside the live one, and switch to it."""
        with progress.shown(self._console, "records") as tell:
            rebuilt = self._app.rebuild(
                REBUILT,
                lambda moment: tell(f"Rebuilding {REBUILT}", moment.done, moment.total),
                drop_old=True,
            )
        self._say(
            f"Rebuilt {REBUILT} beside the live one: "
            f"{_rate(rebuilt.records, 'records', rebuilt.seconds)}; "
            f"the switch took {rebuilt.switch_milliseconds:.1f} ms."
        )

    def check(self) -> bool:
        """Compare every figure with the file; whether all are right."""
        started = time.perf_counter()
        refused = [(refusal.years, refusal.line) for refusal in self._loaded.refusals]
        checked = workers.checked(self._path, self._years, refused)
        self._tell_checked(checked, time.perf_counter() - started)
        return not checked.differences

    def _tell_loaded(self, loaded: Loaded) -> None:
        if loaded.flights:
            rate = _rate(loaded.events, "events", loaded.seconds)
            self._say(f"Appended {loaded.flights:,} flights: {rate}.")
        if loaded.repeated_flights:
            self._say(
                f"{loaded.repeated_flights:,} flights ({loaded.repeated_events:,} events) are in "
                f"the log already: nothing was appended for them ({loaded.seconds:.1f} s)."
            )

    def _tell_refusals(self, loaded: Loaded) -> None:
        for years, line, reason in loaded.refusals[:LISTED]:
            later = f", {years} years later" if years else ""
            self._say(f"Refused line {line}{later}: {reason}.")
        if len(loaded.refusals) > LISTED:
            self._say(f"… and {len(loaded.refusals) - LISTED:,} refused lines more.")

    def _tell_checked(self, checked: Checked, seconds: float) -> None:
        for found in checked.differences:
            self._say(
                f"{found.read_model} of {found.month} is not what {self._path.name} says: "
                f"{found.missing:,} rows missing, {found.surplus:,} too many, "
                f"{found.differing:,} different"
            )
            for example in found.examples:
                self._say(f"    {example}")
        if checked.differences:
            self._say("A log that also holds flights of another file needs a folder of its own.")
            return
        published = ""
        if self._path == shipped_flights():
            published = f"; among them the {PUBLISHED_CANCELLATIONS:,} that never departed"
        self._say(
            f"Checked {checked.figures:,} figures in {checked.rows:,} rows against "
            f"{self._path.name}: all are equal{published} ({seconds:.1f} s)."
        )

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _rate(count: int, unit: str, seconds: float) -> str:
    per_second = count / seconds if seconds else 0.0
    return f"{count:,} {unit} in {seconds:.1f} s, {per_second:,.0f}/s"
