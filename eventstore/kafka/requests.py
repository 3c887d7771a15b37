"""What callers ask of the writer's thread, and how they get their answers."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

from eventstore.kafka.heads import Heads
from eventstore.postgres.checkpoints import Applied, Found, LookUp
from eventstore.store import Append, Appended, Position, expected_number

T = TypeVar("T")


class AppendRequest:
    """An append on its way, and everybody who waits for its answer."""

    __slots__ = (
        "append",
        "doubts",
        "expected",
        "failures",
        "future",
        "id",
        "partition",
        "release",
        "since",
        "undelivered",
        "waiters",
    )

    def __init__(
        self, append: Append, partition: int, *, release: Callable[[], None] | None = None
    ) -> None:
        self.append = append
        self.partition = partition
        self.id = append.append_id.bytes
        self.expected = expected_number(append.expected)
        self.future: Future[Appended] = Future()
        self.future.set_running_or_notify_cancel()  # an append cannot be retracted
        self.release = release
        self.since = time.monotonic()
        self.waiters: list[AppendRequest] = []
        """Requests with the same append id that came while this one was in flight."""
        self.doubts = 0
        """How often it was in flight when a session fell into doubt."""
        self.failures = 0
        """How often its own delivery failed."""
        self.undelivered: str | None = None
        """Why its own delivery failed, if that was what broke its session."""

    @property
    def needs_id(self) -> bool:
        """Whether its id may stand in the log already."""
        return self.doubts > 0 or not self.append.first_try

    def answer(self, version: int, last_offset: int, *, repeated: bool = False) -> None:
        """It is in the log for good, its last event at ``last_offset``."""
        count = len(self.append.events)
        applied = Applied(self.append.stream, version, count, last_offset)
        appended = appended_of(self.append.topic, self.partition, applied, repeated=repeated)
        self.future.set_result(appended)
        self._done()
        for waiter in self.waiters:
            waiter.answer(version, last_offset, repeated=True)

    def repeat(self, applied: Applied) -> None:
        """Its id was applied before: the first answer again."""
        self.future.set_result(
            appended_of(self.append.topic, self.partition, applied, repeated=True)
        )
        self._done()

    def refuse(self, error: Exception) -> None:
        """It was not acknowledged; the error says whether that is final."""
        self.future.set_exception(error)
        self._done()
        for waiter in self.waiters:
            waiter.refuse(error)

    def _done(self) -> None:
        if self.release is not None:
            self.release()


def appended_of(topic: str, partition: int, applied: Applied, *, repeated: bool) -> Appended:
    """The answer that an append id led to."""
    first = applied.last_offset - applied.events + 1
    return Appended(
        applied.stream,
        applied.version,
        tuple(
            [Position(topic, partition, offset) for offset in range(first, applied.last_offset + 1)]
        ),
        repeated,
    )


class Question(Generic[T]):
    """Something asked about a stream or an append id, answered between appends.

    ``from_memory`` answers from the heads; ``whole`` says whether None from there means that
    there is none. Where it does not, ``from_found`` answers from what PostgreSQL holds.
    """

    __slots__ = ("from_found", "from_memory", "future", "look_up", "whole")

    def __init__(
        self,
        look_up: LookUp,
        *,
        from_memory: Callable[[Heads], T | None],
        whole: Callable[[Heads], bool],
        from_found: Callable[[Found], T | None],
    ) -> None:
        self.look_up = look_up
        self.from_memory = from_memory
        self.whole = whole
        self.from_found = from_found
        self.future: Future[T | None] = Future()

    def known(self, heads: Heads) -> bool:
        """Whether memory can answer."""
        return self.whole(heads) or self.from_memory(heads) is not None

    def answer(self, heads: Heads, found: Mapping[LookUp, Found | None]) -> None:
        """Answer from memory, which is newer, or from what was looked up."""
        answer = self.from_memory(heads)
        if answer is None and (row := found.get(self.look_up)) is not None:
            answer = self.from_found(row)
        self.future.set_result(answer)
