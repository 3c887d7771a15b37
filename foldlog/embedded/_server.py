"""What the supervisor asks of a server, Kafka or PostgreSQL alike."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Command:
    """A program, its arguments, the folder it stands in, the user it runs as (None: ours)."""

    argv: list[str]
    folder: Path | None = None
    user: int | None = None


class Server(Protocol):
    """One server: how it is prepared, started, asked whether it is ready, and stopped."""

    name: str
    stop_signal: signal.Signals
    discard_signal: signal.Signals
    """Stops it at once, when its data is thrown away."""

    def prepare(self, run: Callable[[Command], None]) -> None:
        """Make its data if there is none; `run` runs a command to its end."""

    def command(self) -> Command:
        """What to start; called after `prepare`."""
        ...

    def answer(self) -> str | None:
        """Its version once it serves, None before."""

    def clean_up(self) -> None:
        """Remove what it needs only while it runs."""
