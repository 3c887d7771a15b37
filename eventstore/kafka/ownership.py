"""One process's membership in the group of a topic's writers, and the requests that it is given.

Whom the group assigns a partition may claim it, and reads the partition of the request topic. That
is for liveness alone: what keeps two writers apart is the claim. A request counts as read when its
answer is acknowledged, and so do all before it: the next writer finds the rest.

What was taken and is not answered is bounded in bytes, whatever the writer's thread does: beyond
it nothing more is read, and the requests wait in their topic.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition, murmur2

from eventstore._failpoints import reached
from eventstore.defaults import REQUEST_BYTES_QUEUED
from eventstore.kafka._trouble import Trouble
from eventstore.kafka.request_format import NotARequest, Request, unpack_request
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import requests_topic, writers_group

RECORDS: Final = 100
"""Requests taken from the client at once."""
COMMIT_SECONDS: Final = 0.2
"""Seconds between two commits of what was answered."""
ENDING_SECONDS: Final = 0.02
"""Seconds between two looks at what else is to be done, while no requests are taken."""
BYTES_PER_REQUEST: Final = 2_000
BYTES_PER_EVENT: Final = 200
"""Bytes of memory that a request, and each of its events, takes beside what travelled."""
PAUSE_SECONDS: Final = 0.5
"""Seconds to wait after the client has failed."""


class Taken(NamedTuple):
    """A request, and where it stood."""

    request: Request
    partition: int
    offset: int


class Unanswered:
    """The requests of one partition that were taken and not answered, and where to go on."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}
        self._next: int | None = None
        self._committed: int | None = None
        self.bytes = 0
        """Bytes of memory that they take."""

    def taken(self, offset: int) -> None:
        """The request at ``offset`` was taken."""
        self._offsets[offset] = 0
        self._next = offset + 1

    def weighs(self, offset: int, size: int) -> None:
        """The request at ``offset`` takes ``size`` bytes of memory until it is answered."""
        self._offsets[offset] = size
        self.bytes += size

    def answered(self, offset: int) -> None:
        """Its answer is acknowledged; or there is none to give."""
        self.bytes -= self._offsets.pop(offset, 0)

    def to_commit(self) -> int | None:
        """The first offset that is not answered, if that has moved; counts as committed then."""
        found = next(iter(self._offsets), self._next)
        if found == self._committed:
            return None
        self._committed = found
        return found

    def not_committed(self, offset: int) -> None:
        """What `to_commit` gave was not committed: it gives it again, unless it has moved on."""
        if self._committed == offset:
            self._committed = None


