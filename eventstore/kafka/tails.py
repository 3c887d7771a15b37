"""Follows partitions that were read lately to their ends, so that the next read need not wait.

The client fetches what is appended there as it comes, in its own threads. It is taken when it is
asked for; a partition that nobody asks for, or in which too much has come, is followed no longer.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from confluent_kafka import Consumer, Message, TopicPartition

from eventstore.kafka.settings import KafkaSettings

RECORDS: Final = 1_000
"""Records taken from the client at once."""
WAITING: Final = 5_000
"""Records that may wait for a partition to be asked for."""
FOLLOWED_SECONDS: Final = 10.0
"""Seconds that a partition is followed after it was last asked for."""

Where: TypeAlias = tuple[str, int]


@dataclass(slots=True)
class _Followed:
    """A partition, and what has come of it."""

    next_offset: int
    """The offset of the first record that was not taken."""
    asked_at: float
    messages: deque[Message] = field(default_factory=deque[Message])


class Tails:
    """Partitions that are followed; used by one thread."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: Consumer | None = None
        self._followed: dict[Where, _Followed] = {}

    def close(self) -> None:
        """Follow nothing; the next read begins anew."""
        consumer, self._consumer = self._consumer, None
        self._followed.clear()
        if consumer is not None:
            consumer.close()

    def read(
        self, topic: str, partition: int, at: int, end: int, *, seconds: float
    ) -> Iterator[Message]:
        """The records from ``at`` to before ``end`` that have come, or come within ``seconds``.

        Messages that tell of an error are among them. What else comes is kept for later.
        """
        where, now = (topic, partition), time.monotonic()
        consumer = self._opened()
        followed = self._followed.get(where)
        if followed is None or followed.next_offset > at:
            self._drop(where)
            followed = self._followed[where] = _Followed(at, now)
            consumer.incremental_assign([TopicPartition(topic, partition, at)])
        followed.asked_at = now
        self._forget(now)
        first = consumer.poll(0 if followed.messages else seconds)
        if first is not None:
            self._sort((first, *consumer.consume(RECORDS, 0)))
        while followed.messages:
            message = followed.messages[0]
            if message.error() is None:
                if (message.offset() or 0) >= end:
                    return
                followed.next_offset = (message.offset() or 0) + 1
            followed.messages.popleft()
            yield message

    def _sort(self, messages: Iterable[Message]) -> None:
        for message in messages:
            followed = self._followed.get((message.topic() or "", message.partition() or 0))
            if followed is not None:
                followed.messages.append(message)

    def _forget(self, now: float) -> None:
        for where, followed in [*self._followed.items()]:
            if now - followed.asked_at > FOLLOWED_SECONDS or len(followed.messages) > WAITING:
                self._drop(where)

    def _drop(self, where: Where) -> None:
        if self._followed.pop(where, None) is not None:
            self._opened().incremental_unassign([TopicPartition(*where)])

    def _opened(self) -> Consumer:
        if self._consumer is None:
            self._consumer = self._settings.consumer("following")
        return self._consumer
