"""Kafka's jars: which ones, by coordinates and SHA-256, and how they come into the cache."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from foldlog.embedded._cache import cache_folder, one_at_a_time, scratch
from foldlog.embedded.errors import ChecksumMismatch, DownloadFailed, EmbeddedExtraMissing

KAFKA_VERSION = "4.3.1"

PINS = Path(__file__).with_name("jars.txt")

_SECONDS_PER_REQUEST = 30
_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned file: its coordinates and the SHA-256 of its bytes in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def pinned() -> list[Jar]:
    """The jars that a broker needs, all of them on its class path."""
    lines = PINS.read_text(encoding="utf-8").splitlines()
    pins = [line.split() for line in lines if line and not line.startswith("#")]
    split = [(sha256, *coordinates.split(":")) for sha256, coordinates in pins]
    return [Jar(group, artifact, version, sha256) for sha256, group, artifact, version in split]


def fetch(say: Callable[[str], None]) -> list[Path]:
    """Return the paths of all pinned jars, each checked; fetch those that the cache lacks.

    Raises:
        DownloadFailed: a jar is not cached and could not be fetched.
        ChecksumMismatch: a cached or fetched jar is not the pinned file.
        FolderNotUsable: the cache cannot be written.
    """
    folder = cache_folder() / "jars"
    jars = pinned()
    if any(not (folder / jar.name).exists() for jar in jars):
        with one_at_a_time(folder):
            missing = [jar for jar in jars if not (folder / jar.name).exists()]
            if missing:
                _download(missing, folder, say)
    for jar in jars:
        _check(jar, folder / jar.name, folder / jar.name)
    return [folder / jar.name for jar in jars]


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _check(jar: Jar, file: Path, place: Path) -> None:
    found = sha256_of(file)
    if found != jar.sha256:
        raise ChecksumMismatch(place, jar.sha256, found)


def _download(missing: list[Jar], folder: Path, say: Callable[[str], None]) -> None:
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 (heavy, and only for the first run)
    except ModuleNotFoundError as error:
        raise EmbeddedExtraMissing("jgo") from error
    say(f"Fetching Apache Kafka {KAFKA_VERSION} once ({len(missing)} jars) into {folder}")
    with scratch(folder) as fetching, ThreadPoolExecutor(_AT_ONCE) as pool:
        context = MavenContext(repo_cache=fetching, timeout=_SECONDS_PER_REQUEST)

        def place(jar: Jar) -> None:
            component = context.project(jar.group, jar.artifact).at_version(jar.version)
            file = component.artifact().resolve()
            _check(jar, file, folder / jar.name)
            file.rename(folder / jar.name)

        placed = [pool.submit(place, jar) for jar in missing]
        try:
            for place_one in placed:
                place_one.result()
        except (OSError, RuntimeError) as error:
            still = [jar.name for jar in missing if not (folder / jar.name).exists()]
            raise DownloadFailed(still or [missing[0].name], folder, str(error)) from error
        finally:
            pool.shutdown(cancel_futures=True)
