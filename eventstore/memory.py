"""A store in memory, with the rules of the log: for tests, and for trying things.

Every topic has one partition, and nothing outlives the process. Events go through their codec
as on the way to Kafka, so that what could not be stored there is refused here too.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Final
from uuid import UUID

from eventstore.defaults import BYTES_PER_APPEND, BYTES_PER_EVENT, EVENTS_PER_APPEND
from eventstore.errors import (
    AppendIdReused,
    AppendTooLarge,
    ConcurrencyError,
    EventStoreError,
    StoreClosed,
    VersionAhead,
)
from eventstore.events import Event
from eventstore.metadata import size_of
from eventstore.store import (
    Append,
    Appended,
    Head,
    Position,
    Recorded,
    expected_number,
)

PARTITION: Final = 0


class MemoryEventStore:
    """An `EventStore` that keeps its streams in lists; safe to use from several threads.

    Appends are decided at once, so the future that `submit` returns is always done.
    """

    def __init__(
        self,
        *,
        events_per_append: int = EVENTS_PER_APPEND,
        bytes_per_append: int = BYTES_PER_APPEND,
    ) -> None:
        self._events_per_append = events_per_append
        self._bytes_per_append = bytes_per_append
        self._lock = threading.Lock()
        self._logs: dict[str, list[Recorded[Event]]] = {}
        self._streams: dict[tuple[str, str], list[int]] = {}
        self._answers: dict[tuple[str, UUID], Appended] = {}
        self._closed = False

    def close(self) -> None:
        """Refuse what comes after; the events stay readable."""
        self._closed = True

    def submit(self, append: Append) -> Future[Appended]:
        """Decide an append as `EventStore.submit` says."""
        if self._closed:
            raise StoreClosed("expected an open store; found it closed: make another")
        future: Future[Appended] = Future()
        try:
            with self._lock:
                future.set_result(self._decide(append))
        except EventStoreError as error:
            future.set_exception(error)
        return future

    def head(self, topic: str, stream: str) -> Head | None:
        """The stream's head; None: no stream."""
        with self._lock:
            offsets = self._streams.get((topic, stream))
            if not offsets:
                return None
            last = self._logs[topic][offsets[-1]]
            return Head(last.version, last.append_id, offsets[0], offsets[-1])

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        """The stream's events with a version above ``after``, in order, as they are now."""
        with self._lock:
            offsets = self._streams.get((topic, stream), [])[after:]
            log = self._logs.get(topic, [])
            return iter([log[offset] for offset in offsets])

    def applied(self, topic: str, stream: str, append_id: UUID) -> Appended | None:
        """The first answer of an append to this stream; None: it was never applied."""
        with self._lock:
            answer = self._answers.get((topic, append_id))
        if answer is None or answer.stream != stream:
            return None
        return replace(answer, repeated=True)

    def _decide(self, append: Append) -> Appended:
        """The order is the contract's: the id first, then the version, then the size."""
        answer = self._answered(append)
        if answer is not None:
            return answer
        offsets = self._streams.get((append.topic, append.stream), [])
        _check_version(append, len(offsets))
        return self._store(append, len(offsets), self._as_stored(append))

    def _answered(self, append: Append) -> Appended | None:
        answer = self._answers.get((append.topic, append.append_id))
        if answer is None:
            return None
        if answer.stream != append.stream:
            raise AppendIdReused(append.stream, append.append_id, answer.stream)
        return replace(answer, repeated=True)

    def _as_stored(self, append: Append) -> list[Event]:
        """The events as a log would give them back, once all fit into one append."""
        if len(append.events) > self._events_per_append:
            raise AppendTooLarge(
                append.stream, len(append.events), self._events_per_append, "events"
            )
        beside = len(append.stream.encode()) + BYTES_PER_EVENT + size_of(append.metadata)
        bodies = [event.codec.encode(event) for event in append.events]
        size = sum(beside + len(body) for body in bodies)
        if size > self._bytes_per_append:
            raise AppendTooLarge(append.stream, size, self._bytes_per_append, "bytes")
        pairs = zip(append.events, bodies, strict=True)
        return [event.codec.decode(body) for event, body in pairs]

    def _store(self, append: Append, version: int, events: list[Event]) -> Appended:
        log = self._logs.setdefault(append.topic, [])
        first = len(log)
        times = append.times or [time.time_ns() // 1000] * len(events)
        log.extend(
            Recorded(
                event=event,
                stream=append.stream,
                version=version + 1 + index,
                time=happened,
                topic=append.topic,
                partition=PARTITION,
                offset=first + index,
                append=append.append_id.bytes,
                index=index,
                count=len(events),
                metadata=append.metadata,
            )
            for index, (event, happened) in enumerate(zip(events, times, strict=True))
        )
        offsets = range(first, len(log))
        self._streams.setdefault((append.topic, append.stream), []).extend(offsets)
        answer = Appended(
            append.stream,
            version + len(events),
            tuple(Position(append.topic, PARTITION, offset) for offset in offsets),
        )
        self._answers[append.topic, append.append_id] = answer
        return answer


def _check_version(append: Append, found: int) -> None:
    expected = expected_number(append.expected)
    if expected is None or expected == found:
        return
    error = ConcurrencyError if expected < found else VersionAhead
    raise error(append.stream, append.append_id, expected, found)
