"""Sends appends to whoever writes to their partition, and gives their callers the answers.

Everything runs on the writer's thread. A request is sent once: it stays in its topic until its
answer is acknowledged, and the next writer of the partition finds it there. Its append id keeps
it from being applied twice.
"""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from eventstore.defaults import ANSWER_SECONDS
from eventstore.errors import EventStoreError, NoWriter
from eventstore.kafka.mail import Mail
from eventstore.kafka.messages import Encoder
from eventstore.kafka.request_format import (
    REQUEST,
    Reply,
    Request,
    outcome_of,
    pack_request,
)
from eventstore.kafka.requests import AppendRequest, Call
from eventstore.kafka.topics import requests_topic

LATE_SECONDS: Final = 1.0
"""Seconds after its deadline that a request's answer is still waited for."""


class Forwarding:
    """The requests of this process that are not answered yet.

    ``has_writers`` says whether a topic has any, asked on a thread of its own; ``tell`` hands a
    call over to the writer's.
    """

    def __init__(
        self,
        mail: Mail,
        encoder: Encoder,
        *,
        has_writers: Callable[[str], bool],
        tell: Callable[[Call], None],
    ) -> None:
        self.sender: Final = os.urandom(8)
        """Tells the replies to this process from others' in one partition."""
        self.reply_partitions: dict[str, int] = {}
        """Topic to the partition of its reply topic that this process reads."""
        self._mail = mail
        self._encoder = encoder
        self._has_writers = has_writers
        self._tell = tell
        self._numbers = itertools.count(1)
        self._pending: dict[int, AppendRequest] = {}
        self._late: set[int] = set()
        """Those of which it is being asked why they have no answer."""
        self._where: Counter[tuple[str, int]] = Counter()

    def __len__(self) -> int:
        return len(self._pending)

    def waits_for(self, topic: str, partition: int) -> bool:
        """Whether requests to this partition are not answered yet."""
        return self._where[topic, partition] > 0

    def send(self, request: AppendRequest) -> None:
        """Send an append to the writer of its partition."""
        number = next(self._numbers)
        try:
            append = request.encoded(self._encoder)
            reply_partition = self.reply_partitions[append.topic]
            value, header = pack_request(
                Request(append, request.deadline, self.sender, number, reply_partition)
            )
        except Exception as error:  # noqa: BLE001 - an event's fault is its append's alone
            request.refuse(error)
            return
        self._pending[number] = request
        self._where[append.topic, request.partition] += 1
        self._mail.send(
            requests_topic(append.topic),
            request.partition,
            append.stream.encode(),
            value,
            headers=[(REQUEST, header), *append.headers],
            reported=partial(self._sent, number),
        )

    def heard(self, reply: Reply) -> None:
        """A reply came; one that nobody waits for any more says nothing."""
        request = self._take(reply.number)
        if request is not None:
            request.hear(outcome_of(reply, request.append, request.partition))

    def give_up(self) -> None:
        """Answer those whose deadline is over, once it is known whether anybody could."""
        if self._late:
            return
        limit = time.monotonic() - LATE_SECONDS
        late = {
            number: request.append.topic
            for number, request in self._pending.items()
            if request.until < limit
        }
        if late:
            self._late.update(late)
            threading.Thread(target=self._explain, args=(late,), daemon=True).start()

    def refuse_everything(self, error: EventStoreError) -> None:
        """Nobody hears the answers any more."""
        for number in tuple(self._pending):
            request = self._take(number)
            if request is not None:
                request.refuse(request.unknown(str(error)))

    def _sent(self, number: int, error: str | None) -> None:
        if error is not None and (request := self._take(number)) is not None:
            request.refuse(request.unknown(f"its request was not delivered: {error}"))

    def _take(self, number: int) -> AppendRequest | None:
        request = self._pending.pop(number, None)
        if request is not None:
            self._where[request.append.topic, request.partition] -= 1
        return request

    def _explain(self, late: Mapping[int, str]) -> None:
        """Find out which topics have writers; not on the writer's thread, which never waits."""
        served = {topic: self._is_served(topic) for topic in {*late.values()}}
        self._tell(partial(self._refuse_late, late, served))

    def _is_served(self, topic: str) -> bool:
        try:
            return self._has_writers(topic)
        except Exception:  # noqa: BLE001 - whatever it is, those who wait are answered
            return True  # as far as anybody knows

    def _refuse_late(self, late: Mapping[int, str], served: Mapping[str, bool]) -> None:
        for number, topic in late.items():
            self._late.discard(number)
            request = self._take(number)
            if request is None:
                continue
            append = request.append
            if served[topic]:
                request.refuse(request.unknown(f"no answer within {ANSWER_SECONDS:g} s"))
            else:
                request.refuse(NoWriter(append.stream, append.append_id, topic, ANSWER_SECONDS))
