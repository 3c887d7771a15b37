"""Other processes' requests, on the writer's thread: what each is told, and when it is settled.

A request is left to the next writer, and told nothing, if the partition has moved on before it
could be decided. It is settled when its answer is acknowledged.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple

from eventstore._failpoints import reached
from eventstore.defaults import ANSWER_SECONDS, REQUESTS_QUEUED
from eventstore.errors import Busy, UnknownOutcome
from eventstore.kafka.mail import Mail
from eventstore.kafka.ownership import Taken
from eventstore.kafka.request_format import Request, pack_reply
from eventstore.kafka.requests import AppendRequest, LeftToTheNext
from eventstore.kafka.topics import replies_topic
from eventstore.store import Appended

AGAIN_SECONDS: Final = 0.2
"""Seconds between two tries to deliver a reply."""


class Letter(NamedTuple):
    """A request that is to be answered, where it stood, and until when somebody may wait."""

    topic: str
    taken: Taken
    deadline: float

    @property
    def request(self) -> Request:
        """What was asked."""
        return self.taken.request


class Answering:
    """Answers requests; ``settled`` is called with topic, partition and offset of each."""

    def __init__(self, mail: Mail, settled: Callable[[str, int, int], None]) -> None:
        self._mail = mail
        self._settled = settled
        self._waiting: Counter[str] = Counter()
        self._again: list[tuple[Letter, Appended | BaseException]] = []
        """Replies that could not be delivered."""
        self._again_at = 0.0

    def accept(self, topic: str, taken: Taken) -> AppendRequest | None:
        """The request as the writer decides it; None: it has its answer."""
        append = taken.request.append
        deadline = min(taken.request.deadline, time.time() + ANSWER_SECONDS)
        letter = Letter(topic, taken, deadline)
        if time.time() > taken.request.deadline:
            why = "the request too late, after its deadline"
            self._reply(letter, UnknownOutcome(append.stream, append.append_id, why))
            return None
        waiting = self._waiting[topic]
        if waiting >= REQUESTS_QUEUED:
            self._reply(letter, Busy(append.stream, append.append_id, waiting))
            return None
        self._waiting[topic] += 1
        request = AppendRequest(append, taken.partition, deadline=deadline)
        request.future.add_done_callback(partial(self._decided, letter))
        return request

    def send_again(self) -> None:
        """Send once more, now and then, what could not be delivered."""
        if not self._again or time.monotonic() < self._again_at:
            return
        self._again_at = time.monotonic() + AGAIN_SECONDS
        again, self._again = self._again, []
        for letter, outcome in again:
            self._reply(letter, outcome)

    def _decided(self, letter: Letter, future: Future[Appended]) -> None:
        self._waiting[letter.topic] -= 1
        error = future.exception()
        if not isinstance(error, LeftToTheNext):
            self._reply(letter, error or future.result())

    def _reply(self, letter: Letter, outcome: Appended | BaseException) -> None:
        reached("before_reply")
        request = letter.request
        self._mail.send(
            replies_topic(letter.topic),
            request.reply_partition,
            request.sender,
            pack_reply(request.number, outcome),
            reported=partial(self._replied, letter, outcome),
        )

    def _replied(
        self, letter: Letter, outcome: Appended | BaseException, error: str | None
    ) -> None:
        """The reply stands in its topic; if not, it is sent again while somebody waits for it."""
        reached("after_reply")
        if error is None or time.time() > letter.deadline:
            self._settled(letter.topic, letter.taken.partition, letter.taken.offset)
        else:
            self._again.append((letter, outcome))
