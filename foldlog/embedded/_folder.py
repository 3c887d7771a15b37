"""A data folder: what lies where in it, whose it is now, and how it is told from others."""

import fcntl
import hashlib
import os
import time
from pathlib import Path
from typing import IO

from foldlog.embedded._cache import make_folder
from foldlog.embedded.errors import FolderInUse, FolderNotUsable

# A supervisor whose parent was killed needs this long to end its servers, at most.
_SECONDS_FOR_A_DEAD_OWNER = 30.0


def marker(data: Path) -> str:
    """A word on the command line of each server of this folder, and of no other."""
    return "foldlog-" + hashlib.sha256(os.fsencode(data)).hexdigest()[:16]


def server_log(data: Path, server: str) -> Path:
    """Where this server's output goes."""
    return data / "logs" / f"{server.lower()}.log"


def tail(log: Path, lines: int = 30) -> str:
    """The last lines of a log, or a word that there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


def lock(data: Path) -> IO[str]:
    """Take the folder, making it first; it is free again when every holder of the file is gone.

    The lock belongs to the open file and not to its name, so no kill leaves a stale one.

    Raises:
        FolderInUse: a living process holds it.
        FolderNotUsable: it cannot be made or written.
    """
    make_folder(data)
    try:
        if not any(data.iterdir()):
            (data / ".gitignore").write_text("*\n", encoding="utf-8")
        (data / "logs").mkdir(exist_ok=True)
        file = (data / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise FolderNotUsable(data, error.strerror or str(error)) from error
    deadline = time.monotonic() + _SECONDS_FOR_A_DEAD_OWNER
    while not _try_to_lock(file):
        owner = _owner(file)
        if owner is None or _lives(owner) or time.monotonic() > deadline:
            file.close()
            raise FolderInUse(data, owner)
        time.sleep(0.1)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _try_to_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(file: IO[str]) -> int | None:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
