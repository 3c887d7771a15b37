"""Repositories: aggregates by id, loaded from their streams and saved to them."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from eventstore._loading import Loader
from eventstore.aggregates import Aggregate
from eventstore.errors import ConcurrencyError
from eventstore.state_store import StateStore
from eventstore.store import NO_STREAM, Append, Appended, EventStore

A = TypeVar("A", bound=Aggregate[Any])


class Repository(Generic[A]):
    """The aggregates of one type in one store.

    What is appended is protected by the version that the aggregate was loaded at: of two that
    change one stream at once, one gets `ConcurrencyError`. Where an append id (any UUID) is
    given, a repeated call appends nothing and gets the first answer; give one to whatever may
    be sent twice.

    The aggregates last used are kept in memory, so that a load reads no event it has seen; with
    ``states``, those of long streams are in PostgreSQL too.

    Errors of an append, wherever one is made:
        ConcurrencyError: The stream has moved on; final.
        AppendTooLarge, EncodingError: It can never be appended; final.
        UnknownOutcome, VersionAhead: Not known; the error's ``append_id``, repeated, tells.
    """

    def __init__(
        self, store: EventStore, aggregate_type: type[A], *, states: StateStore | None = None
    ) -> None:
        self._store = store
        self._type = aggregate_type
        self._loader = Loader(store, aggregate_type, states)

    def __repr__(self) -> str:
        return f"Repository({self._type.__name__}, topic={self._type.topic!r})"

    def get(self, id: str, *, version: int | None = None, at: datetime | None = None) -> A:  # noqa: A002 - the word users know it by
        """Load an aggregate; it reflects at least what this process has appended.

        With ``version``, as its first so many events left it. With ``at``, as the longest prefix
        of its stream left it whose events all happened at or before that time. Such a past can
        be looked at; an append on top of it gets `ConcurrencyError`, unless it is the present.

        Raises:
            InvalidStreamId: ``id`` cannot name a stream.
            StreamNotFound: No event was ever appended to it.
            PastNotFound: It has not come to ``version``, or had no event by ``at``.
            ValueError: ``at`` has no time zone, ``version`` is below 1, or both are given.
        """
        if version is not None or at is not None:
            return self._loader.load_past(id, version, at)
        return self._loader.load(id)

    def save(self, aggregate: A, *, append_id: UUID | None = None) -> Appended:
        """Append what is pending, wait for it, and move the aggregate's version on.

        With nothing pending nothing is appended: the answer has the version and no positions.
        After an error the aggregate is as before, so that it can be saved again with the same
        append id. If that id had been applied by an earlier call, the aggregate is loaded again
        in place: the log holds that call's events, not the pending ones.
        """
        count = len(aggregate.pending)
        if not count:
            return _nothing(aggregate)
        append = _append(aggregate, append_id)
        appended = self._store.submit(append).result()
        if appended.repeated:
            aggregate.replay(self._store.read(self._type.topic, aggregate.id))
        else:
            aggregate.advance(count)
            self._loader.saved(append, appended)
        return appended

    def submit(self, aggregate: A, *, append_id: UUID | None = None) -> Future[Appended]:
        """Append what is pending without waiting; blocks while 512 appends are in flight.

        The version moves at once, so that the aggregate can go on to decide and be submitted
        again. If the future fails, or its answer is ``repeated``, the aggregate is ahead of
        its stream: load it again.
        """
        count = len(aggregate.pending)
        if not count:
            done: Future[Appended] = Future()
            done.set_result(_nothing(aggregate))
            return done
        append = _append(aggregate, append_id)
        future = self._store.submit(append)
        future.add_done_callback(partial(self._loader.submitted, append))
        aggregate.advance(count)
        return future

    @contextmanager
    def edit(self, id: str, *, append_id: UUID | None = None) -> Generator[A, None, None]:  # noqa: A002
        """Load an aggregate, and save it when the block ends; nothing if the block raises.

        It is one attempt: `ConcurrencyError` leaves the block, and repeating is the caller's,
        or `execute`'s. Raises as `get` and `save` do.
        """
        aggregate = self.get(id)
        yield aggregate
        self.save(aggregate, append_id=append_id)

    def execute(
        self,
        id: str,  # noqa: A002
        command: Callable[[A], object],
        *,
        append_id: UUID | None = None,
        attempts: int = 1,
    ) -> Appended:
        """Load an aggregate, let ``command`` change it, and save it.

        After `ConcurrencyError` it is loaded and the command called again, up to ``attempts``
        times in all. An append id that was applied already gets its first answer, and the
        command is not called. Raises as `get` and `save` do, and what the command raises.
        """
        if attempts < 1:
            raise ValueError(f"expected at least 1 attempt; found {attempts}")
        if append_id is not None:
            applied = self._store.applied(self._type.topic, id, append_id)
            if applied is not None:
                return applied
        for _ in range(attempts - 1):
            try:
                return self._execute_once(id, command, append_id)
            except ConcurrencyError:
                continue
        return self._execute_once(id, command, append_id)

    def _execute_once(
        self, id_: str, command: Callable[[A], object], append_id: UUID | None
    ) -> Appended:
        aggregate = self.get(id_)
        command(aggregate)
        return self.save(aggregate, append_id=append_id)


def _append(aggregate: Aggregate[Any], append_id: UUID | None) -> Append:
    return Append(
        topic=aggregate.topic,
        stream=aggregate.id,
        events=aggregate.pending,
        expected=aggregate.version or NO_STREAM,
        times=aggregate.pending_times,
        append_id=append_id or uuid4(),
        first_try=append_id is None,
    )


def _nothing(aggregate: Aggregate[Any]) -> Appended:
    return Appended(aggregate.id, aggregate.version, ())
