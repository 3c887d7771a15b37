"""One server under the supervisor: its preparations, its process, its log and its end."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from foldlog.embedded import _process
from foldlog.embedded._plan import Plan

_POLL_SECONDS = 0.02
_READY_SECONDS = 120
_STOP_SECONDS = 30


class Stopping(Exception):  # noqa: N818 - not an error: the parent asked to stop, or died
    """The parent is gone: whatever is being started is given up."""


class NotRunning(Exception):  # noqa: N818 - the parent raises it as ServerFailed
    """A server did not come up, or died."""

    def __init__(self, server: str, why: str) -> None:
        self.server, self.why = server, why
        super().__init__(f"{server} {why}")


class Server:
    """A server's processes, one after the other: what prepares it, then itself."""

    def __init__(
        self, name: str, plan: Plan, *, end: signal.Signals, user: str | None, gone: threading.Event
    ) -> None:
        self.name = name
        self.log = plan.logs / f"{name}.log"
        self.pid_file = plan.run / f"{name}.pid"
        self._end, self._user, self._gone = end, user, gone
        self._process: subprocess.Popen[bytes] | None = None

    def open_log(self) -> None:
        """Begin a new log; the one before is kept beside it."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    def run(self, command: Sequence[str], what: str) -> None:
        """Run a preparation to its end."""
        with self.log.open("ab") as log:
            process = self._spawn(command, log)
        try:
            while (code := process.poll()) is None:
                if self._gone.wait(_POLL_SECONDS):
                    raise Stopping
        finally:
            process.kill()
            process.wait()
        if code:
            raise NotRunning(self.name, f"could not be prepared: {what} ended with {code}")

    def start(self, command: Sequence[str], marker: str) -> None:
        """Start the server itself; its pid file is there from then on."""
        with self.log.open("ab") as log:
            self._process = self._spawn(command, log)
        _process.write_pid(self.pid_file, self._process.pid, marker)

    def wait_ready(self, ready: Callable[[], bool]) -> None:
        """Wait until it answers, it died, or the parent is gone."""
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise NotRunning(self.name, f"did not answer within {_READY_SECONDS} s")
            if self._gone.wait(_POLL_SECONDS):
                raise Stopping

    def check(self) -> None:
        """Raise if the server has ended."""
        if self._process is not None and (code := self._process.poll()) is not None:
            raise NotRunning(self.name, f"ended with {code}")

    def ask_to_end(self) -> None:
        """Ask the server to stop, without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._end)

    def wait_ended(self) -> None:
        """Wait for the end; kill what does not come to it."""
        if self._process is not None:
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self.pid_file.unlink(missing_ok=True)

    def _spawn(self, command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        alone = [] if self._user else None
        return subprocess.Popen(  # noqa: S603 - our own commands
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path("/"),
            user=self._user,
            group=_group(self._user),
            extra_groups=alone,
        )


def _group(user: str | None) -> int | None:
    if user is None:
        return None
    import pwd  # noqa: PLC0415 - not everywhere

    return pwd.getpwnam(user).pw_gid
