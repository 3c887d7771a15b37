"""Kafka's jars: fetched once by their coordinates, checked against pinned SHA-256 sums.

``jars.txt`` holds one line per jar, ``group:artifact:version sha256``; the jars of one Kafka
version lie side by side in the cache, and all of them go on the class path.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from foldlog.embedded import _cache
from foldlog.embedded.errors import (
    ChecksumMismatch,
    DownloadFailed,
    ExtraNotInstalled,
    FolderNotWritable,
)

PINNED = Path(__file__).with_name("jars.txt")
KAFKA = "org.apache.kafka:kafka_2.13"
_DOWNLOADS = 8
_SECONDS = 30


class Jar(NamedTuple):
    """One pinned jar."""

    coordinate: str
    """``group:artifact:version``."""
    sha256: str
    """In hexadecimal."""

    @property
    def file(self) -> str:
        """Its name in the cache."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned() -> list[Jar]:
    """The jars of the broker, in the order of the class path."""
    lines = PINNED.read_text(encoding="utf-8").splitlines()
    return [Jar(*line.split()) for line in lines if line and not line.startswith("#")]


def kafka_version() -> str:
    """The version of Kafka that is pinned."""
    (kafka,) = (jar for jar in pinned() if jar.coordinate.startswith(f"{KAFKA}:"))
    return kafka.coordinate.rpartition(":")[2]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_path(progress: Callable[[str], None]) -> list[Path]:
    """Every jar in the cache, checked; those that are missing are fetched first.

    Raises:
        ChecksumMismatch: A jar is not the pinned one.
        DownloadFailed: A jar is missing and cannot be fetched.
    """
    jars, folder = pinned(), _cache.folder() / f"kafka-{kafka_version()}"
    if any(not (folder / jar.file).exists() for jar in jars):
        with _cache.locked(folder.with_suffix(".lock")):
            _fetch([jar for jar in jars if not (folder / jar.file).exists()], folder, progress)
    paths = [folder / jar.file for jar in jars]
    for jar, path in zip(jars, paths, strict=True):
        _check(path, jar)
    return paths


def _check(path: Path, jar: Jar) -> None:
    found = sha256(path)
    if found != jar.sha256:
        raise ChecksumMismatch(path, jar.sha256, found)


def _fetch(missing: list[Jar], folder: Path, progress: Callable[[str], None]) -> None:
    if not missing:
        return
    progress(f"Fetching Kafka {kafka_version()}: {len(missing)} jars, once, into {folder}")
    _cache.made(folder)
    try:
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-")
    except OSError as error:
        raise FolderNotWritable(folder, error.strerror or str(error)) from error
    with scratch as repository, ThreadPoolExecutor(_DOWNLOADS) as threads:
        fetch = partial(_fetch_one, repository=Path(repository), folder=folder)
        for _ in threads.map(fetch, missing):
            pass


def _fetch_one(jar: Jar, *, repository: Path, folder: Path) -> None:
    """Fetch, check, and only then move to its place: a jar there is whole."""
    try:
        path = resolve(jar.coordinate, repository)
    except (OSError, RuntimeError) as error:
        raise DownloadFailed(jar.coordinate, folder, type(error).__name__) from error
    _check(path, jar)
    os.replace(path, folder / jar.file)


def resolve(coordinate: str, repository: Path) -> Path:
    """Fetch one jar with jgo, from the repositories that jgo is configured for."""
    try:
        from jgo.config import GlobalSettings  # noqa: PLC0415 - only needed to fetch
        from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415
        from jgo.maven import MavenContext  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraNotInstalled(error.name or "jgo") from error
    remotes = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    context = MavenContext(repo_cache=repository, remote_repos=remotes, timeout=_SECONDS)
    group, artifact, version = coordinate.split(":")
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())
