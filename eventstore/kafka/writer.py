"""The writer: one thread that claims partitions, decides appends, and sends them.

All state of the partitions belongs to this thread. Three others help it and answer through its
inbox: one reads logs for claims (`Restorer`), one looks up heads and ids (`LookUps`), one stores
checkpoints (`Checkpointer`). So it waits for nobody: not for PostgreSQL, not for a long log.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from eventstore.defaults import CHECKPOINT_SECONDS, CONNECT_SECONDS
from eventstore.errors import (
    EventStoreError,
    OffsetGone,
    StoreClosed,
    TopicError,
    UnknownRecord,
    UnreadablePartition,
)
from eventstore.kafka._trouble import LOGGER, Trouble, named
from eventstore.kafka.checkpointer import Checkpointer, Stored
from eventstore.kafka.lookups import Answers, LookUps
from eventstore.kafka.messages import Encoder
from eventstore.kafka.partition import PATIENCE_SECONDS, Partition, Phase
from eventstore.kafka.requests import AppendRequest, Question
from eventstore.kafka.restorer import Restored, Restorer
from eventstore.kafka.session import Session
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import TopicInfo
from eventstore.kafka.transport import Transport
from eventstore.log import LogPosition
from eventstore.postgres.checkpoints import Checkpoint, PartitionKey

RECORDS_IN_FLIGHT: Final = 50_000
"""Records handed to the client and not reported: half of its queue, so that it never overflows."""
REPORT_SECONDS: Final = 0.001
"""Seconds to wait for reports while there are records in flight, before looking at the inbox."""
TICK_SECONDS: Final = 0.05
"""Seconds between two looks at the clock while nothing comes."""
CLOSING_SECONDS: Final = 30.0
"""Seconds that closing waits for appends in flight."""

PERMANENT: Final = (TopicError, OffsetGone, UnknownRecord)
"""Errors of a log that trying again does not mend."""

Call = Callable[[], None]


class Writer:
    """Appends to the partitions of some topics, for this process alone."""

    def __init__(self, settings: KafkaSettings, postgres: str | None, encoder: Encoder) -> None:
        self._encoder = encoder
        self._postgres = postgres
        self._transport = Transport(settings)
        self._inbox: queue.SimpleQueue[AppendRequest | Question[Any] | Call] = queue.SimpleQueue()
        self._jobs: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._topics: dict[str, TopicInfo] = {}
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._found: Answers = {}
        self._looking_up = False
        self._checkpoints: list[Call] = []
        """Checkpoints of which it is known what became, not yet told to their partitions."""
        self._gave_up_at = 0.0
        self._stopping = False
        self._ended = False
        self._failure: BaseException | None = None
        self._trouble = Trouble()
        self._restorer = Restorer(settings, postgres)
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
        self._helper = threading.Thread(target=self._help, name="foldlog restorer", daemon=True)
        self._thread.start()
        self._helper.start()

    # called from other threads

    def serve_topic(self, info: TopicInfo) -> None:
        """Make a topic known, before the first request for it."""
        self._topics[info.topic] = info

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
        self._helper.join(CLOSING_SECONDS)

    # the loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._take()
                self._turn()
            self._finish()
        except BaseException as error:  # noqa: BLE001 - whoever waits or asks is told
            self._failure = error
            LOGGER.critical("the writer has failed: open the store again", exc_info=True)
        finally:
            self._end()

    def _turn(self) -> None:
        self._serve()
        if self._transport.in_flight:
            self._transport.poll(REPORT_SECONDS)
        if self._transport.failure is not None:
            self._lose_producer(self._transport.failure)
        self._attend()

    def _take(self) -> None:
        """Take everything that waits in the inbox; wait for it while nothing else is to be done."""
        inbox = self._inbox
        try:
            item = inbox.get(timeout=0 if self._transport.in_flight else TICK_SECONDS)
            while True:
                if isinstance(item, AppendRequest):
                    self._partition(item.append.topic, item.partition).waiting.append(item)
                elif callable(item):
                    item()
                else:
                    look_up = item.look_up
                    self._partition(look_up.topic, look_up.partition).questions.append(item)
                item = inbox.get_nowait()
        except queue.Empty:
            return

    def _partition(self, topic: str, number: int) -> Partition:
        partition = self._partitions.get((topic, number))
        if partition is None:
            info = self._topics[topic]
            key = PartitionKey(topic, info.topic_id, number)
            partition = Partition(
                key, info.partitions, encoder=self._encoder, transport=self._transport
            )
            self._partitions[topic, number] = partition
        return partition

    def _attend(self) -> None:
        """Look at every partition: claims to begin, doubts to settle, checkpoints that are due."""
        now = time.monotonic()
        if now - self._gave_up_at > TICK_SECONDS:
            self._gave_up_at = now
            self._give_up(now)
        for partition in self._partitions.values():
            phase = partition.phase
            if phase is Phase.SERVING:
                self._checkpoint_if_due(partition, now)
            elif phase is Phase.DOUBTING:
                if partition.session is None or partition.session.outstanding == 0:
                    partition.settle()
            elif phase is Phase.IDLE and partition.wanted and now >= partition.retry_at:
                self._read_on(partition)

    def _give_up(self, now: float) -> None:
        """Answer what has waited for too long because something is out of order."""
        stalled = now - self._restorer.seen > PATIENCE_SECONDS
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
        for partition in self._partitions.values():
            if partition.serving and partition.wanted:
                partition.answer_questions(found)
                partition.serve_waiting(found, room=self._has_room)
        self._transport.send()
        if not self._looking_up:
            while self._checkpoints:
                self._checkpoints.pop()()
            self._look_up()

    def _has_room(self) -> bool:
        return self._transport.in_flight < RECORDS_IN_FLIGHT

    def _look_up(self) -> None:
        """Ask PostgreSQL for what memory cannot decide."""
        if self._look_ups is None:
            return
        serving = [each for each in self._partitions.values() if each.serving and each.wanted]
        wanted = list(dict.fromkeys(ask for each in serving for ask in each.unknown()))
        if wanted:
            self._looking_up = True
            self._look_ups.ask(wanted)

    def _looked_up(self, found: Answers, trouble: str | None) -> None:
        self._looking_up = False
        self._found = found
        for partition in self._partitions.values():
            if partition.serving:
                partition.trouble = trouble

    # claiming: on the helper's thread the log is read, on ours the claim is sent

    def _help(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._ended:  # nobody waits for it any more
                continue
            try:
                job()
            except Exception:  # noqa: BLE001 - the next job may go well
                LOGGER.exception("a client that read a partition could not be closed")
        self._restorer.close()

    def _read_on(self, partition: Partition) -> None:
        """Read the log to its end; answer what is asked, and claim if there is to append."""
        partition.phase = Phase.READING
        known, partition.restored = partition.restored, None
        asked = tuple(partition.questions)  # they stay there, to be given up or refused

        def job() -> None:
            try:
                restored = self._restorer.read_on(partition.key, known)
                wanted = [each.look_up for each in asked if not each.known(restored.heads)]
                found = self._restorer.look_up(partition.key, restored, wanted)
            except Exception as error:  # noqa: BLE001 - those who wait are told
                explained = _explained(partition, error)
                self._tell(partial(self._unread, partition, asked, explained))
                self._restorer.close()
            else:
                self._tell(partial(self._learned, partition, restored, asked, found))

        self._jobs.put(job)

    def _unread(
        self, partition: Partition, asked: Sequence[Question[Any]], error: EventStoreError
    ) -> None:
        partition.refuse_asked(asked, error)
        self._lost(partition, error)

    def _learned(
        self,
        partition: Partition,
        restored: Restored,
        asked: Sequence[Question[Any]],
        found: Answers,
    ) -> None:
        partition.restored = restored
        partition.phase = Phase.IDLE
        partition.answer_asked(asked, restored.heads, found)
        if partition.waiting:
            self._claim(partition, restored)

    def _claim(self, partition: Partition, restored: Restored) -> None:
        partition.phase = Phase.CLAIMING
        epoch, writer = restored.rule.position.epoch + 1, os.urandom(8)

        partition.claiming = writer

        def claimed(offset: int | None, why: str) -> None:
            if partition.claiming != writer:
                return
            if offset is None:
                self._lost(partition, EventStoreError(f"the claim was not acknowledged: {why}"))
                self._renew_producer(why)
            else:
                claim = LogPosition(offset + 1, epoch, writer, 1)
                self._confirm(partition, restored, claim)

        self._transport.claim(
            partition.key,
            epoch=epoch,
            writer=writer,
            partitions=partition.partitions,
            claimed=claimed,
        )

    def _confirm(self, partition: Partition, restored: Restored, claim: LogPosition) -> None:
        partition.phase = Phase.CONFIRMING

        def job() -> None:
            try:
                confirmed = self._restorer.confirm(
                    partition.key, restored, claim, partitions=partition.partitions
                )
            except Exception as error:  # noqa: BLE001 - those who wait are told
                explained = _explained(partition, error)
                self._tell(partial(self._unconfirmed, partition, claim, explained))
                self._restorer.close()
            else:
                self._tell(partial(self._confirmed, partition, confirmed, claim))

        self._jobs.put(job)

    def _confirmed(
        self, partition: Partition, restored: Restored | None, claim: LogPosition
    ) -> None:
        if partition.claiming != claim.writer:
            return
        if restored is None:
            self._lost(partition, EventStoreError("another process claimed it first"))
        else:
            session = Session(
                epoch=claim.epoch,
                writer=claim.writer,
                claim_offset=claim.next_offset - 1,
                completed=partition.completed,
                doubted=partition.doubted,
            )
            partition.claimed(session, restored)

    def _unconfirmed(
        self, partition: Partition, claim: LogPosition, error: EventStoreError
    ) -> None:
        if partition.claiming == claim.writer:
            self._lost(partition, error)

    def _lost(self, partition: Partition, error: EventStoreError) -> None:
        """No claim now: be passive, then try again, unless that cannot help."""
        self._trouble.warn(f"no claim to {named(partition.key)}", error)
        partition.restored = partition.claiming = None
        partition.trouble = f"no claim to its partition: {error}"
        partition.pause()
        if isinstance(error, PERMANENT):
            partition.refuse_waiting(error)
        elif isinstance(error, UnreadablePartition):
            for other in self._partitions.values():  # their turn to wait for the same server
                if not other.serving:
                    other.trouble = other.trouble or partition.trouble

    def _renew_producer(self, why: str) -> None:
        """Where nothing rests on a producer, another costs nothing, and may do better."""
        if not any(each.session or each.claiming for each in self._partitions.values()):
            self._transport.failure = self._transport.failure or why

    def _lose_producer(self, why: str) -> None:
        """An error of the producer ends every session."""
        for partition in self._partitions.values():
            if partition.session is not None:
                partition.session.doubt(f"the producer failed: {why}")
            elif partition.claiming is not None:
                self._lost(partition, EventStoreError(f"the producer failed: {why}"))
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
        checkpoint = partition.checkpoint()
        if checkpoint is not None:
            partition.checkpointing = True
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
        """Answer what can be answered, then store the last checkpoints."""
        deadline = time.monotonic() + CLOSING_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._take()
            self._turn()
        for partition in self._partitions.values():
            if partition.serving and not partition.checkpointing:
                self._checkpoint(partition, time.monotonic())

    def _busy(self) -> bool:
        """Whether an append waits, or a checkpoint after which the last is still to be stored."""
        partitions = self._partitions.values()
        return any(each.busy or (each.serving and each.checkpointing) for each in partitions)

    def _end(self) -> None:
        """The store is closed or has failed: nobody waits for an answer that will not come."""
        for partition in self._partitions.values():
            partition.refuse_everything(self._closed())
        self._ended = True
        self._refuse_inbox()
        self._restorer.stop()
        self._jobs.put(None)
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


def _explained(partition: Partition, error: Exception) -> EventStoreError:
    """The error as one of ours."""
    if isinstance(error, EventStoreError):
        return error
    return UnreadablePartition(partition.key.topic, partition.key.partition, str(error))
