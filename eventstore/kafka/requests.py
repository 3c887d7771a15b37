"""What callers ask of the writer's thread, and how they get their answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Final, Generic, TypeAlias, TypeVar

from eventstore.defaults import ANSWER_SECONDS
from eventstore.errors import UnknownOutcome
from eventstore.kafka.header import NO_OFFSET
from eventstore.kafka.heads import Heads
from eventstore.kafka.messages import Encoder
from eventstore.kafka.records import EncodedAppend, encode
from eventstore.postgres.checkpoints import Applied, Found, LookUp, Tip
from eventstore.store import Append, Appended, Position, expected_number

T = TypeVar("T")

Call: TypeAlias = Callable[[], None]
"""What another thread hands over to the writer's, to be called there."""

EVENTS_ENCODED: Final = 5_000
"""Events encoded at once, whose appends all wait for it: some 20 ms."""

# Half the time of the class itself, once for each event.
_new: Callable[[Any, Any], Position] = vars(tuple)["__new__"]


class LeftToTheNext(Exception):
    """Another process is to decide this request; who asked is told nothing by this one."""


class AppendRequest:
    """An append on its way, and everybody who waits for its answer."""

    __slots__ = (
        "answered",
        "append",
        "deadline",
        "doubted",
        "expected",
        "failures",
        "forwarded",
        "future",
        "id",
        "needs_id",
        "partition",
        "ready",
        "release",
        "since",
        "undelivered",
        "until",
        "waiters",
    )

    def __init__(
        self,
        append: Append | EncodedAppend,
        partition: int,
        *,
        release: Callable[[], None] | None = None,
        deadline: float | None = None,
    ) -> None:
        self.append = append
        self.forwarded = isinstance(append, EncodedAppend)
        """It came from another process, over the request topic."""
        self.ready = append if isinstance(append, EncodedAppend) else None
        """The append as it will be sent, once it is encoded: what was forwarded is."""
        self.partition = partition
        self.id = append.append_id.bytes
        self.expected = expected_number(append.expected)
        self.answered = False
        """As the future says too, but only behind its lock, which every answer would take twice."""
        self.future: Future[Appended] = Future()
        self.future.set_running_or_notify_cancel()  # an append cannot be retracted
        self.release = release
        self.since = time.monotonic()
        self.until = self.since + ANSWER_SECONDS
        """When it is given up, by the monotonic clock."""
        self.deadline = time.time() + ANSWER_SECONDS if deadline is None else deadline
        """Seconds since 1970 after which it is not begun: another process's clock reads it too."""
        self.waiters: list[AppendRequest] = []
        """Requests with the same append id that came while this one was in flight."""
        self.needs_id = isinstance(append, EncodedAppend) or not append.first_try
        """Whether its id may stand in the log already."""
        self.doubted = False
        """It was in flight when a session fell into doubt: the log alone knows its outcome."""
        self.failures = 0
        """How often its own delivery failed."""
        self.undelivered: str | None = None
        """Why its own delivery failed, if that was what broke its session."""

    def answer(self, version: int, last_offset: int) -> None:
        """It is in the log for good, its last event at ``last_offset``."""
        applied = Applied(self.append.stream, version, len(self.append.events), last_offset)
        self._give(appended_of(self.append.topic, self.partition, applied, repeated=False))
        for waiter in self.waiters:
            waiter.repeat(applied)

    def repeat(self, applied: Applied) -> None:
        """Its id stands in the log: the first answer again, or its own, late, after doubt."""
        repeated = not self._is_new
        self._give(appended_of(self.append.topic, self.partition, applied, repeated=repeated))

    def hear(self, outcome: Appended | Exception) -> None:
        """The answer of the process that writes to its partition.

        What was read from the request topic more than once is told of as repeated.
        """
        if isinstance(outcome, Appended) and outcome.repeated and self._is_new:
            outcome = replace(outcome, repeated=False)
        self._give(outcome)

    @property
    def _is_new(self) -> bool:
        """Whether nobody else can have used its id: then whatever it led to is its own."""
        return isinstance(self.append, Append) and self.append.first_try

    def encoded(self, encoder: Encoder) -> EncodedAppend:
        """The append as it will be sent.

        Raises:
            AppendTooLarge, EncodingError: It can never be appended.
        """
        append = self.append
        if isinstance(append, EncodedAppend):
            return append
        if self.ready is None:
            [self.ready] = encode(encoder, [append])
        return self.ready

    def leave(self, why: str) -> None:
        """Nothing is known of it here, and nothing will be, of it and those who share its answer.

        What other processes asked is left to the next writer of its partition.
        """
        self._give(LeftToTheNext() if self.forwarded else self.unknown(why))
        for waiter in self.waiters:
            waiter.leave(why)

    def refuse(self, error: Exception) -> None:
        """It was not acknowledged; the error says whether that is final."""
        self._give(error)
        for waiter in self.waiters:
            waiter.refuse(error)

    def failed(self, why: str) -> None:
        """Its own delivery failed, which broke its session."""
        self.undelivered = why
        self.failures += 1

    def doubt(self) -> "list[AppendRequest]":
        """Its session is over; gives it and who shared its answer, each to be decided anew."""
        again, self.waiters = [self, *self.waiters], []
        self.doubted = True
        for request in again:
            request.needs_id = True
        return again

    def unknown(self, why: str) -> UnknownOutcome:
        """The error that says that the log alone knows."""
        return UnknownOutcome(self.append.stream, self.append.append_id, why)

    def _give(self, outcome: Appended | Exception) -> None:
        """Make room first: who is called back may append again."""
        if self.answered:
            return
        self.answered = True
        if self.release is not None:
            self.release()
        if isinstance(outcome, Appended):
            self.future.set_result(outcome)
        else:
            self.future.set_exception(outcome)


