"""Routing: which appends this process decides, and which it sends to another, as partitions move.

Everything but `open` runs on the writer's thread:

1. The group of the topic's writers assigns partitions. Those that are ours are claimed when
   something is to be appended.
2. An append to a partition that is not ours travels to its writer, and so do those after it until
   they are answered, so that they keep their order.
3. A partition that was taken from us ends its session when all that it sent is answered. What it
   has not decided travels to the next writer; what others asked of us is left to that one.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final, Literal, TypeAlias

from eventstore.errors import EventStoreError, StoreClosed
from eventstore.kafka._trouble import Trouble
from eventstore.kafka.answering import Answering
from eventstore.kafka.forwarding import Forwarding
from eventstore.kafka.mail import Mail
from eventstore.kafka.messages import Encoder
from eventstore.kafka.ownership import Ownership, Taken
from eventstore.kafka.partition import Partition
from eventstore.kafka.replies import Replies
from eventstore.kafka.request_format import Reply
from eventstore.kafka.requests import AppendRequest, Call
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import TopicInfo, Topics

Role: TypeAlias = Literal["writer", "client", "sole"]
"""What a process is to a topic: one of its writers (claims what it is assigned, and sends the
rest to the others); a client (sends everything); or its sole writer (claims whatever it appends
to, without asking or telling anybody: for tests and repairs)."""

JOINING_SECONDS: Final = 0.5
"""Seconds that appends wait for the first partitions of a member that found no other, before they
travel. One that found others waits for nothing: they answer until its partitions move."""
FLUSH_SECONDS: Final = 5.0
"""Seconds that closing waits for its last replies to be acknowledged."""
MOVED: Final = "its partition assigned to another process"


class Routing:
    """Knows which partitions are ours; ``partition`` gives one, ``tell`` reaches the writer."""

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Topics,
        encoder: Encoder,
        *,
        role: Role,
        partition: Callable[[str, int], Partition],
        tell: Callable[[Call], None],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._role: Role = role
        self._partition = partition
        self._tell = tell
        self._mail = Mail(settings)
        self._forwarding = Forwarding(
            self._mail, encoder, has_writers=topics.has_writers, tell=tell
        )
        self._answering = Answering(self._mail, self._settled)
        self._trouble = Trouble()
        self._replies: Replies | None = None
        self._members: dict[str, Ownership] = {}
        self._owned: dict[str, frozenset[int]] = {}
        """The partitions of each topic that were assigned to us, from the first time on."""
        self._alone_until: dict[str, float] = {}
        self._opening = threading.Lock()
        self._closed = False
        self._held: dict[tuple[str, int], list[AppendRequest]] = {}
        """Appends to partitions that are ours, or may be in a moment, behind some that travel."""

    # called from other threads

    def open(self, info: TopicInfo) -> None:
        """Be able to append to a topic, before the first append to it.

        Raises:
            TopicError, ConfigurationError: The request topics cannot be used.
        """
        if self._role == "sole":
            return
        reply_ends = self._topics.ensure_mail(info)
        alone = self._role == "writer" and not self._has_writers(info.topic)
        with self._opening:
            self._open(info, reply_ends, alone=alone)

    def _has_writers(self, topic: str) -> bool:
        try:
            return self._topics.has_writers(topic)
        except EventStoreError:  # a group that nobody has joined yet may not be known
            return False

    def _open(self, info: TopicInfo, reply_ends: Mapping[int, int], *, alone: bool) -> None:
        if self._closed:
            raise StoreClosed("expected an open store; found it closed: open it again")
        if self._replies is None:
            self._replies = Replies(self._settings, self._forwarding.sender, self._heard)
        partition = self._replies.open(info.topic, reply_ends)
        self._forwarding.reply_partitions[info.topic] = partition
        if self._role == "writer":
            if alone:
                self._alone_until[info.topic] = time.monotonic() + JOINING_SECONDS
            member = Ownership(
                self._settings,
                info.topic,
                info.partitions,
                taken=self._taken,
                moved=self._moved,
            )
            self._members[info.topic] = member  # before any request is taken: each is settled there
            member.start()

    # on the writer's thread

    def owns(self, topic: str, number: int) -> bool:
        """Whether this process may claim the partition."""
        return self._role == "sole" or number in self._owned.get(topic, ())

    @property
    def busy(self) -> bool:
        """Whether an append of this process waits for others, or for its order."""
        return bool(self._held) or len(self._forwarding) > 0

    def route(self, request: AppendRequest) -> None:
        """Let an append be decided here, or send it to who decides it.

        While some of this process's travel, none waits to be decided here: so none overtakes.
        """
        topic, number = request.append.topic, request.partition
        held = self._held.get((topic, number))
        partition = self._partition(topic, number)
        travels = self._forwarding.waits_for(topic, number)
        if held is not None:
            held.append(request)
        elif not travels and (self.owns(topic, number) or partition.busy):
            partition.waiting.append(request)  # if it is not ours: behind what is given away next
        elif self._may_be_ours(topic, number):
            self._held[topic, number] = [request]
        else:
            self._forwarding.send(request)

    def attend(self, partitions: Iterable[Partition]) -> None:
        """Let go what was held back, and give away what is not ours any more."""
        self._mail.poll()
        self._answering.send_again()
        for topic, number in [*self._held]:
            if self._is_ready(topic, number):
                self._partition(topic, number).waiting.extend(self._held.pop((topic, number)))
            elif not self._may_be_ours(topic, number):
                for request in self._held.pop((topic, number)):
                    self._forwarding.send(request)
        for partition in partitions:
            if not partition.owned and partition.at_rest:
                self._give_away(partition)

    def give_up(self) -> None:
        """Answer what was sent to others, or held back, and got no answer in time."""
        self._forwarding.give_up()
        now = time.monotonic()
        for where, held in [*self._held.items()]:
            left = [each for each in held if each.until > now]
            for late in (each for each in held if each.until <= now):
                late.refuse(late.unknown("no answer to what was sent before it"))
            if left:
                self._held[where] = left
            else:
                del self._held[where]

    def stop_taking(self) -> None:
        """Take no more requests: others will."""
        for member in [*self._members.values()]:
            member.stop_taking()

    def close(self, error: EventStoreError, seconds: float) -> None:
        """Leave the groups once the last answers are acknowledged; refuse what still waits."""
        with self._opening:
            self._closed = True
        for request in self._all_held():
            request.refuse(error)
        self._forwarding.refuse_everything(error)
        if self._members:
            self._mail.flush(FLUSH_SECONDS)
        for member in self._members.values():
            member.leave()
        for member in self._members.values():
            member.join(seconds)
        if self._replies is not None:
            self._replies.close(seconds)
        self._mail.close()

    def _all_held(self) -> Iterator[AppendRequest]:
        while self._held:
            yield from self._held.popitem()[1]

    def _is_ready(self, topic: str, number: int) -> bool:
        """Whether it is ours, and nothing that we sent to its last writer is on its way."""
        return self.owns(topic, number) and not self._forwarding.waits_for(topic, number)

    def _may_be_ours(self, topic: str, number: int) -> bool:
        """Whether it is ours, or nothing is assigned yet and we joined a moment ago, alone."""
        if topic in self._owned or self._role == "client":
            return self.owns(topic, number)
        return time.monotonic() < self._alone_until.get(topic, 0.0)

    def _give_away(self, partition: Partition) -> None:
        for request in partition.take_waiting():
            if request.forwarded:
                request.leave(MOVED)
            else:
                self._forwarding.send(request)

    # what comes from the threads that listen

    def _heard(self, reply: Reply) -> None:
        self._tell(partial(self._forwarding.heard, reply))

    def _taken(self, topic: str, taken: Taken) -> None:
        self._tell(partial(self._accept, topic, taken))

    def _accept(self, topic: str, taken: Taken) -> None:
        """Take on another's request, whatever it holds: none may hold up a writer, or the next."""
        try:
            request = self._answering.accept(topic, taken)
        except Exception as error:  # noqa: BLE001 - a request's fault is its sender's alone
            self._trouble.warn(f"a request to {topic} could not be taken on", error)
            self._settled(topic, taken.partition, taken.offset)
            return
        if request is None:
            return
        if self.owns(topic, taken.partition):
            self._partition(topic, taken.partition).waiting.append(request)
        else:
            request.leave(MOVED)

    def _moved(self, topic: str, owned: frozenset[int]) -> None:
        self._tell(partial(self._own, topic, owned))

    def _own(self, topic: str, owned: frozenset[int]) -> None:
        before = self._owned.get(topic, frozenset())
        self._owned[topic] = owned
        for number in before ^ owned:
            self._partition(topic, number).move(owned=number in owned)

    def _settled(self, topic: str, partition: int, offset: int) -> None:
        member = self._members.get(topic)
        if member is not None:
            member.answered(partition, offset)
