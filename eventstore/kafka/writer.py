"""The writer: one thread that claims partitions, decides appends, and sends them.

All state of the partitions belongs to this thread. Two others help it and answer through its
inbox: one reads logs for claims (`Restorer`), one stores checkpoints (`Checkpointer`).
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.defaults import CHECKPOINT_SECONDS
from eventstore.errors import EventStoreError, StoreClosed
from eventstore.kafka.checkpointer import Checkpointer, Stored
from eventstore.kafka.messages import Encoder
from eventstore.kafka.partition import PATIENCE_SECONDS, Partition, Phase
from eventstore.kafka.requests import AppendRequest, Question
from eventstore.kafka.restorer import Restored, Restorer
from eventstore.kafka.session import Session
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import TopicInfo
from eventstore.kafka.transport import Transport
from eventstore.log import LogPosition
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Checkpoint, Found, LookUp, PartitionKey

RECORDS_IN_FLIGHT: Final = 50_000
"""Records handed to the client and not reported: half of its queue, so that it never overflows."""
REPORT_SECONDS: Final = 0.001
"""Seconds to wait for reports while there are records in flight, before looking at the inbox."""
TICK_SECONDS: Final = 0.05
"""Seconds between two looks at the clock while nothing comes."""
CLOSING_SECONDS: Final = 30.0
"""Seconds that closing waits for appends in flight."""

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
        self._connection: Connection[TupleRow] | None = None
        self._look_up_after = 0.0
        self._stopping = False
        self._failure: BaseException | None = None
        self._restorer = Restorer(settings, postgres)
        self._checkpointer = (
            None if postgres is None else Checkpointer(postgres, self._checkpoint_stored)
        )
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
        if self._failure is not None or not self._thread.is_alive():
            self._refuse_all()

    def close(self) -> None:
        """Wait for appends in flight, store last checkpoints, end the threads."""

        def stop() -> None:
            self._stopping = True

        self._inbox.put(stop)
        self._thread.join()
        self._jobs.put(None)
        self._helper.join()
        self._refuse_all()

    # the loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._take()
                self._turn()
            self._finish()
        except BaseException as error:
            self._failure = error
            self._refuse_all()
            raise
        finally:
            self._transport.close(0)
            if self._connection is not None:
                self._connection.close()

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
                elif isinstance(item, Question):
                    look_up = item.look_up
                    self._partition(look_up.topic, look_up.partition).questions.append(item)
                else:
                    item()
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
        for partition in self._partitions.values():
            phase = partition.phase
            if phase is Phase.SERVING:
                self._checkpoint_if_due(partition, now)
            elif phase is Phase.DOUBTING:
                if partition.session is None or partition.session.outstanding == 0:
                    partition.settle()
            elif phase is Phase.IDLE and partition.wanted and now >= partition.retry_at:
                self._read_on(partition)

    # serving

    def _serve(self) -> None:
        """Decide what waits: the group commit."""
        serving = [
            each
            for each in self._partitions.values()
            if each.serving and each.wanted
        ]
        if not serving:
            return
        found = self._look_up(serving)
        for partition in serving:
            for question in partition.take_questions():
                question.answer(partition.heads, found)
            self._serve_partition(partition, found)

    def _serve_partition(self, partition: Partition, found: dict[LookUp, Found | None]) -> None:
        later: list[AppendRequest] = []
        waiting, partition.waiting = partition.waiting, type(partition.waiting)()
        while waiting and partition.serving and self._transport.in_flight < RECORDS_IN_FLIGHT:
            request = waiting.popleft()
            if partition.needs_look_up(request):
                look_up = partition.look_up_of(request)
                if look_up not in found:
                    later.append(request)
                    continue
                if not partition.accept(look_up, found[look_up]):
                    later.append(request)
                    break
            if not partition.serve(request):
                later.append(request)
                break
        partition.waiting.extendleft(reversed([*later, *waiting]))

    def _look_up(self, serving: Iterable[Partition]) -> dict[LookUp, Found | None]:
        """Look up in PostgreSQL, in one statement, what memory cannot decide."""
        wanted = list(dict.fromkeys(ask for each in serving for ask in each.unknown()))
        if not wanted or self._postgres is None or time.monotonic() < self._look_up_after:
            return {}
        try:
            if self._connection is None or self._connection.broken:
                self._connection = address.connect(self._postgres, autocommit=True)
            return dict(zip(wanted, checkpoints.look_up(self._connection, wanted), strict=True))
        except psycopg.Error as error:
            self._connection = None
            self._look_up_after = time.monotonic() + 1.0
            for partition in serving:
                partition.give_up(f"PostgreSQL: {error}", older_than=PATIENCE_SECONDS)
            return {}

    # claiming: on the helper's thread the log is read, on ours the claim is sent

    def _help(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._restorer.close()

    def _read_on(self, partition: Partition) -> None:
        """Read the log to its end; answer what is asked, and claim if there is to append."""
        partition.phase = Phase.READING
        known, partition.restored = partition.restored, None
        questions = partition.take_questions()

        def job() -> None:
            try:
                restored = self._restorer.read_on(partition.key, known)
                wanted = [each.look_up for each in questions if not each.known(restored.heads)]
                found = self._restorer.look_up(wanted)
            except Exception as error:  # noqa: BLE001
                for question in questions:
                    question.future.set_exception(error)
                self._tell(partial(self._lost, partition, error))
                return
            for question in questions:
                question.answer(restored.heads, found)
            self._tell(partial(self._learned, partition, restored))

        self._jobs.put(job)

    def _learned(self, partition: Partition, restored: Restored) -> None:
        partition.restored = restored
        partition.phase = Phase.IDLE
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
                confirmed = self._restorer.confirm(partition.key, restored, claim)
            except Exception as error:  # noqa: BLE001
                self._tell(partial(self._lost, partition, error))
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

    def _lost(self, partition: Partition, error: BaseException) -> None:
        """No claim now: be passive, then try again."""
        partition.restored = partition.claiming = None
        partition.pause()
        partition.give_up(f"no claim to its partition: {error}", older_than=PATIENCE_SECONDS)

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
        due = now - partition.checkpointed_at >= CHECKPOINT_SECONDS or self._stopping
        if self._checkpointer is None or partition.checkpointing or not due:
            return
        checkpoint = partition.checkpoint()
        if checkpoint is not None:
            partition.checkpointing = True
            partition.checkpointed_at = now
            self._checkpointer.store(checkpoint)

    def _checkpoint_stored(self, checkpoint: Checkpoint, stored: Stored) -> None:
        partition = self._partitions[checkpoint.key.topic, checkpoint.key.partition]
        self._tell(partial(partition.checkpointed, checkpoint, stored))

    # ending

    def _finish(self) -> None:
        """Answer what can be answered, then store the last checkpoints."""
        deadline = time.monotonic() + CLOSING_SECONDS
        while self._busy() and time.monotonic() < deadline:
            self._take()
            self._turn()
        for partition in self._partitions.values():
            if partition.serving:
                self._checkpoint_if_due(partition, time.monotonic())
        if self._checkpointer is not None:
            self._checkpointer.close()

    def _busy(self) -> bool:
        return any(each.busy for each in self._partitions.values())

    def _refuse_all(self) -> None:
        """The store is closed or has failed: nobody waits for an answer that will not come."""
        why = "closed" if self._failure is None else f"failed ({self._failure})"
        error = StoreClosed(f"expected an open store; found it {why}: open it again")
        for partition in self._partitions.values():
            partition.refuse_everything(error)
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if isinstance(item, AppendRequest):
                item.refuse(error)
            elif isinstance(item, Question):
                item.future.set_exception(error)

    def _tell(self, call: Call) -> None:
        self._inbox.put(call)