def encode_together(encoder: Encoder, requests: Sequence[AppendRequest]) -> None:
    """Encode appends as soon as they are taken: many are quicker together than one by one.

    Others are left to their turn: those beyond `EVENTS_ENCODED`, and one that cannot be encoded,
    of which `AppendRequest.encoded` then says why.
    """
    due, events = list[AppendRequest](), 0
    for request in requests:
        if events < EVENTS_ENCODED and request.ready is None:
            due.append(request)
            events += len(request.append.events)
    if not due:  # most turns of a writer that waits for reports
        return
    appends = [each.append for each in due if isinstance(each.append, Append)]
    try:
        encoded = encode(encoder, appends)
    except Exception:  # noqa: BLE001 - an event's fault is its append's alone
        if len(due) > 1:
            for request in due:
                encode_together(encoder, [request])
        return
    for request, ready in zip(due, encoded, strict=True):
        request.ready = ready


def appended_of(topic: str, partition: int, applied: Applied, *, repeated: bool) -> Appended:
    """The answer that an append id led to."""
    first = applied.last_offset - applied.events + 1
    offsets = applied.offsets or range(first, applied.last_offset + 1)
    return Appended(
        applied.stream,
        applied.version,
        tuple([_new(Position, (topic, partition, offset)) for offset in offsets]),
        repeated,
    )


class Question(Generic[T]):
    """Something asked about a stream or an append id, answered between appends.

    ``known`` says whether memory alone can answer; if not, PostgreSQL is asked for ``look_up``.
    ``answered`` answers from both: memory is newer, and wins.
    """

    __slots__ = ("answered", "future", "known", "look_up", "since")

    def __init__(
        self,
        look_up: LookUp,
        *,
        known: Callable[[Heads], bool],
        answered: Callable[[Heads, Found | None], T | None],
    ) -> None:
        self.look_up = look_up
        self.known = known
        self.answered = answered
        self.since = time.monotonic()
        self.future: Future[T | None] = Future()

    def answer(self, heads: Heads, found: Mapping[LookUp, Found | None]) -> None:
        """Answer from memory, and from what was looked up, unless it has its answer."""
        if not self.future.done():
            self.future.set_result(self.answered(heads, found.get(self.look_up)))

    def refuse(self, error: Exception) -> None:
        """It cannot be answered, unless it has its answer."""
        if not self.future.done():
            self.future.set_exception(error)


def question_of_head(look_up: LookUp) -> Question[Tip]:
    """Asks for a stream's head; where the stream begins may stand in PostgreSQL alone."""
    stream = look_up.stream

    def known(heads: Heads) -> bool:
        tip = heads.tip(stream)
        return heads.tips_whole or (tip is not None and tip.first_offset != NO_OFFSET)

    def answered(heads: Heads, found: Found | None) -> Tip | None:
        tip, stored = heads.tip(stream), found.tip if found else None
        if tip is not None and stored is not None and tip.first_offset == NO_OFFSET:
            return tip._replace(first_offset=stored.first_offset)
        return tip or stored

    return Question(look_up, known=known, answered=answered)


def question_of_append(look_up: LookUp) -> Question[Applied]:
    """Asks what an append id led to."""

    def known(heads: Heads) -> bool:
        return heads.applied_whole or look_up.append in heads.applied

    def answered(heads: Heads, found: Found | None) -> Applied | None:
        return heads.answer(look_up.append) or (found.applied if found else None)

    return Question(look_up, known=known, answered=answered)