class Ownership:
    """A member of the group of a topic's writers, on a thread of its own, once it is started.

    There ``taken`` is called for each request, and ``moved`` with the partitions that are this
    process's when that has changed.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        partitions: int,
        *,
        taken: Callable[[str, Taken], None],
        moved: Callable[[str, frozenset[int]], None],
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._taken = taken
        self._moved = moved
        self._owned: frozenset[int] = frozenset()
        self._unanswered: dict[int, Unanswered] = {}
        self._paused: frozenset[int] = frozenset()
        """Partitions that are not read on until more is answered."""
        self._lock = threading.Lock()
        self._trouble = Trouble()
        self._committed_at = 0.0
        self._taking = True
        self._leaving = threading.Event()
        member = f"foldlog {socket.gethostname()}:{os.getpid()}"
        self._consumer: Consumer = settings.member(
            writers_group(topic), member, on_commit=self._on_commit
        )
        name = f"foldlog requests to {topic}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    def answered(self, partition: int, offset: int) -> None:
        """The answer to a request is acknowledged; called from any thread."""
        with self._lock:
            unanswered = self._unanswered.get(partition)
            if unanswered is not None:
                unanswered.answered(offset)

    def stop_taking(self) -> None:
        """Take no more requests: others will."""
        self._taking = False

    def leave(self) -> None:
        """Commit what was answered, and leave the group; see `join`."""
        self._taking = False
        self._leaving.set()

    def join(self, seconds: float) -> None:
        """Wait until it has left, for at most ``seconds``."""
        self._thread.join(seconds)

    def _run(self) -> None:
        self._consumer.subscribe(
            [requests_topic(self._topic)],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        while not self._leaving.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - a member that is cut off tries again
                self._trouble.warn(f"requests to {self._topic} could not be read", error)
                self._leaving.wait(PAUSE_SECONDS)
        self._end()

    def _turn(self) -> None:
        reading = self._taking and not self._paused
        first = self._consumer.poll(COMMIT_SECONDS if reading else ENDING_SECONDS)
        if first is not None:
            self._take(first)
            for message in self._consumer.consume(RECORDS, 0):
                self._take(message)
        self._pause_or_resume()
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._committed_at = time.monotonic()
            self._commit(self._owned)

    def _take(self, message: Message) -> None:
        error, partition, offset = message.error(), message.partition(), message.offset()
        if error is not None:
            self._trouble.warn(f"requests to {self._topic} could not be read", error.str())
            return
        if partition not in self._owned or offset is None or not self._taking:
            return  # it was revoked while it was being read, or is left to the next
        with self._lock:
            self._unanswered[partition].taken(offset)
        try:
            request = self._request(message)
        except Exception as found:  # noqa: BLE001 - whatever it is, the next one may be a request
            where = f"[{partition}]@{offset}: {found}"
            self._trouble.warn(f"{requests_topic(self._topic)} holds what is no request", where)
            self.answered(partition, offset)
        else:
            self._weigh(request, partition, offset, len(message))
            reached("request_taken")
            self._taken(self._topic, Taken(request, partition, offset))

    def _weigh(self, request: Request, partition: int, offset: int, size: int) -> None:
        size += BYTES_PER_REQUEST + BYTES_PER_EVENT * len(request.append.events)
        with self._lock:
            self._unanswered[partition].weighs(offset, size)

    def _pause_or_resume(self) -> None:
        """Read nothing more while too much is unanswered; polling goes on, so we stay a member."""
        with self._lock:
            waiting = sum(each.bytes for each in self._unanswered.values())
        if waiting > REQUEST_BYTES_QUEUED:
            more = self._owned - self._paused
            if more:  # also what was assigned meanwhile
                self._consumer.pause(self._places(more))
                self._paused |= more
        elif self._paused and waiting <= REQUEST_BYTES_QUEUED // 2:
            self._resume(self._paused)

    def _resume(self, partitions: frozenset[int]) -> None:
        self._paused -= partitions
        self._consumer.resume(self._places(partitions))

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(requests_topic(self._topic), each) for each in partitions]

    def _request(self, message: Message) -> Request:
        headers: Any = message.headers() or []
        key = message.key() or b""
        if murmur2(key, self._partitions) != message.partition():
            raise NotARequest("its key belongs to another partition")
        value = message.value() or b""
        return unpack_request(self._topic, key, value, headers, partitions=self._partitions)

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        new = frozenset(each.partition for each in partitions)
        with self._lock:
            for partition in new - self._owned:
                self._unanswered[partition] = Unanswered()
        self._own(self._owned | new)

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = frozenset(each.partition for each in partitions)
        self._commit(gone)
        self._disown(gone)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._disown(frozenset(each.partition for each in partitions))

    def _disown(self, gone: frozenset[int]) -> None:
        """What was paused must flow when it is assigned again: the client may remember."""
        try:
            if gone & self._paused:
                self._resume(gone & self._paused)
        except KafkaException as error:
            self._trouble.warn(f"requests to {self._topic} could not be read on", error)
        self._own(self._owned - gone)

    def _own(self, partitions: frozenset[int]) -> None:
        with self._lock:
            for gone in self._owned - partitions:
                del self._unanswered[gone]
        self._owned = partitions
        self._moved(self._topic, partitions)

    def _commit(self, partitions: Iterable[int], *, wait: bool = False) -> None:
        topic = requests_topic(self._topic)
        with self._lock:
            moved = [
                TopicPartition(topic, partition, offset)
                for partition in partitions
                if (unanswered := self._unanswered.get(partition)) is not None
                and (offset := unanswered.to_commit()) is not None
            ]
        if not moved:
            return
        try:
            if wait:
                self._consumer.commit(offsets=moved, asynchronous=False)
            else:
                self._consumer.commit(offsets=moved, asynchronous=True)
        except KafkaException as error:
            self._on_commit(error, moved)
        else:
            reached("offset_committed")

    def _on_commit(
        self, error: KafkaError | KafkaException | None, partitions: list[TopicPartition]
    ) -> None:
        """Commit again what was not; the next writer would read it again, and find it applied."""
        for each in partitions:
            why = error or each.error
            if why is None:
                continue
            self._trouble.warn(f"answered requests to {self._topic} were not committed", why)
            with self._lock:
                unanswered = self._unanswered.get(each.partition)
                if unanswered is not None:
                    unanswered.not_committed(each.offset)

    def _end(self) -> None:
        self._commit(self._owned, wait=True)
        try:
            self._consumer.close()
        except KafkaException as error:
            self._trouble.warn(f"the writers of {self._topic} could not be left", error)
