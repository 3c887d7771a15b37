"""Requests and replies as they travel between processes: the bytes of both, and their meaning.

A request is a record of ``{topic}.requests`` in the partition that its stream has in the topic of
events: its key is the stream, its value the events as they will stand in the log, its header
``foldlog.request`` the struct ``>BBHIqq16s8sQ``. Metadata travels in the headers that it has on
events. A reply is a record of ``{topic}.replies``: its key is who asked, its value JSON.

Both are transient and read by the release that wrote them, or one beside it in a rolling upgrade:
a layout that a reader does not know is passed over, and its sender hears nothing.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from eventstore.errors import (
    AppendError,
    AppendIdReused,
    Busy,
    ConcurrencyError,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka.messages import EncodedEvent
from eventstore.kafka.records import EncodedAppend, Headers
from eventstore.metadata import NAMES
from eventstore.store import (
    ANY,
    Append,
    Appended,
    ExpectedVersion,
    Position,
    check_stream_id,
    expected_number,
)

REQUEST: Final = "foldlog.request"
LAYOUT: Final = 1
APPEND: Final = 1
"""The kind of a request that appends: the only one."""
STRUCT: Final = struct.Struct(">BBHIqq16s8sQ")
EVENT: Final = struct.Struct(">q8sI")
"""Before each event in the value: its time, its schema's fingerprint, the bytes of its value."""
ANY_VERSION: Final = -1

APPENDED: Final = "appended"
UNKNOWN: Final = "unknown"
ERRORS: Final[Mapping[str, tuple[Callable[..., AppendError], tuple[str, ...]]]] = {
    "conflict": (ConcurrencyError, ("expected", "found")),
    "ahead": (VersionAhead, ("expected", "found")),
    "reused": (AppendIdReused, ("applied_to",)),
    "busy": (Busy, ("waiting",)),
    UNKNOWN: (UnknownOutcome, ("why",)),
}
"""The outcomes that are errors: what each is, and its facts, in the order of its constructor.

An append that is too large, or does not fit its schema, is refused before it is sent. What the
brokers refused may be read again by the next writer: it is of unknown outcome."""


class Request(NamedTuple):
    """An append that another process sent."""

    append: EncodedAppend
    deadline: float
    """Seconds since 1970, by the clock of who sent it."""
    sender: bytes
    """8 random bytes: which process it was."""
    number: int
    """The sender's number of it."""
    reply_partition: int


class Reply(NamedTuple):
    """The answer to a request."""

    number: int
    outcome: str
    facts: Mapping[str, Any]


class NotARequest(ValueError):
    """A record that is not a request of a layout that this release knows."""


def pack_request(request: Request) -> tuple[bytes, bytes]:
    """The request's value and its header."""
    append = request.append
    expected = expected_number(append.expected)
    header = STRUCT.pack(
        LAYOUT,
        APPEND,
        len(append.events),
        request.reply_partition,
        ANY_VERSION if expected is None else expected,
        int(request.deadline * 1_000_000),
        append.append_id.bytes,
        request.sender,
        request.number,
    )
    parts: list[bytes] = []
    for value, fingerprint, time in append.events:
        parts += (EVENT.pack(time, fingerprint, len(value)), value)
    return b"".join(parts), header


