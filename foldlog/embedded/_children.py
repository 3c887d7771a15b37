"""The supervisor's child processes: started, waited for until they answer, stopped."""

import contextlib
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from foldlog.embedded._binaries import group_of
from foldlog.embedded._folder import server_log
from foldlog.embedded._plan import Plan
from foldlog.embedded._server import Command, Server

_ASK_EVERY = 0.05
_PATIENCE = 20.0
_LOG_BYTES = 10_000_000


@dataclass
class Failed(Exception):
    """A server, or what prepares it, ended by itself, or did not answer in time (`late`)."""

    server: str
    exit_code: int | None
    late: bool = False


class Stopping(Exception):
    """The stack is being stopped while it starts."""


class Children:
    """All child processes of one supervisor; `stopping` is set when no more may start."""

    def __init__(self, plan: Plan) -> None:
        self.stopping = threading.Event()
        self._plan = plan
        self._lock = threading.Lock()
        self._running: list[tuple[Server, subprocess.Popen[bytes]]] = []

    def start(self, server: Server) -> str:
        """Prepare and start a server, wait until it answers, and return its version."""
        log = server_log(self._plan.data, server.name)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".1.log"))
        server.prepare(lambda command: self._run(server, command, log))
        process = self._spawn(server, server.command(), log)
        deadline = time.monotonic() + self._plan.seconds_to_start
        while (version := server.answer()) is None:
            if self.stopping.wait(_ASK_EVERY):
                raise Stopping
            if process.poll() is not None:
                raise Failed(server.name, process.returncode)
            if time.monotonic() > deadline:
                raise Failed(server.name, None, late=True)
        if process.poll() is not None:  # somebody else's server answers on that port
            raise Failed(server.name, process.returncode)
        return version

    def ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal: let nothing more start, and end."""
        self.stopping.set()

    def look(self) -> Failed | None:
        """The first child that has ended by itself, if any."""
        for server, process in self._running:
            if process.poll() is not None:
                return Failed(server.name, process.returncode)
        return None

    def give_up(self) -> None:
        """Let nothing more start, and end what is starting."""
        self.stopping.set()
        with self._lock:
            for server, process in self._running:
                _signal(process, server.stop_signal)

    def stop(self, *, discard: bool) -> None:
        """End all children: cleanly and in patience, or at once when their data is thrown away."""
        self.stopping.set()
        with self._lock:
            for server, process in self._running:
                _signal(process, server.discard_signal if discard else server.stop_signal)
            for _server, process in self._running:
                try:
                    process.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def _run(self, server: Server, command: Command, log: Path) -> None:
        process = self._spawn(server, command, log)
        exit_code = process.wait()
        if self.stopping.is_set():
            raise Stopping
        if exit_code:
            raise Failed(server.name, exit_code)
        with self._lock:
            self._running.remove((server, process))

    def _spawn(self, server: Server, command: Command, log: Path) -> subprocess.Popen[bytes]:
        user = command.user
        with self._lock, log.open("ab") as out:
            if self.stopping.is_set():
                raise Stopping
            process = subprocess.Popen(  # noqa: S603 (our own plan)
                command.argv,
                cwd=command.folder or self._plan.data,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                user=user,
                group=None if user is None else group_of(user),
                extra_groups=None if user is None else [],
            )
            self._running.append((server, process))
        return process


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
