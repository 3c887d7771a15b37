"""Shows how far things have come: bars on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES: Final = 5.0


class Tell(Protocol):
    """To be told, as often as wanted, how much of ``total`` is done of what ``title`` names."""

    def __call__(self, title: str, done: int, total: int) -> None:
        """Tell how much is done."""
        ...


@contextmanager
def shown(console: Console, unit: str) -> Generator[Tell]:
    """Shows the progress of what it is told of; bars vanish at the end."""
    if not console.is_terminal:
        yield _Lines(console, unit)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        yield _Bars(progress)


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, title: str, done: int, total: int) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title)
        self._progress.update(self._tasks[title], completed=done, total=total)


class _Lines:
    def __init__(self, console: Console, unit: str) -> None:
        self._console, self._unit = console, unit
        self._last = time.monotonic()

    def __call__(self, title: str, done: int, total: int) -> None:
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._console.print(f"{title}: {done:,} of {total:,} {self._unit}")