def unpack_request(
    topic: str,
    key: bytes,
    value: bytes,
    headers: Sequence[tuple[str, bytes | None]],
    *,
    partitions: int,
) -> Request:
    """The request in a record of the request topic of ``topic``, which has ``partitions``.

    Raises:
        NotARequest: It is none, or one of another layout, or one that nobody can answer.
    """
    header = next((found for name, found in headers if name == REQUEST), None)
    if header is None or len(header) != STRUCT.size or header[:2] != bytes((LAYOUT, APPEND)):
        raise NotARequest(f"its header {REQUEST!r} is {'missing' if header is None else 'unknown'}")
    _, _, count, reply_partition, expected, deadline, append_id, sender, number = STRUCT.unpack(
        header
    )
    if reply_partition >= partitions:
        raise NotARequest(f"it asks for its answer in partition {reply_partition} of {partitions}")
    if expected < ANY_VERSION:
        raise NotARequest(f"it expects version {expected}, where no stream is below 0")
    events = _events(value)
    if len(events) != count or not count:
        raise NotARequest(f"it has {len(events)} events, where its header says {count}")
    try:
        stream = check_stream_id(key.decode())
    except ValueError as error:
        raise NotARequest(f"its key is no stream's id: {error}") from error
    version: ExpectedVersion = ANY if expected == ANY_VERSION else expected
    others: Headers = tuple((name, found or b"") for name, found in headers if name in NAMES)
    append = EncodedAppend(topic, stream, events, version, UUID(bytes=append_id), others)
    return Request(append, deadline / 1_000_000, sender, number, reply_partition)


def _events(value: bytes) -> list[EncodedEvent]:
    events: list[EncodedEvent] = []
    at = 0
    while at < len(value):
        begin = at + EVENT.size
        if begin > len(value):
            raise NotARequest("its value ends within an event")
        time, fingerprint, size = EVENT.unpack_from(value, at)
        at = begin + size
        if at > len(value):
            raise NotARequest("its value ends within an event")
        events.append((value[begin:at], fingerprint, time))
    return events


def pack_reply(number: int, outcome: Appended | BaseException) -> bytes:
    """The reply's value; an error that has no words of its own here is an unknown outcome."""
    name, facts = _told(outcome)
    return json.dumps({"layout": LAYOUT, "number": number, "outcome": name, **facts}).encode()


def unpack_reply(value: bytes) -> Reply | None:
    """The reply in a record's value; None: it is of a layout that this release does not know."""
    try:
        facts: Any = json.loads(value)
    except (ValueError, RecursionError):
        return None
    match facts:
        case {"layout": 1, "number": int(number), "outcome": str(outcome)}:
            return Reply(number, outcome, facts)
        case _:
            return None


def outcome_of(
    reply: Reply, append: Append | EncodedAppend, partition: int
) -> Appended | Exception:
    """What a reply says about the append that was asked for."""
    try:
        if reply.outcome == APPENDED:
            return _appended(append, partition, reply.facts)
        kind, facts_of = ERRORS[reply.outcome]
        facts = [reply.facts[fact] for fact in facts_of]
        return kind(append.stream, append.append_id, *facts)
    except (KeyError, TypeError):
        why = f"the answer {reply.outcome!r}, which this release does not know"
        return UnknownOutcome(append.stream, append.append_id, why)


def _told(outcome: Appended | BaseException) -> tuple[str, Mapping[str, Any]]:
    if isinstance(outcome, Appended):
        offsets = [position.offset for position in outcome.positions]
        facts = {"version": outcome.version, "offsets": _short(offsets)}
        return APPENDED, {**facts, "repeated": outcome.repeated}
    for name, (kind, facts_of) in ERRORS.items():
        if type(outcome) is kind:
            return name, {fact: getattr(outcome, fact) for fact in facts_of}
    return UNKNOWN, {"why": f"the writer's error: {outcome}"}


def _short(offsets: Sequence[int]) -> Sequence[int] | Mapping[str, int]:
    """Offsets side by side, as nearly always, by the first and the last."""
    first, last = offsets[0], offsets[-1]
    return {"first": first, "last": last} if last - first == len(offsets) - 1 else offsets


def _appended(append: Append | EncodedAppend, partition: int, facts: Mapping[str, Any]) -> Appended:
    match facts["offsets"]:
        case {"first": int(first), "last": int(last)}:
            offsets: Sequence[int] = range(first, last + 1)
        case found:
            offsets = found
    positions = tuple(Position(append.topic, partition, offset) for offset in offsets)
    return Appended(append.stream, facts["version"], positions, facts["repeated"])
