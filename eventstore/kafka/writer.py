"""The writer: one thread that claims partitions, decides appends, and sends them.

All state of the partitions belongs to this thread. Three others help it and answer through its
inbox: one reads logs for claims (`Claiming`), one looks up heads and ids (`LookUps`), one stores
checkpoints (`Checkpointer`). So it waits for nobody: not for PostgreSQL, not for a long log.
"""

import queue
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from eventstore.collector import uncollected
from eventstore.defaults import CHECKPOINT_SECONDS, CONNECT_SECONDS
from eventstore.errors import (
    EventStoreError,
    StoreClosed,
)
from eventstore.kafka._trouble import LOGGER
from eventstore.kafka.checkpointer import Checkpointer, Stored
from eventstore.kafka.claiming import Claiming
from eventstore.kafka.lookups import Answers, LookUps
from eventstore.kafka.messages import Encoder
from eventstore.kafka.partition import PATIENCE_SECONDS, Partition, Phase
from eventstore.kafka.requests import AppendRequest, Call, Question, encode_together
from eventstore.kafka.restorer import Restorer
from eventstore.kafka.routing import Role, Routing
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import TopicInfo, Topics
from eventstore.kafka.transport import Transport
from eventstore.postgres.checkpoints import Checkpoint, PartitionKey

RECORDS_IN_FLIGHT: Final = 50_000
"""Records handed to the client and not reported: half of its queue, so that it never overflows."""
REPORT_SECONDS: Final = 0.001
"""Seconds to wait for reports while there are records in flight, before looking at the inbox."""
ATTEND_SECONDS: Final = 0.005
"""Seconds between two looks at every partition while there are records in flight."""
TICK_SECONDS: Final = 0.05
"""Seconds between two looks at the clock while nothing comes."""
UNCOLLECTED_SECONDS: Final = 0.25
"""Seconds of turns without Python's garbage collector, at most."""
CLOSING_SECONDS: Final = 30.0
"""Seconds that closing waits for appends in flight."""


