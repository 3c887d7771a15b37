"""Where the embedded stack keeps what it fetched: one folder per user."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from foldlog.embedded.errors import FolderNotWritable


def folder() -> Path:
    """``FOLDLOG_CACHE``, else ``foldlog`` in ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if chosen := os.environ.get("FOLDLOG_CACHE"):
        return Path(chosen).absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "foldlog"


def made(path: Path) -> Path:
    """This folder, made if it was not there.

    Raises:
        FolderNotWritable: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderNotWritable(path, error.strerror or str(error)) from error
    return path


@contextmanager
def locked(path: Path) -> Generator[None]:
    """One process at a time in this block; the lock ends with its process, so it is never stale."""
    made(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FolderNotWritable(path.parent, error.strerror or str(error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
