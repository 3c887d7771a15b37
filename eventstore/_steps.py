"""The steps from loading an aggregate to knowing that its events are in the log.

Both fronts take them, `Repository` and `AsyncRepository`: they differ in how they wait alone.
"""

import inspect
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

from eventstore._loading import Loader
from eventstore.aggregates import Aggregate
from eventstore.metadata import Metadata, carried
from eventstore.state_port import States
from eventstore.store import (
    NO_STREAM,
    Append,
    Appended,
    EventStore,
    check_append_id,
    stream_id,
)

A = TypeVar("A", bound=Aggregate[Any])


class Steps(Generic[A]):
    """The steps for the aggregates of one type; safe to use from many threads."""

    def __init__(self, store: EventStore, aggregate_type: type[A], states: States | None) -> None:
        self._store = store
        self._type = aggregate_type
        self._topic = aggregate_type.topic
        self._loader = Loader(store, aggregate_type, states)

    def get(self, id: str | UUID, version: int | None, at: datetime | None) -> A:  # noqa: A002 - the word users know it by
        """The aggregate as it is, or as it was; blocks."""
        if version is not None or at is not None:
            return self._loader.load_past(stream_id(id), version, at)
        return self._loader.load(stream_id(id))

    def load(self, id: str | UUID, append_id: UUID | None) -> A | Appended:  # noqa: A002
        """The aggregate, or the first answer if ``append_id`` was applied to it; blocks.

        The id is asked for after the load: a state that holds the events of an earlier call is
        never decided on again, also if they came into the log this moment.
        """
        _check_given(stream_id(id), append_id)
        aggregate = self._loader.load(stream_id(id))
        if append_id is None:
            return aggregate
        return self._store.applied(self._topic, aggregate.id, append_id) or aggregate

    def load_to_edit(self, id: str | UUID, append_id: UUID | None) -> A:  # noqa: A002
        """The aggregate, unless it could not be saved under ``append_id``; blocks."""
        _check_given(stream_id(id), append_id)
        return self._loader.load(stream_id(id))

    def append(
        self, aggregate: A, append_id: UUID | None, metadata: Metadata | None
    ) -> Append | None:
        """What is pending as an append, on the version it was decided on; None: nothing is."""
        self._check_type(aggregate)
        _check_given(aggregate.id, append_id)
        events = aggregate.pending
        if not events:
            return None
        return Append(
            topic=aggregate.topic,
            stream=aggregate.id,
            events=events,
            expected=aggregate.version or NO_STREAM,
            times=aggregate.pending_times,
            append_id=uuid4() if append_id is None else append_id,
            first_try=append_id is None,
            metadata=carried() if metadata is None else metadata,
        )

    def _check_type(self, aggregate: Any) -> None:
        """An aggregate of another topic would be appended there, and never be found here."""
        if isinstance(aggregate, self._type) and aggregate.topic == self._topic:
            return
        name = type(aggregate).__name__
        is_one = isinstance(aggregate, Aggregate)
        found = f"{name}, topic {aggregate.topic!r}" if is_one else f"a value of type {name}"
        raise TypeError(
            f"expected an aggregate of {self._type.__name__}, topic {self._topic!r}; found "
            f"{found}: save each by a repository of its own type"
        )

    def send(self, append: Append) -> Future[Appended]:
        """Hand the append to the store; blocks while 512 are in flight."""
        return self._store.submit(append)

    def settle(self, aggregate: A, append: Append, appended: Appended) -> None:
        """Bring the aggregate to what the log holds; blocks only after a repeated append."""
        if appended.repeated:
            # Its events may be others than those pending. All of them are read before it changes.
            aggregate.replay(list(self._store.read(self._topic, aggregate.id)))
        else:
            aggregate.advance(len(append.events))
            self._loader.saved(append, appended)

    def move_on(self, aggregate: A, append: Append, future: Future[Appended]) -> None:
        """Take what was sent for appended, before it is known."""
        aggregate.advance(len(append.events))
        future.add_done_callback(lambda done: self._loader.submitted(append, done))


def _check_given(stream: str, append_id: UUID | None) -> None:
    if append_id is not None:
        check_append_id(stream, append_id)


def nothing(aggregate: Aggregate[Any]) -> Appended:
    """The answer where nothing was pending."""
    return Appended(aggregate.id, aggregate.version, ())


def nothing_sent(aggregate: Aggregate[Any]) -> Future[Appended]:
    """That answer as `Repository.submit` gives it: at once."""
    done: Future[Appended] = Future()
    done.set_result(nothing(aggregate))
    return done


def check_attempts(attempts: int) -> None:
    """Refuse to try less than once.

    Raises:
        ValueError: There is no attempt.
    """
    if attempts < 1:
        raise ValueError(f"expected at least 1 attempt; found {attempts}")


def check_decided(result: object) -> None:
    """Refuse what a command gave if it was only begun: nothing of it has been done.

    Raises:
        TypeError: It is a coroutine, a generator or an async generator.
    """
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError(
            f"expected a command that decides at once; found the coroutine {result.__qualname__}: "
            "use a plain function, or AsyncRepository, which awaits it"
        )
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        kind = "generator" if inspect.isgenerator(result) else "async generator"
        raise TypeError(
            f"expected a command that decides when it is called; found the {kind} "
            f"{result.__qualname__}: use a function with no yield"
        )
