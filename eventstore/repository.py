"""Repositories: aggregates by id, loaded from their streams and saved to them."""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from eventstore._steps import Steps, check_attempts, check_decided, nothing, nothing_sent
from eventstore.aggregates import Aggregate
from eventstore.errors import ConcurrencyError
from eventstore.metadata import Metadata
from eventstore.state_port import States
from eventstore.store import Appended, EventStore

A = TypeVar("A", bound=Aggregate[Any])


class Repository(Generic[A]):
    """The aggregates of one type in one store.

    What is appended is protected by the version that the aggregate was loaded at: of two that
    change one stream at once, one gets `ConcurrencyError`. Where an append id (any UUID) is
    given, a repeated call appends nothing and gets the first answer; give one to whatever may
    be sent twice. ``metadata`` travels beside the events; without any, `carrying` gives it.

    The aggregates last used are kept in memory, so that a load reads no event it has seen; with
    ``states``, those of long streams are in PostgreSQL too.

    Errors of an append, wherever one is made:
        InvalidAppend: It cannot be made as it is asked for: its append id is text, say.
        ConcurrencyError: The stream has moved on; final.
        AppendTooLarge, EncodingError: It can never be appended; final.
        UnknownOutcome, VersionAhead: Not known; the error's ``append_id``, repeated, tells.
    """

    def __init__(
        self, store: EventStore, aggregate_type: type[A], *, states: States | None = None
    ) -> None:
        self._store = store
        self._type = aggregate_type
        self.steps: Final = Steps(store, aggregate_type, states)

    def __repr__(self) -> str:
        return f"Repository({self._type.__name__}, topic={self._type.topic!r})"

    def get(
        self,
        id: str | UUID,  # noqa: A002 - the word users know it by
        *,
        version: int | None = None,
        at: datetime | None = None,
    ) -> A:
        """Load an aggregate; it reflects at least what this process has appended.

        With ``version``, as its first so many events left it. With ``at``, as the longest prefix
        of its stream left it whose events all happened at or before that time. Such a past can
        be looked at; an append on top of it gets `ConcurrencyError`, unless it is the present.

        Raises:
            InvalidStreamId: ``id`` cannot name a stream.
            StreamNotFound: No event was ever appended to it.
            PastNotFound: It has not come to ``version``, or had no event by ``at``.
            ValueError: ``at`` has no time zone, ``version`` is below 1, or both are given.
            TypeError: ``at`` is not a datetime, or ``version`` not an int.
        """
        return self.steps.get(id, version, at)

    def save(
        self, aggregate: A, *, append_id: UUID | None = None, metadata: Metadata | None = None
    ) -> Appended:
        """Append what is pending, wait for it, and move the aggregate's version on.

        With nothing pending nothing is appended: the answer has the version and no positions.
        After an error the aggregate is as before, so that it can be saved again with the same
        append id. If that id had been applied by an earlier call, the aggregate is loaded again
        in place: the log holds that call's events, not the pending ones.
        """
        append = self.steps.append(aggregate, append_id, metadata)
        if append is None:
            return nothing(aggregate)
        appended = self.steps.send(append).result()
        self.steps.settle(aggregate, append, appended)
        return appended

    def submit(
        self, aggregate: A, *, append_id: UUID | None = None, metadata: Metadata | None = None
    ) -> Future[Appended]:
        """Append what is pending without waiting; blocks while 512 appends are in flight.

        The version moves at once, so that the aggregate can go on to decide and be submitted
        again. If the future fails, or its answer is ``repeated``, the aggregate is ahead of
        its stream: load it again.
        """
        append = self.steps.append(aggregate, append_id, metadata)
        if append is None:
            return nothing_sent(aggregate)
        future = self.steps.send(append)
        self.steps.move_on(aggregate, append, future)
        return future

    @contextmanager
    def edit(
        self,
        id: str | UUID,  # noqa: A002
        *,
        append_id: UUID | None = None,
        metadata: Metadata | None = None,
    ) -> Generator[A, None, None]:
        """Load an aggregate, and save it when the block ends; nothing if the block raises.

        It is one attempt: `ConcurrencyError` leaves the block, and repeating is the caller's,
        or `execute`'s. Raises as `get` and `save` do.
        """
        aggregate = self.steps.load_to_edit(id, append_id)
        yield aggregate
        self.save(aggregate, append_id=append_id, metadata=metadata)

    def execute(
        self,
        id: str | UUID,  # noqa: A002
        command: Callable[[A], object],
        *,
        append_id: UUID | None = None,
        attempts: int = 1,
        metadata: Metadata | None = None,
    ) -> Appended:
        """Load an aggregate, let ``command`` change it, and save it.

        After `ConcurrencyError` it is loaded and the command called again, up to ``attempts``
        times in all. An append id that was applied already gets its first answer, and the
        command is not called; if an earlier call with it is still under way, the command may
        decide again, but whatever is appended is appended once. Raises as `get` and `save` do,
        and what the command raises.
        """
        check_attempts(attempts)
        for _ in range(attempts - 1):
            with suppress(ConcurrencyError):
                return self._execute_once(id, command, append_id, metadata)
        return self._execute_once(id, command, append_id, metadata)

    def _execute_once(
        self,
        id_: str | UUID,
        command: Callable[[A], object],
        append_id: UUID | None,
        metadata: Metadata | None,
    ) -> Appended:
        found = self.steps.load(id_, append_id)
        if isinstance(found, Appended):
            return found
        check_decided(command(found))
        return self.save(found, append_id=append_id, metadata=metadata)
