"""One partition as its writer sees it: appends decided against heads, sent, and answered.

Everything here runs on the writer's thread and does no I/O but through ``send``. In the order of
the protocol:

1. `waiting` appends need a claim: the writer reads the log, sends a claim, and reads up to it.
2. `serve` decides each append against the heads, those in flight included, and sends it.
3. `Session` acknowledges what stands at its place; the append is answered, the heads move.
4. Doubt throws session and heads away; what was in flight waits for the next claim, and is then
   decided again in its first order, by what the log says.
"""

import enum
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from eventstore.errors import (
    AppendIdReused,
    ConcurrencyError,
    DeliveryFailed,
    EventStoreError,
    UnreadablePartition,
    VersionAhead,
)
from eventstore.kafka._trouble import LOGGER, brief, named
from eventstore.kafka.checkpointer import Stored
from eventstore.kafka.header import NO_APPEND, NO_OFFSET
from eventstore.kafka.heads import Heads, share_of
from eventstore.kafka.messages import Encoder
from eventstore.kafka.records import Report, records_of
from eventstore.kafka.requests import AppendRequest, Question
from eventstore.kafka.restorer import Restored
from eventstore.kafka.session import Sent, Session
from eventstore.kafka.transport import Outgoing, Transport
from eventstore.log import LogPosition
from eventstore.postgres.checkpoints import Checkpoint, Found, LookUp, PartitionKey

PAUSE_SECONDS: Final = 0.02
"""The first pause after a lost claim or a session in doubt; it doubles, and is randomised."""
LONGEST_PAUSE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 30.0
"""Seconds that an append waits for a partition that cannot be claimed."""


class Phase(enum.Enum):
    """How far the writer is with a partition."""

    IDLE = "idle"
    """Not claimed; nothing is being done about it."""
    READING = "reading"
    """The log is being read, to learn the epoch."""
    CLAIMING = "claiming"
    """A claim was sent."""
    CONFIRMING = "confirming"
    """The claim was acknowledged; the log is being read up to it."""
    SERVING = "serving"
    """The claim was accepted."""
    DOUBTING = "doubting"
    """The session is over; reports of what it sent are still to come."""


class Tail(NamedTuple):
    """A stream's head, with what is in flight."""

    version: int
    last_offset: int


