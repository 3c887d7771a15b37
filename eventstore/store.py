"""What a store of events takes and gives, and the port that every store fills.

A *store* keeps streams: the events of one aggregate, in order. The words are those of the
log: an append is all events that one command adds to one stream, all of them or none.
"""

import enum
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar
from uuid import UUID, uuid4

from eventstore.errors import InvalidAppend, InvalidStreamId
from eventstore.events import Event
from eventstore.metadata import Metadata

E = TypeVar("E", bound=Event, covariant=True)  # noqa: PLC0105 - shown in every signature

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
INT64: Final = 2**63
FIRST_TIME: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST_TIME: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""The times that `Recorded.at` can give back: those of the years 1 to 9999 in UTC."""


class Position(NamedTuple):
    """Where an event stands in the log."""

    topic: str
    partition: int
    offset: int


class Recorded(NamedTuple, Generic[E]):
    """An event as the log holds it, with where and when it happened."""

    event: E
    stream: str
    version: int
    """The event's place in its stream; the first event has version 1."""
    time: int
    """When it happened, in microseconds since 1970 (UTC)."""
    topic: str
    partition: int
    offset: int
    append: bytes
    """The 16 bytes of the append id."""
    index: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    """The event's place within its append, from 0."""
    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    """The number of events in its append."""
    metadata: Metadata | None = None
    """What its append carried beside its events; None: nothing."""

    @property
    def at(self) -> datetime:
        """When it happened, as an aware datetime in UTC."""
        return EPOCH + self.time * MICROSECOND

    @property
    def append_id(self) -> UUID:
        """The id of the append that brought the event."""
        return UUID(bytes=self.append)

    @property
    def id(self) -> str:
        """The event's id, made of its append id and its index within it."""
        return f"{self.append_id}:{self.index}"

    @property
    def position(self) -> Position:
        """Where the event stands in the log."""
        return Position(self.topic, self.partition, self.offset)


class Expected(enum.Enum):
    """Conditions of an append that are not a number."""

    NO_STREAM = "no stream"
    ANY = "any"


NO_STREAM: Final = Expected.NO_STREAM
"""The stream must not exist yet."""
ANY: Final = Expected.ANY
"""Whatever the stream's version is."""

ExpectedVersion: TypeAlias = int | Literal[Expected.NO_STREAM, Expected.ANY]
"""The version that a stream must have for an append to succeed."""


def expected_number(expected: ExpectedVersion) -> int | None:
    """The version that ``expected`` asks for; 0 for `NO_STREAM`, None for `ANY`."""
    if isinstance(expected, int):
        return expected
    return 0 if expected is NO_STREAM else None


def stream_id(id: str | UUID) -> str:  # noqa: A002 - the word users know it by
    """The stream that an aggregate's id names; a UUID's is its canonical text, in lower case.

    Raises:
        InvalidStreamId: It is not 1 to 255 bytes of UTF-8, or holds U+0000 or a surrogate.
    """
    return str(id) if isinstance(id, UUID) else check_stream_id(id)


def check_stream_id(stream: Any) -> str:
    """Return ``stream`` if it can name a stream.

    Raises:
        InvalidStreamId: It is not text of 1 to 255 bytes of UTF-8, or holds U+0000 or a surrogate.
    """
    if not isinstance(stream, str):
        raise InvalidStreamId(repr(stream), f"it is of type {type(stream).__name__}")
    try:
        size = len(stream.encode())
    except UnicodeEncodeError:
        raise InvalidStreamId(stream, "it holds a surrogate, which UTF-8 cannot carry") from None
    if not 1 <= size <= 255:  # noqa: PLR2004
        raise InvalidStreamId(stream, f"it has {size} bytes in UTF-8, not 1 to 255")
    if "\0" in stream:
        raise InvalidStreamId(stream, "it holds U+0000, which PostgreSQL refuses")
    return stream


def check_append_id(stream: str, append_id: Any) -> None:
    """Refuse what is not a UUID, as text that a request brought.

    Raises:
        InvalidAppend: It is of another type.
    """
    if not isinstance(append_id, UUID):
        raise InvalidAppend(
            stream,
            f"its append id is of type {type(append_id).__name__}",
            "give a UUID: uuid.UUID(text) of the text of one, uuid.uuid5(namespace, text) of any",
        )


