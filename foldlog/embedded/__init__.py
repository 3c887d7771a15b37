"""Real Kafka and PostgreSQL without Docker, from packages."""

from foldlog.embedded.errors import (
    ChecksumMismatch,
    DownloadFailed,
    EmbeddedError,
    EmbeddedExtraMissing,
    FolderInUse,
    FolderNotUsable,
    PortTaken,
    ServerDied,
    ServerNotReady,
)
from foldlog.embedded.stack import Stack

__all__ = [
    "ChecksumMismatch",
    "DownloadFailed",
    "EmbeddedError",
    "EmbeddedExtraMissing",
    "FolderInUse",
    "FolderNotUsable",
    "PortTaken",
    "ServerDied",
    "ServerNotReady",
    "Stack",
]