class Partition:
    """One partition of one topic: its phase, its session, its heads, its appends."""

    def __init__(
        self, key: PartitionKey, partitions: int, *, encoder: Encoder, transport: Transport
    ) -> None:
        self.key = key
        self.partitions = partitions
        self.phase = Phase.IDLE
        self.waiting: deque[AppendRequest] = deque()
        self.asking: list[AppendRequest] = []
        """Appends that were looked at before those that wait, and are looked at again when
        something was looked up: each needs that, or stands behind one of its stream that does."""
        self.session: Session[AppendRequest] | None = None
        self.restored: Restored | None = None
        """What is known of the log while the partition is not served."""
        self.claiming: bytes | None = None
        """The writer id of the claim on its way."""
        self.trouble: str | None = None
        """Why it could not be claimed, the last time that was tried."""
        self.retry_at = 0.0
        self.checkpointed_at = 0.0
        self.checkpointing = False
        self.questions: list[Question[Any]] = []
        self.owned = True
        """Whether this process may write here."""
        self.leaving = False
        """It was taken from this process, if only for a moment: its session ends when everything
        that it sent is answered."""
        self._encoder = encoder
        self._transport = transport
        self._report: Report | None = None
        self._heads: Heads | None = None
        self._asking_streams: set[str] = set()
        self._tails: dict[str, Tail] = {}
        self._by_id: dict[bytes, AppendRequest] = {}
        self._blocked: dict[str, list[AppendRequest]] = {}
        self._losses = 0

    @property
    def serving(self) -> bool:
        """Whether appends are decided and sent now."""
        return self.phase is Phase.SERVING

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self.waiting or self.asking or self.questions)

    @property
    def busy(self) -> bool:
        """Whether an append waits for something that is still to happen here."""
        return bool(self.waiting or self.asking or self._by_id or self.phase is Phase.DOUBTING)

    def move(self, *, owned: bool) -> None:
        """It was assigned to this process, or taken from it."""
        self.owned = owned
        if not owned and self.phase not in {Phase.IDLE, Phase.READING}:
            self.leaving = True

    @property
    def deciding(self) -> bool:
        """Whether appends are decided now, and questions answered from its heads."""
        return self.serving and self.owned and not self.leaving

    @property
    def drained(self) -> bool:
        """Whether everything that was sent is answered."""
        return not self._by_id

    @property
    def at_rest(self) -> bool:
        """Whether nothing is being done about it."""
        return self.phase is Phase.IDLE

    @property
    def cached(self) -> int:
        """How many heads, and how many append ids, it may keep in memory."""
        return share_of(self.partitions)

    @property
    def heads(self) -> Heads:
        """The heads as of the last append acknowledged whole; only while serving."""
        if self._heads is None:
            raise EventStoreError(f"{self.key} is not served")
        return self._heads

    # 1. the claim

    def claimed(self, session: Session[AppendRequest], restored: Restored) -> None:
        """The claim was accepted: serve."""
        self.session, self._heads, self.restored = session, restored.heads, None
        self.claiming = self.trouble = None
        self._report = self._transport.reporter(session)
        self.phase = Phase.SERVING
        self.checkpointed_at = time.monotonic()

    def pause(self) -> None:
        """Be passive for a while: two that claim back at once starve each other."""
        longest = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2**self._losses)
        self._losses = min(self._losses + 1, 20)
        self.retry_at = time.monotonic() + random.uniform(longest / 2, longest)  # noqa: S311
        self.leaving = False
        self.phase = Phase.IDLE

    def calm(self) -> None:
        """Its log was read, and nothing is to be claimed: earlier losses say nothing any more."""
        self._losses = 0

    def retire(self) -> None:
        """End a session of which everything is answered."""
        self._ask_no_more()
        self.session = self._heads = self._report = None
        self.leaving = False
        self.phase = Phase.IDLE

    def give_up(self, why: str, *, older_than: float = 0.0) -> None:
        """Answer what has waited here for too long."""
        limit = time.monotonic() - older_than
        for request in self.take_waiting():
            if request.since > limit:
                self.waiting.append(request)
            else:
                request.refuse(request.unknown(why))
        for question in self.take_questions():
            if question.since > limit:
                self.questions.append(question)
            else:
                question.refuse(UnreadablePartition(self.key.topic, self.key.partition, why))

    # 2. decide and send

    def serve_waiting(
        self, found: Mapping[LookUp, Found | None], *, room: Callable[[], bool]
    ) -> None:
        """Decide what waits, in order; an append that must wait on holds back its stream's."""
        if found:
            self._ask_no_more()
        waiting = self.waiting
        while waiting and self.serving and room():
            request = waiting[0]
            stream = request.append.stream
            if stream in self._asking_streams or not self._informed(request, found):
                self.asking.append(request)
                self._asking_streams.add(stream)
            elif not self.serve(request):
                break
            waiting.popleft()

    def _ask_no_more(self) -> None:
        """Let those that asked wait again, before all that came after them."""
        self.waiting.extendleft(reversed(self.asking))
        self.asking = []
        self._asking_streams.clear()

    def answer_questions(self, found: Mapping[LookUp, Found | None]) -> None:
        """Answer the questions that memory, or what was looked up, can answer."""
        for question in self.take_questions():
            if self.serving and (question.known(self.heads) or self._use(question.look_up, found)):
                question.answer(self.heads, found)
            else:
                self.questions.append(question)

    def answer_asked(
        self, asked: Sequence[Question[Any]], heads: Heads, found: Mapping[LookUp, Found | None]
    ) -> None:
        """Answer what was asked before the log was read up to ``heads``."""
        for question in asked:
            question.answer(heads, found)
        for look_up, each in found.items():
            if each is not None and each.tip is not None:
                heads.begins(look_up.stream, each.tip.first_offset)
        self._forget_answered()

    def refuse_asked(self, asked: Sequence[Question[Any]], error: EventStoreError) -> None:
        """Answer what was asked before the log could not be read."""
        for question in asked:
            question.refuse(error)
        self._forget_answered()

    def _forget_answered(self) -> None:
        self.questions = [each for each in self.questions if not each.future.done()]

    def _informed(self, request: AppendRequest, found: Mapping[LookUp, Found | None]) -> bool:
        return not self.needs_look_up(request) or self._use(self.look_up_of(request), found)

    def _use(self, look_up: LookUp, found: Mapping[LookUp, Found | None]) -> bool:
        return look_up in found and self.accept(look_up, found[look_up])

    def unknown(self) -> Iterator[LookUp]:
        """What must be looked up before all that waits can be answered."""
        for request in chain(self.asking, self.waiting):
            if self.needs_look_up(request):
                yield self.look_up_of(request)
        for question in self.questions:
            if not question.known(self.heads):
                yield question.look_up

    def look_up_of(self, request: AppendRequest) -> LookUp:
        """What must be looked up before ``request`` can be decided."""
        append = request.id if request.needs_id else NO_APPEND
        return LookUp(self.key.topic, self.key.partition, request.append.stream, append)

    def needs_look_up(self, request: AppendRequest) -> bool:
        """Whether memory cannot decide ``request``."""
        heads, stream = self.heads, request.append.stream
        if not heads.tips_whole and stream not in self._tails and stream not in heads.tips:
            return True
        return (
            request.needs_id
            and not heads.applied_whole
            and request.id not in heads.applied
            and request.id not in self._by_id
        )

    def accept(self, look_up: LookUp, found: Found | None) -> bool:
        """Keep what was looked up, if it stood under a checkpoint of this session; else doubt.

        It counts only if, now that it is used, no later writer has stored a checkpoint, and the
        row is neither behind the last checkpoint known committed nor ahead of what was
        acknowledged.
        """
        session = self.session
        if session is None:
            return False
        mine = self.position(session).next_offset
        if (
            found is None
            or found.epoch > session.epoch
            or not self.heads.checkpoint <= found.next_offset <= mine
        ):
            session.doubt("the checkpoint in PostgreSQL is not the one that this writer stored")
            return False
        self.heads.keep(look_up.stream, look_up.append, found.tip, found.applied)
        return True

    def serve(self, request: AppendRequest) -> bool:
        """Decide one append, with heads and ids at hand; False: it must wait, and so must others.

        In this order: its id was applied; its id is in flight; its deadline; its expected version.
        """
        applied = self.heads.answer(request.id)
        if applied is not None:
            if applied.stream == request.append.stream:
                request.repeat(applied)
            else:
                self._refuse_reused(request, applied.stream)
            return True
        first = self._by_id.get(request.id)
        if first is not None:
            if first.append.stream == request.append.stream:
                first.waiters.append(request)
            else:  # what it is told depends on what becomes of the first
                self._blocked.setdefault(first.append.stream, []).append(request)
            return True
        if request.forwarded and time.time() > request.deadline:
            request.refuse(request.unknown("no decision before its deadline"))
            return True
        if request.undelivered is not None:
            return self._serve_alone(request)
        if self._alone():
            return False
        self._decide(request)
        return True

    def _serve_alone(self, request: AppendRequest) -> bool:
        """An append whose own delivery failed is tried once more alone, then refused."""
        if request.failures > 1:
            append = request.append
            request.refuse(
                DeliveryFailed(append.stream, append.append_id, str(request.undelivered))
            )
            return True
        if self._by_id:
            return False
        self._decide(request)
        return True

    def _alone(self) -> bool:
        return len(self._by_id) == 1 and next(iter(self._by_id.values())).undelivered is not None

    def _decide(self, request: AppendRequest) -> None:
        append, expected = request.append, request.expected
        stream = append.stream
        tip = self.heads.tip(stream)
        committed = tip.version if tip else 0
        tail = self._tails.get(stream)
        version = tail.version if tail else committed
        if expected is not None and expected != version:
            if expected < committed:
                error = ConcurrencyError(stream, append.append_id, expected, committed)
                request.refuse(error)
            elif expected > version:
                request.refuse(VersionAhead(stream, append.append_id, expected, version))
            else:
                self._blocked.setdefault(stream, []).append(request)
            return
        last_offset = tail.last_offset if tail else tip.last_offset if tip else NO_OFFSET
        self._send(request, version, last_offset)

    def _refuse_reused(self, request: AppendRequest, stream: str) -> None:
        append = request.append
        request.refuse(AppendIdReused(append.stream, append.append_id, stream))

    def _send(self, request: AppendRequest, version: int, previous: int) -> None:
        session, report, append = self.session, self._report, request.append
        if session is None or report is None:
            raise EventStoreError(f"{self.key} is not served")
        try:
            encoded = request.encoded(self._encoder)
            records = records_of(encoded, session=session, version=version, previous=previous)
        except Exception as error:  # noqa: BLE001 - an event's fault is its append's alone
            request.refuse(error)
            return
        count = len(records)
        last_sequence = session.next_sequence + count - 1
        sent = Sent(request, version + count, count, last_sequence)
        self._by_id[request.id] = request
        self._tails[append.stream] = Tail(version + count, session.offset_of(last_sequence))
        session.in_flight.append(sent)
        session.next_sequence = last_sequence + 1
        self._transport.add(Outgoing(self.key, session, request, encoded, records, report))

    # 3. acknowledge

    def completed(self, sent: Sent[AppendRequest]) -> None:
        """An append is in the log for good."""
        request, session = sent.request, self.session
        if session is None:
            raise EventStoreError(f"{self.key} is not served")
        stream = request.append.stream
        last_offset = session.offset_of(sent.last_sequence)
        self.heads.note(stream, request.id, sent.version, sent.events, last_offset)
        del self._by_id[request.id]
        if self._tails[stream].version == sent.version:
            del self._tails[stream]
        self._losses = 0
        request.answer(sent.version, last_offset)
        if stream in self._blocked:
            self._ask_no_more()  # what was blocked came before
            self.waiting.extendleft(reversed(self._blocked.pop(stream)))

    # 4. doubt

    def doubted(self, reason: str) -> None:
        """Throw the heads away; what is in flight waits for the next claim."""
        LOGGER.warning("the session of %s is in doubt: %s", named(self.key), brief(reason))
        self._throw_away()

    def _throw_away(self) -> None:
        self.phase = Phase.DOUBTING
        self._heads = None

    def settle(self) -> None:
        """All reports of the session in doubt are in: what it sent is to be decided again."""
        session = self.session
        if session is None:
            return
        again = [each for sent in session.in_flight for each in sent.request.doubt()]
        for blocked in self._blocked.values():
            again.extend(blocked)
        self._ask_no_more()
        self.waiting.extendleft(reversed(again))
        self.session = None
        self._blocked, self._tails, self._by_id = {}, {}, {}
        self.pause()

    # checkpoints

    def checkpoint(self) -> Checkpoint | None:
        """What the next checkpoint stores; None: nothing is new."""
        session = self.session
        if session is None or not (self.heads.fresh_tips or self.heads.fresh_applied):
            return None
        position = self.position(session)
        tips, applied = self.heads.take_fresh()
        expected = self.heads.checkpoint
        return Checkpoint(self.key, session.epoch, expected, position, tips, applied)

    @staticmethod
    def position(session: Session[AppendRequest]) -> LogPosition:
        """One past the last append acknowledged whole, or past the claim."""
        next_offset = session.offset_of(session.committed) + 1
        return LogPosition(next_offset, session.epoch, session.writer, session.committed + 1)

    def checkpointed(self, checkpoint: Checkpoint, stored: Stored) -> None:
        """What became of a checkpoint."""
        self._heed(checkpoint, stored)
        self.checkpointing = False

    def _heed(self, checkpoint: Checkpoint, stored: Stored) -> None:
        session = self.session
        if session is None or not session.serving or session.epoch != checkpoint.epoch:
            return
        if stored is Stored.COMMITTED:
            self.heads.checkpointed(checkpoint.position.next_offset)
        elif stored is Stored.FAILED:
            self.heads.give_back(dict(checkpoint.heads), dict(checkpoint.appends))
        else:
            session.doubt("a checkpoint was fenced: another process writes to this partition")

    # questions, and the end

    def refuse_waiting(self, error: EventStoreError) -> None:
        """What waits cannot be decided, and waiting does not help."""
        for request in self.take_waiting():
            request.refuse(request.unknown(str(error)) if request.doubted else error)
        for question in self.take_questions():
            question.refuse(error)

    def take_waiting(self) -> deque[AppendRequest]:
        """The appends that wait, given away once."""
        self._ask_no_more()
        taken, self.waiting = self.waiting, deque[AppendRequest]()
        return taken

    def take_questions(self) -> list[Question[Any]]:
        """The questions that wait, given away once."""
        taken, self.questions = self.questions, []
        return taken

    def refuse_everything(self, error: EventStoreError) -> None:
        """The store is closed or has failed: nobody waits for an answer that will not come."""
        if self.session is not None and self.session.serving:
            self.session.reason = str(error)  # reports that still come change nothing
            self._throw_away()
        in_flight, self._by_id = self._by_id.values(), {}
        blocked, self._blocked = self._blocked.values(), {}
        for request in in_flight:
            request.leave(str(error))
        for request in (*self.take_waiting(), *chain.from_iterable(blocked)):
            if request.forwarded:
                request.leave(str(error))
            else:
                self.waiting.append(request)
        self.refuse_waiting(error)
