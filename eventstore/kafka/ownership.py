"""One process's membership in the group of a topic's writers, and the requests that it is given.

Whom the group assigns a partition may claim it, and reads the partition of the request topic. That
is for liveness alone: what keeps two writers apart is the claim. A request counts as read when its
answer is acknowledged, and so do all before it: the next writer finds the rest.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition, murmur2

from eventstore._failpoints import reached
from eventstore.kafka._trouble import Trouble
from eventstore.kafka.request_format import NotARequest, Request, unpack_request
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import requests_topic, writers_group

RECORDS: Final = 500
"""Requests taken from the client at once."""
COMMIT_SECONDS: Final = 0.2
"""Seconds between two commits of what was answered."""
ENDING_SECONDS: Final = 0.02
"""Seconds between two looks at whether to leave, once no more requests are taken."""
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
        self._offsets: dict[int, None] = {}
        self._next: int | None = None
        self._committed: int | None = None

    def taken(self, offset: int) -> None:
        """The request at ``offset`` was taken."""
        self._offsets[offset] = None
        self._next = offset + 1

    def answered(self, offset: int) -> None:
        """Its answer is acknowledged; or there is none to give."""
        self._offsets.pop(offset, None)

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
        first = self._consumer.poll(COMMIT_SECONDS if self._taking else ENDING_SECONDS)
        if first is not None:
            self._take(first)
            for message in self._consumer.consume(RECORDS, 0):
                self._take(message)
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
            reached("request_taken")
            self._taken(self._topic, Taken(request, partition, offset))

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
        self._own(self._owned - gone)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._own(self._owned - frozenset(each.partition for each in partitions))

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
