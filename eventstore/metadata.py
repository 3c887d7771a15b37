"""What travels beside events: who asked, on behalf of what, and the user's own notes.

Metadata decides nothing. It is stored with every event of an append, in optional headers of its
record, and comes back as `Recorded.metadata`.
"""

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from eventstore.defaults import BYTES_OF_METADATA
from eventstore.errors import InvalidMetadata

USER: Final = "metadata"
"""The header that carries `Metadata.user`, as canonical JSON."""
IDS: Final = ("correlation_id", "causation_id", "traceparent")
"""The headers that each carry the field of that name."""
NAMES: Final = frozenset((*IDS, USER))
CACHED: Final = 256
"""How many that were read are kept, since many events have the same."""

Headers: TypeAlias = Iterable[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What travels beside the events of an append; hashable, and never changes.

    Raises:
        InvalidMetadata: Something is not a string, holds U+0000 or a surrogate, or all of it is
            more than 4,096 bytes as headers.
    """

    correlation_id: str | None = None
    """What all that follows from one request has in common."""
    causation_id: str | None = None
    """What led to it: the id of an event or of a command."""
    traceparent: str | None = None
    """The W3C trace context in which it was appended."""
    user: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Anything else; a copy is kept."""
    _headers: tuple[tuple[str, bytes], ...] = field(
        default=(), init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "user", MappingProxyType(_checked(self.user)))
        ids = [(name, value) for name in IDS if (value := getattr(self, name)) is not None]
        headers = [(name, _bytes(name, value)) for name, value in ids]
        if self.user:
            headers.append((USER, _canonical(self.user)))
        size = sum(len(name) + len(value) for name, value in headers)
        if size > BYTES_OF_METADATA:
            raise InvalidMetadata(
                f"at most {BYTES_OF_METADATA} bytes, since each event carries it",
                f"{size} bytes",
                "put what is large into an event, or where an id can point to",
            )
        object.__setattr__(self, "_headers", tuple(headers))

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The Kafka headers that carry it; only what is set."""
        return self._headers

    @classmethod
    def from_headers(cls, headers: Headers) -> "Metadata | None":
        """What a record's headers carry; None: nothing of it.

        Of several headers with one name the first counts. What is not in the form of `headers`
        is left out, since another program may have put it there.
        """
        found = tuple([header for header in headers if header[0] in NAMES])
        return _read(found) if found else None

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dict can be neither pickled nor copied.
        ids = (self.correlation_id, self.causation_id, self.traceparent)
        return Metadata, (*ids, dict(self.user))


_carried: ContextVar[Metadata | None] = ContextVar("foldlog_metadata", default=None)


@contextmanager
def carrying(metadata: Metadata | None) -> Generator[None, None, None]:
    """Give ``metadata`` to every append that this block makes without any of its own.

    It holds for what runs in the block's context: the thread, or the asyncio task and those that
    it starts. A block within replaces it; None: nothing is carried.
    """
    token = _carried.set(metadata)
    try:
        yield
    finally:
        _carried.reset(token)


def carried() -> Metadata | None:
    """The metadata that appends made here carry; None: none."""
    return _carried.get()


def size_of(metadata: Metadata | None) -> int:
    """The bytes that it adds to each record."""
    if metadata is None:
        return 0
    return sum(len(name) + len(value) for name, value in metadata.headers())


def _checked(user: Mapping[Any, Any]) -> dict[str, str]:
    try:
        copied = dict(user)
    except (TypeError, ValueError):
        raise InvalidMetadata("a mapping for user", repr(user)[:64], "give a dict") from None
    for key, value in copied.items():
        _bytes("a key of user", key)
        _bytes(f"user[{key[:64]!r}]", value)
    return copied


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        found = f"{type(value).__name__} {repr(value)[:64]}"
        raise InvalidMetadata(f"a string for {name}", found, "use str() on it")
    try:
        data = value.encode()
    except UnicodeEncodeError:
        found = "a surrogate, which UTF-8 cannot carry"
        raise InvalidMetadata(f"text for {name}", found, "leave it out") from None
    if b"\0" in data:
        found = "U+0000, which PostgreSQL refuses"
        raise InvalidMetadata(f"text for {name}", found, "leave it out")
    return data


def _canonical(user: Mapping[str, str]) -> bytes:
    return json.dumps(
        dict(user), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


@lru_cache(maxsize=CACHED)
def _read(headers: tuple[tuple[str, bytes | None], ...]) -> Metadata | None:
    """What these headers carry; events of one append, if not of many, carry the same."""
    found: dict[str, Any] = {}
    for name, value in headers:
        text = None if name in found or value is None else _text(value)
        if text is not None:
            found[name] = text
    if USER in found:
        found["user"] = _user(found.pop(USER))
    fields = {name: value for name, value in found.items() if value is not None}
    try:
        return Metadata(**fields) if fields else None
    except InvalidMetadata:
        return None


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _user(text: str) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
