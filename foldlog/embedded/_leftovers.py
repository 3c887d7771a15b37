"""Servers that outlived their supervisor: found by the marker on their command line, and ended."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from foldlog.embedded._folder import marker

_PATIENCE = 20.0


def servers_of(data: Path) -> dict[int, str]:
    """The pids of every server process of this folder that runs now, each with its program."""
    mark = marker(data.resolve())
    return {pid: program for pid, program, line in _programs() if mark in line}


def end_leftovers(data: Path) -> None:
    """End every server of this folder; call it only while holding the folder's lock."""
    deadline = time.monotonic() + _PATIENCE
    asked: set[int] = set()
    while left := servers_of(data):
        for pid, program in left.items():
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
            elif pid not in asked:
                # PostgreSQL: the fast shutdown; to a lone backend it cancels a query.
                _signal(pid, signal.SIGTERM if program == "java" else signal.SIGINT)
                asked.add(pid)
        time.sleep(0.05)
    _forget_postmaster(data / "postgres" / "postmaster.pid")


def _forget_postmaster(file: Path) -> None:
    # Its process is gone, but its number may by now be another's, which PostgreSQL would respect.
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    file.unlink()
    sockets = Path(lines[4]) if len(lines) > 4 else None  # noqa: PLR2004 (the file's fifth line)
    if sockets and sockets.name.startswith("foldlog-") and sockets.parent == socket_parent():
        shutil.rmtree(sockets, ignore_errors=True)


def socket_parent() -> Path:
    """Where socket folders are made: a short path, since a socket's holds 107 bytes at most."""
    short = Path("/tmp")  # noqa: S108 (mkdtemp makes the folder itself)
    return short if os.access(short, os.W_OK) else Path(tempfile.gettempdir())


def _programs() -> Iterator[tuple[int, str, str]]:
    """Pid, program and command line of what may be a server of ours."""
    for pid, words in _command_lines():
        # PostgreSQL's own children call themselves "postgres: NAME: what they do".
        program = "postgres" if words[0].startswith("postgres:") else Path(words[0]).name
        if program in {"java", "postgres"}:
            yield pid, program, " ".join(words)


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    processes = Path("/proc")
    if not (processes / "self" / "cmdline").exists():
        yield from _command_lines_by_ps()
        return
    for entry in processes.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                yield int(entry.name), [os.fsdecode(word) for word in words]


def _command_lines_by_ps() -> Iterator[tuple[int, list[str]]]:
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="],  # noqa: S607 (it stands elsewhere on each system)
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command.split() or [""]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
