"""The one idempotent producer of a writer, shared by the sessions of all its partitions.

Twelve producers reached half of what one does, at twice the CPU. So an error of the producer
ends every session that it served, and the producer with them; the next claims get a new one.
"""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventstore._failpoints import reached
from eventstore.kafka.records import (
    EncodedAppend,
    Record,
    Report,
    claim_header,
    send_append,
    send_claim,
)
from eventstore.kafka.requests import AppendRequest
from eventstore.kafka.session import Session
from eventstore.kafka.settings import KafkaSettings
from eventstore.postgres.checkpoints import PartitionKey

Claimed = Callable[[int | None, str], None]
"""Called with the claim's offset, or with None and the reason why it was not acknowledged."""

SETTLE_SECONDS: Final = 5.0
"""Seconds that a discarded producer gets to report what it knows of its last records."""

PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001


class Outgoing(NamedTuple):
    """An append, ready to be sent."""

    key: PartitionKey
    session: Session[AppendRequest]
    request: AppendRequest
    append: EncodedAppend
    records: Sequence[Record]
    report: Report


class Reports(NamedTuple):
    """Reports of one session, in the order in which they came."""

    session: Session[AppendRequest]
    error: KafkaError | None
    """Why a record was not delivered; None: some were."""
    offsets: list[int | None]
    """Where those stand that were delivered."""


class Transport:
    """Sends records and claims, and hands their reports to the sessions."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._by = f"{socket.gethostname()}:{os.getpid()}"
        self._reports: deque[Reports] = deque()
        self._outgoing: deque[Outgoing] = deque()
        self._unsent = 0
        self.failure: str | None = None
        """Why the producer is of no use any more: `discard` it."""

    def prepare(self) -> None:
        """Make the producer ahead of need: it sends nothing in its first half second."""
        self._opened()

    @property
    def in_flight(self) -> int:
        """Records and claims whose reports have not come, and records that are to be sent."""
        return self._unsent + (len(self._producer) if self._producer is not None else 0)

    def reporter(self, session: Session[AppendRequest]) -> Report:
        """What the client calls for each record of ``session``."""
        keep = self._reports.append
        offsets: list[int | None] = []

        def report(error: KafkaError | None, message: Message) -> None:
            nonlocal offsets
            if error is not None:
                keep(Reports(session, error, []))
                offsets = []  # what comes after the error is handed out after it
                return
            if not offsets:
                keep(Reports(session, None, offsets))
            offsets.append(message.offset())

        return report

    def add(self, outgoing: Outgoing) -> None:
        """Take an append, to be sent in its turn by `send`."""
        self._outgoing.append(outgoing)
        self._unsent += len(outgoing.records)

    def send(self) -> None:
        """Send what was added, in order; what the client does not take puts its session in doubt.

        All at once, since the client sends the first record alone, and what comes meanwhile
        together: encoding in between makes many small requests, at two thirds of the rate.
        """
        while self._outgoing:
            key, session, request, append, records, report = self._outgoing.popleft()
            self._unsent -= len(records)
            if not session.serving:
                continue
            reached("before_send")
            taken = send_append(self._opened(), key, append, records, report)
            reached("after_send")
            session.outstanding += taken
            if taken < len(records):
                session.doubt(f"the client took {taken} of {len(records)} records of an append")
                request.failed(str(session.reason))

    def claim(
        self, key: PartitionKey, *, epoch: int, writer: bytes, partitions: int, claimed: Claimed
    ) -> None:
        """Send a claim; that it fails is its partition's trouble alone, unless it is fatal."""

        def report(error: KafkaError | None, message: Message) -> None:
            if error is None:
                claimed(message.offset(), "")
            else:
                self._heard(error)
                claimed(None, error.str())

        header = claim_header(epoch=epoch, writer=writer, partitions=partitions)
        try:
            send_claim(self._opened(), key, header, self._by, report)
        except (KafkaException, BufferError) as error:
            claimed(None, str(error))

    def poll(self, seconds: float) -> None:
        """Hand out reports; return as soon as some came, or after ``seconds``."""
        if self._producer is not None:
            self._producer.poll(seconds)
        self._hand_out()

    def discard(self) -> None:
        """Throw the producer away; what it had not delivered is reported as failed first."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            deadline = time.monotonic() + SETTLE_SECONDS
            while len(producer) and time.monotonic() < deadline:
                producer.poll(0.05)
        self._hand_out()
        self.failure = None

    def close(self, seconds: float) -> None:
        """Wait for outstanding reports, then throw the producer away."""
        if self._producer is not None:
            self._producer.flush(seconds)
        self.discard()

    def _hand_out(self) -> None:
        """Give the sessions their reports, in order.

        Not from within the client's callbacks: between any two of those the client lets other
        threads run, so that whoever was just answered would come in between each time.
        """
        reports = self._reports
        if reports:
            reached("acknowledged")
        while reports:
            session, error, offsets = reports.popleft()
            if error is None:
                session.acknowledge(offsets)
                offsets.clear()  # for those to come
            else:
                self._undelivered(session, error)

    def _opened(self) -> Producer:
        if self._producer is None:
            self._producer = self._settings.producer(on_error=self._heard)
        return self._producer

    def _heard(self, error: KafkaError) -> None:
        if error.fatal():
            self.failure = self.failure or error.str()

    def _undelivered(self, session: Session[AppendRequest], error: KafkaError) -> None:
        request = session.fail(f"a record was not delivered: {error.str()}")
        if request is not None and error.code() not in PURGED:
            request.failed(error.str())
        self.failure = self.failure or error.str()
