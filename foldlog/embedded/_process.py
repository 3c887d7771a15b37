"""Processes by pid, also those that are not our children: alive, whose, and ended.

A pid file holds the pid and a path that the process's command line contains, so that a pid that
was given to another process since is never taken for ours.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 20


def alive(pid: int) -> bool:
    """Whether a process has this pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_line(pid: int) -> str:
    """The command line of a process; empty when it is gone or only waits to be reaped."""
    proc = Path("/proc")
    if (proc / "self").exists():
        try:
            return (proc / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ")
        except OSError:
            return ""
    ps = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603


def write_pid(file: Path, pid: int, marker: str) -> None:
    """Leave the pid of a server for the next start, should this one be killed."""
    file.write_text(f"{pid}\n{marker}\n", encoding="utf-8")


def end_left_over(file: Path, gentle: signal.Signals) -> None:
    """End the server of this pid file if it still runs, and remove the file."""
    with suppress(OSError, ValueError):
        pid, marker = file.read_text(encoding="utf-8").splitlines()
        if marker in command_line(int(pid)):
            _end(int(pid), marker, gentle)
    file.unlink(missing_ok=True)


def _end(pid: int, marker: str, gentle: signal.Signals) -> None:
    for sign, seconds in ((gentle, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if marker not in command_line(pid):
                return
            time.sleep(_POLL_SECONDS)
