"""The write side: events, aggregates, their repository, and the stores that keep them.

The errors named here are those that an application meets; all are in `eventstore.errors`.
"""

from eventstore.aggregates import Aggregate
from eventstore.async_repository import AsyncRepository
from eventstore.errors import (
    AppendError,
    AppendIdReused,
    AppendTooLarge,
    ConcurrencyError,
    ConfigurationError,
    DefinitionError,
    EncodingError,
    EventStoreError,
    InvalidAppend,
    InvalidMetadata,
    InvalidStreamId,
    PastNotFound,
    StoreClosed,
    StreamNotFound,
    UnknownOutcome,
    UnsupportedType,
    VersionAhead,
)
from eventstore.events import Event
from eventstore.memory import MemoryEventStore
from eventstore.metadata import Metadata, carrying
from eventstore.repository import Repository
from eventstore.store import (
    ANY,
    NO_STREAM,
    Append,
    Appended,
    EventStore,
    ExpectedVersion,
    Head,
    Position,
    Recorded,
)

__all__ = [
    "ANY",
    "NO_STREAM",
    "Aggregate",
    "Append",
    "AppendError",
    "AppendIdReused",
    "AppendTooLarge",
    "Appended",
    "AsyncRepository",
    "ConcurrencyError",
    "ConfigurationError",
    "DefinitionError",
    "EncodingError",
    "Event",
    "EventStore",
    "EventStoreError",
    "ExpectedVersion",
    "Head",
    "InvalidAppend",
    "InvalidMetadata",
    "InvalidStreamId",
    "MemoryEventStore",
    "Metadata",
    "PastNotFound",
    "Position",
    "Recorded",
    "Repository",
    "StoreClosed",
    "StreamNotFound",
    "UnknownOutcome",
    "UnsupportedType",
    "VersionAhead",
    "carrying",
]
