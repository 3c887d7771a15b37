"""What callers ask of the writer's thread, and how they get their answers."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from eventstore.postgres.checkpoints import Applied
from eventstore.store import Append, Appended, Head, Position, expected_number

T = TypeVar("T")


class AppendRequest:
    """An append on its way, and everybody who waits for its answer."""

    __slots__ = (
        "append",
        "doubts",
        "expected",
        "future",
        "id",
        "in_doubt",
        "partition",
        "release",
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
        self.waiters: list[AppendRequest] = []
        """Requests with the same append id that came while this one was in flight."""
        self.doubts = 0
        """How often it was in flight when a session fell into doubt."""
        self.in_doubt = False
        """It was sent, and no log read since has said what became of it."""
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
    first = applied.last_offset - applied.count + 1
    return Appended(
        applied.stream,
        applied.version,
        tuple(
            [Position(topic, partition, offset) for offset in range(first, applied.last_offset + 1)]
        ),
        repeated,
    )


@dataclass(frozen=True, slots=True)
class HeadRequest:
    """What is the head of a stream, with at least what this store has appended?"""

    topic: str
    partition: int
    stream: str
    future: Future[Head | None]


@dataclass(frozen=True, slots=True)
class AppliedRequest:
    """Was an append with this id applied?"""

    topic: str
    partition: int
    append_id: UUID
    future: Future[Appended | None]


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """A question that only the writer's thread can answer."""

    question: Callable[[], T]
    future: Future[T]
