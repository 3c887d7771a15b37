"""Where fetched and copied files are kept between runs, and how processes take turns there."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from foldlog.embedded.errors import FolderNotUsable


def cache_folder() -> Path:
    """The cache: `FOLDLOG_CACHE`, else `foldlog` in `XDG_CACHE_HOME` or `~/.cache`."""
    if given := os.environ.get("FOLDLOG_CACHE"):
        return Path(given).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "foldlog"


def make_folder(folder: Path) -> Path:
    """Make the folder and its parents; raises FolderNotUsable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderNotUsable(folder, error.strerror or str(error)) from error
    return folder


@contextmanager
def one_at_a_time(folder: Path) -> Generator[None]:
    """Hold the folder's lock, waiting for whoever holds it; it dies with its process."""
    make_folder(folder)
    try:
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise FolderNotUsable(folder, error.strerror or str(error)) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(folder: Path) -> Generator[Path]:
    """A folder to make things in that are then moved into this one; hold `one_at_a_time` for it."""
    for stale in folder.glob(".scratch-*"):  # its maker was killed, since the lock is ours
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".scratch-") as made:
        yield Path(made)