@dataclass(frozen=True, slots=True)
class Append:
    """All that one command adds to one stream.

    Raises:
        InvalidStreamId: ``stream`` cannot name one.
        InvalidAppend: It has no events or another number of times, or what it expects, a time,
            its append id or its metadata is not of a type and range that the log can hold.
    """

    topic: str
    stream: str
    events: Sequence[Event]
    expected: ExpectedVersion
    times: Sequence[int] = ()
    """When each event happened, in microseconds since 1970; empty: now."""
    append_id: UUID = field(default_factory=uuid4)
    first_try: bool = False
    """The id was made for this very call, so that it cannot have been applied before."""
    metadata: Metadata | None = None
    """What travels beside its events, on each of them."""

    def __post_init__(self) -> None:
        check_stream_id(self.stream)
        if not self.events:
            raise InvalidAppend(self.stream, "it has no events", "record at least one event")
        if self.times and len(self.times) != len(self.events):
            raise InvalidAppend(
                self.stream,
                f"it has {len(self.events)} events and {len(self.times)} times",
                "give one time for each event, or none",
            )
        times: Sequence[Any] = self.times
        for time in times:
            if not isinstance(time, int) or not FIRST_TIME <= time <= LAST_TIME:
                raise self._not_a_time(time)
        if self.metadata is not None:
            self._check_metadata(self.metadata)
        check_append_id(self.stream, self.append_id)
        if self.expected is not NO_STREAM and self.expected is not ANY:
            self._check_number(self.expected)

    def _not_a_time(self, time: Any) -> InvalidAppend:
        if not isinstance(time, int):
            found, advice = f"of type {type(time).__name__}", "ints, in microseconds since 1970"
        else:
            found, advice = f"{time}", "microseconds since 1970, within the years 1 to 9999"
        return InvalidAppend(self.stream, f"a time is {found}", f"give {advice}")

    def _check_number(self, expected: Any) -> None:
        if not isinstance(expected, int) or isinstance(expected, bool):
            found = repr(expected)
        elif not 0 <= expected < INT64:
            found = f"version {expected}"
        else:
            return
        raise InvalidAppend(
            self.stream, f"it expects {found}", "expect 0 or more, NO_STREAM or ANY"
        )

    def _check_metadata(self, metadata: Any) -> None:
        if not isinstance(metadata, Metadata):
            raise InvalidAppend(
                self.stream,
                f"its metadata is of type {type(metadata).__name__}",
                "give Metadata(…)",
            )
        if not metadata.headers():
            object.__setattr__(self, "metadata", None)  # as a log would give it back


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to an append that is in the log for good."""

    stream: str
    version: int
    """The stream's version after the append."""
    positions: tuple[Position, ...]
    """Where each of its events stands; contiguous offsets of one partition."""
    repeated: bool = False
    """Its append id was found applied, by an earlier call, or by this one if its acknowledgement
    was lost; this is the first answer again."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a stream without reading its events."""

    version: int
    append_id: UUID
    first_offset: int
    last_offset: int


class EventStore(Protocol):
    """The port to the streams: what `Repository` needs of a store.

    Implemented by `eventstore.memory.MemoryEventStore` and `eventstore.kafka.KafkaEventStore`;
    one contract suite (`eventstore.contract`) holds both.
    """

    def submit(self, append: Append) -> Future[Appended]:
        """Decide and store an append; blocks while 512 are in flight.

        The future gives `Appended`, or raises `ConcurrencyError`, `AppendTooLarge`,
        `EncodingError` or `AppendIdReused` (final: the append never happens), or
        `UnknownOutcome` or `VersionAhead` (repeat the append id). None of these is raised by
        this call itself.
        """
        ...

    def head(self, topic: str, stream: str) -> Head | None:
        """The stream's head, with at least what this process has appended; None: no stream."""
        ...

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        """The stream's events with a version above ``after``, in order.

        Who reads may stop before the end, as who loads the past does: a store that decodes as it
        is read from needs to decode no event behind that.
        """
        ...

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        """The first answer of an append to this stream, with ``repeated`` set; None: not known.

        None says that the append was never applied, or longer ago than append ids are kept, or
        by a writer that this process has not heard of yet: submitting it decides.
        """
        ...