class Writer:
    """Appends to the partitions of some topics, or sends appends to who does."""

    def __init__(
        self,
        settings: KafkaSettings,
        postgres: str | None,
        encoder: Encoder,
        *,
        topics: Topics,
        role: Role,
    ) -> None:
        self._encoder = encoder
        self._role: Role = role
        self._postgres = postgres
        self._transport = Transport(settings)
        self._inbox: queue.SimpleQueue[AppendRequest | Question[Any] | Call] = queue.SimpleQueue()
        self._topics: dict[str, TopicInfo] = {}
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._found: Answers = {}
        self._looking_up = False
        self._checkpoints: list[Call] = []
        """Checkpoints of which it is known what became, not yet told to their partitions."""
        self._attended_at = 0.0
        self._gave_up_at = 0.0
        self._stopping = False
        self._ended = False
        self._failure: BaseException | None = None
        self._claiming = Claiming(
            Restorer(settings, postgres),
            self._transport,
            partitions=self._partitions.values,
            tell=self._tell,
        )
        self._routing = Routing(
            settings, topics, encoder, role=role, partition=self._partition, tell=self._tell
        )
        self._look_ups: LookUps | None = None
        self._checkpointer: Checkpointer | None = None
        if postgres is None:
            LOGGER.warning(
                "no PostgreSQL: heads are restored from the start of each partition, which takes "
                "longer as the log grows"
            )
        else:
            self._look_ups = LookUps(postgres, self._heard_of_look_ups)
            self._checkpointer = Checkpointer(postgres, self._heard_of_checkpoint)
        self._thread = threading.Thread(target=self._run, name="foldlog writer", daemon=True)
        self._thread.start()

    # called from other threads

    def serve_topic(self, info: TopicInfo) -> None:
        """Make a topic known, before the first request for it."""
        self._topics[info.topic] = info

    def open_topic(self, info: TopicInfo) -> None:
        """Be able to append to a topic, before the first append; raises as `Routing.open`."""
        if self._role != "client":
            self._tell(self._transport.prepare)
        self._routing.open(info)

    def put(self, request: AppendRequest | Question[Any]) -> None:
        """Hand over a request; its future gets the answer."""
        self._inbox.put(request)
        if self._ended:
            self._refuse_inbox()

    @property
    def is_current(self) -> bool:
        """Whether this is the writer's thread, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def check(self) -> None:
        """Raise `StoreClosed` if the writer has failed or is closed."""
        if self._ended or self._failure is not None:
            raise self._closed()

    def close(self) -> None:
        """Wait for appends in flight, store last checkpoints, end the threads.

        A thread that a silent server holds for longer than `CLOSING_SECONDS` is left alone.
        """

        def stop() -> None:
            self._stopping = True

        self._inbox.put(stop)
        self._thread.join()
        self._claiming.join(CLOSING_SECONDS)

    # the loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._take()
                with uncollected():
                    self._work()
            self._finish()
        except BaseException as error:  # noqa: BLE001 - whoever waits or asks is told
            self._failure = error
            LOGGER.critical("the writer has failed: open the store again", exc_info=True)
        finally:
            self._end()

    def _work(self) -> None:
        """Take turns while there is something in flight, for a while.

        Without the collector, which took a tenth of the time: nearly all that it found at the end
        of each turn was still in flight, and goes without it.
        """
        until = time.monotonic() + UNCOLLECTED_SECONDS
        self._turn()
        while self._transport.in_flight and not self._stopping and time.monotonic() < until:
            self._take()
            self._turn()

    def _turn(self) -> None:
        self._serve()
        if self._transport.in_flight:
            self._transport.poll(REPORT_SECONDS)
        if self._transport.failure is not None:
            self._lose_producer(self._transport.failure)
        self._attend()

    def _take(self) -> None:
        """Take what waits in the inbox; wait for it while nothing else is to be done."""
        inbox, taken = self._inbox, list[AppendRequest | Question[Any] | Call]()
        with suppress(queue.Empty):
            taken.append(inbox.get(timeout=0 if self._transport.in_flight else TICK_SECONDS))
            for _ in range(inbox.qsize()):
                taken.append(inbox.get_nowait())
        encode_together(self._encoder, [each for each in taken if isinstance(each, AppendRequest)])
        for item in taken:
            self._heed(item)

    def _heed(self, item: AppendRequest | Question[Any] | Call) -> None:
        if isinstance(item, AppendRequest):
            self._routing.route(item)
        elif callable(item):
            item()
        else:
            look_up = item.look_up
            self._partition(look_up.topic, look_up.partition).questions.append(item)

    def _partition(self, topic: str, number: int) -> Partition:
        partition = self._partitions.get((topic, number))
        if partition is None:
            info = self._topics[topic]
            key = PartitionKey(topic, info.topic_id, number)
            partition = Partition(
                key, info.partitions, encoder=self._encoder, transport=self._transport
            )
            partition.owned = self._routing.owns(topic, number)
            self._partitions[topic, number] = partition
        return partition

    def _attend(self) -> None:
        """Look at every partition: claims to begin, doubts to settle, checkpoints that are due."""
        now = time.monotonic()
        if self._transport.in_flight and now - self._attended_at < ATTEND_SECONDS:
            return  # the next turn comes soon
        self._attended_at = now
        if now - self._gave_up_at > TICK_SECONDS:
            self._gave_up_at = now
            self._give_up(now)
        self._routing.attend(self._partitions.values())
        for partition in self._partitions.values():
            phase = partition.phase
            if phase is Phase.SERVING:
                self._checkpoint_if_due(partition, now)
                if partition.leaving and partition.drained and not partition.checkpointing:
                    self._checkpoint(partition, now)
                    partition.retire()
            elif phase is Phase.DOUBTING:
                if partition.session is None or partition.session.outstanding == 0:
                    partition.settle()
            elif phase is Phase.IDLE and partition.wanted and now >= partition.retry_at:
                self._claiming.read_on(partition)

    def _give_up(self, now: float) -> None:
        """Answer what has waited for too long because something is out of order."""
        self._routing.give_up()
        stalled = now - self._claiming.seen > PATIENCE_SECONDS
        for partition in self._partitions.values():
            why = partition.trouble
            if partition.serving:
                why = why or "no answer from PostgreSQL"
            elif partition.phase in {Phase.READING, Phase.CONFIRMING} and stalled:
                why = why or "no answer while its partition was read"
            if why is not None:
                partition.give_up(why, older_than=PATIENCE_SECONDS)

    # serving

    def _serve(self) -> None:
        """Decide what waits: the group commit.

        What was looked up is used in the turn in which it comes, or not at all; what is said of
        checkpoints is heard in between. So nothing is forgotten while a look-up is on its way.
        """
        found, self._found = self._found, {}
        wanted = [each for each in self._partitions.values() if each.wanted and each.deciding]
        for partition in wanted:
            partition.answer_questions(found)
            partition.serve_waiting(found, room=self._has_room)
        self._transport.send()
        if not self._looking_up:
            while self._checkpoints:
                self._checkpoints.pop()()
            self._look_up(each for each in wanted if each.deciding)

    def _has_room(self) -> bool:
        return self._transport.in_flight < RECORDS_IN_FLIGHT

    def _look_up(self, partitions: Iterable[Partition]) -> None:
        """Ask PostgreSQL for what memory cannot decide."""
        if self._look_ups is None:
            return
        unknown = list(dict.fromkeys(ask for each in partitions for ask in each.unknown()))
        if unknown:
            self._looking_up = True
            self._look_ups.ask(unknown)

    def _looked_up(self, found: Answers, trouble: str | None) -> None:
        self._looking_up = False
        self._found = found
        for partition in self._partitions.values():
            if partition.serving:
                partition.trouble = trouble

    # ending sessions

    def _lose_producer(self, why: str) -> None:
        """An error of the producer ends every session."""
        for partition in self._partitions.values():
            if partition.session is not None:
                partition.session.doubt(f"the producer failed: {why}")
            elif partition.claiming is not None:
                self._claiming.lost(partition, EventStoreError(f"the producer failed: {why}"))
        self._transport.discard()
        for partition in self._partitions.values():
            if partition.phase is Phase.DOUBTING:
                partition.settle()

    # checkpoints

    def _checkpoint_if_due(self, partition: Partition, now: float) -> None:
        if now - partition.checkpointed_at >= CHECKPOINT_SECONDS and not partition.checkpointing:
            self._checkpoint(partition, now)

    def _checkpoint(self, partition: Partition, now: float) -> None:
        if self._checkpointer is None:
            return
        partition.checkpointing = True  # first: else all seems to be stored once it is taken
        checkpoint = partition.checkpoint()
        if checkpoint is None:
            partition.checkpointing = False
        else:
            partition.checkpointed_at = now
            self._checkpointer.store(checkpoint)

    def _heard_of_checkpoint(self, checkpoint: Checkpoint, stored: Stored) -> None:
        partition = self._partitions[checkpoint.key.topic, checkpoint.key.partition]
        told = partial(partition.checkpointed, checkpoint, stored)
        self._tell(partial(self._checkpoints.append, told))

    def _heard_of_look_ups(self, found: Answers, trouble: str | None) -> None:
        self._tell(partial(self._looked_up, found, trouble))

    # ending

    def _finish(self) -> None:
        """Answer what can be answered, then store the last checkpoints.

        While others are to answer us we answer them: they may be closing too.
        """
        deadline = time.monotonic() + CLOSING_SECONDS
        while self._routing.busy and time.monotonic() < deadline:
            self._take()
            self._turn()
        self._routing.stop_taking()
        while self._busy() and time.monotonic() < deadline:
            self._take()
            self._turn()
        for partition in self._partitions.values():
            if partition.serving and not partition.checkpointing:
                self._checkpoint(partition, time.monotonic())

    def _busy(self) -> bool:
        """Whether an append waits, or a checkpoint after which the last is still to be stored."""
        partitions = self._partitions.values()
        checkpointing = (each.serving and each.checkpointing for each in partitions)
        return self._routing.busy or any(each.busy for each in partitions) or any(checkpointing)

    def _end(self) -> None:
        """The store is closed or has failed: nobody waits for an answer that will not come."""
        for partition in self._partitions.values():
            partition.refuse_everything(self._closed())
        self._ended = True
        self._refuse_inbox()
        self._claiming.stop()
        self._routing.close(self._closed(), CLOSING_SECONDS)
        if self._checkpointer is not None:
            self._checkpointer.close(CLOSING_SECONDS)
        if self._look_ups is not None:
            self._look_ups.close(CONNECT_SECONDS)
        self._transport.close(0)

    def _refuse_inbox(self) -> None:
        with suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, AppendRequest | Question):
                    item.refuse(self._closed())

    def _closed(self) -> StoreClosed:
        why = "closed" if self._failure is None else f"failed ({self._failure!r})"
        error = StoreClosed(f"expected an open store; found it {why}: open it again")
        error.__cause__ = self._failure
        return error

    def _tell(self, call: Call) -> None:
        self._inbox.put(call)
