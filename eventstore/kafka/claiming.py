"""Claiming: a thread reads partitions, the writer's sends claims and hears what became of them.

Each claim is read up to before it is served: only if the record at its offset is the accepted
claim does a session begin, with heads as of there.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

import psycopg

from eventstore._failpoints import reached
from eventstore.errors import (
    EventStoreError,
    OffsetGone,
    TopicError,
    UnknownRecord,
    UnreadablePartition,
)
from eventstore.kafka._trouble import LOGGER, Trouble, named
from eventstore.kafka.lookups import Answers
from eventstore.kafka.partition import Partition, Phase
from eventstore.kafka.requests import Call, Question
from eventstore.kafka.restorer import Restored, Restorer
from eventstore.kafka.session import Session
from eventstore.kafka.transport import Transport
from eventstore.log import LogPosition

PERMANENT: Final = (TopicError, OffsetGone, UnknownRecord)
"""Errors of a log that trying again does not mend."""


class Claiming:
    """Claims partitions for the writer, on whose thread everything but the reading runs.

    ``tell`` hands a call over to that thread; ``partitions`` gives all that it knows.
    """

    def __init__(
        self,
        restorer: Restorer,
        transport: Transport,
        *,
        partitions: Callable[[], Iterable[Partition]],
        tell: Callable[[Call], None],
    ) -> None:
        self._restorer = restorer
        self._transport = transport
        self._partitions = partitions
        self._tell = tell
        self._jobs: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._ending = False
        self._trouble = Trouble()
        self._thread = threading.Thread(target=self._help, name="foldlog restorer", daemon=True)
        self._thread.start()

    @property
    def seen(self) -> float:
        """When the reading last moved, by the monotonic clock."""
        return self._restorer.seen

    def stop(self) -> None:
        """Let the reading end soon; jobs that wait are not begun."""
        self._ending = True
        self._restorer.stop()
        self._jobs.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the reading to end, for at most ``seconds``: a silent server is left alone."""
        self._thread.join(seconds)

    def _help(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._ending:  # nobody waits for it any more
                continue
            try:
                job()
            except Exception:  # noqa: BLE001 - the next job may go well
                LOGGER.exception("a client that read a partition could not be closed")
        self._restorer.close()

    def read_on(self, partition: Partition) -> None:
        """Read the log to its end; answer what is asked, and claim if there is to append."""
        partition.phase = Phase.READING
        known, partition.restored = partition.restored, None
        asked = tuple(partition.questions)  # they stay there, to be given up or refused

        def job() -> None:
            try:
                restored = self._restorer.read_on(
                    partition.key, known, cached=partition.cached, asked=bool(asked)
                )
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
        self.lost(partition, error)

    def _learned(
        self,
        partition: Partition,
        restored: Restored,
        asked: Sequence[Question[Any]],
        found: Answers,
    ) -> None:
        partition.restored = restored if restored.noting else None
        partition.phase = Phase.IDLE
        partition.answer_asked(asked, restored.heads, found)
        if partition.waiting and partition.owned:
            self._claim(partition, restored)
        else:
            partition.calm()

    def _claim(self, partition: Partition, restored: Restored) -> None:
        partition.phase = Phase.CLAIMING
        epoch, writer = restored.rule.position.epoch + 1, os.urandom(8)

        partition.claiming = writer

        def claimed(offset: int | None, why: str) -> None:
            if partition.claiming != writer:
                return
            if offset is None:
                self.lost(partition, EventStoreError(f"the claim was not acknowledged: {why}"))
                self._renew_producer(why)
            else:
                claim = LogPosition(offset + 1, epoch, writer, 1)
                self._confirm(partition, restored, claim)

        reached("before_claim")
        self._transport.claim(
            partition.key,
            epoch=epoch,
            writer=writer,
            partitions=partition.partitions,
            claimed=claimed,
        )
        reached("claim_sent")

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
            self.lost(partition, EventStoreError("another process claimed it first"))
        elif partition.leaving:
            self.lost(partition, EventStoreError("it was assigned to another process"))
        else:
            reached("claim_confirmed")
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
            self.lost(partition, error)

    def lost(self, partition: Partition, error: EventStoreError) -> None:
        """No claim now: be passive, then try again, unless that cannot help."""
        self._trouble.warn(f"no claim to {named(partition.key)}", error)
        partition.restored = partition.claiming = None
        partition.trouble = f"no claim to its partition: {error}"
        partition.pause()
        if isinstance(error, PERMANENT):
            partition.refuse_waiting(error)
        elif isinstance(error, UnreadablePartition):
            for other in self._partitions():  # their turn to wait for the same server
                if not other.serving:
                    other.trouble = other.trouble or partition.trouble

    def _renew_producer(self, why: str) -> None:
        """Where nothing rests on a producer, another costs nothing, and may do better."""
        if not any(each.session or each.claiming for each in self._partitions()):
            self._transport.failure = self._transport.failure or why


def _explained(partition: Partition, error: Exception) -> EventStoreError:
    """The error as one of ours."""
    if isinstance(error, EventStoreError):
        return error
    why = f"PostgreSQL: {error}" if isinstance(error, psycopg.Error) else str(error)
    return UnreadablePartition(partition.key.topic, partition.key.partition, why)
