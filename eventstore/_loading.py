"""Loads aggregates: from memory, from a stored state, and from the log what follows these.

A load always asks the store for the stream's head, and gives the state of just that version.
What is kept in memory is folded from acknowledged events alone, and never handed out: who loads
gets a copy.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import CancelledError, Future
from datetime import datetime
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from eventstore import past
from eventstore.aggregates import Aggregate, copied, fold, restore
from eventstore.defaults import AGGREGATES_CACHED, EVENTS_NOTED, EVENTS_PER_STATE
from eventstore.errors import PastNotFound, StreamNotFound, UnstorableState
from eventstore.events import Event
from eventstore.state_port import State, StateKey, States
from eventstore.states import StateForm
from eventstore.store import Append, Appended, EventStore, Head, Recorded, check_stream_id

A = TypeVar("A", bound=Aggregate[Any])

LOGGER: Final = logging.getLogger("eventstore.states")


class Kept(NamedTuple, Generic[A]):
    """A stream as it is kept in memory; never changed, only replaced."""

    aggregate: A
    version: int
    """The number of events, with those that are not folded yet."""
    append: UUID
    """The id of the append that brought the last event."""
    noted: tuple[Event, ...] = ()
    """Events that were acknowledged and are not folded yet."""
    stored: int = 0
    """The version of the state that PostgreSQL holds, as far as is known here."""

    def is_at(self, head: Head) -> bool:
        """Whether it ends with the very event that the head names."""
        return self.version == head.version and self.append == head.append_id


class Loader(Generic[A]):
    """Loads the aggregates of one type; safe to use from many threads."""

    def __init__(self, store: EventStore, aggregate_type: type[A], states: States | None) -> None:
        self._store = store
        self._type = aggregate_type
        self._memory: _Memory[A] = _Memory()
        self._states = states
        self._form = None if states is None else _form(aggregate_type)

    def load(self, stream: str) -> A:
        """The aggregate as its stream's head is now, an object of the caller's own."""
        check_stream_id(stream)
        kept = self._memory.get(stream)
        head = self._store.head(self._type.topic, stream)
        if head is None:
            raise StreamNotFound(self._type.topic, stream)
        if kept is None or not kept.is_at(head):
            kept = self._completed(stream, kept, head)
            self._keep(stream, kept)
        elif kept.noted:
            kept = _folded(kept, ())
            self._keep(stream, kept)
        return copied(kept.aggregate)

    def load_past(self, stream: str, version: int | None, at: datetime | None) -> A:
        """The aggregate as it was; see `Repository.get`."""
        past.check(version, at)
        aggregate = self._type(stream)
        head = self._store.head(self._type.topic, stream)
        if head is None:
            raise StreamNotFound(self._type.topic, stream)
        if version is not None and version > head.version:
            raise PastNotFound(self._type.topic, stream, version, head.version)
        history = self._store.read(self._type.topic, stream)
        aggregate.replay(past.prefix(history, version=version, at=at))
        if at is not None and aggregate.version == 0:
            raise PastNotFound(self._type.topic, stream, at, head.version)
        return aggregate

    def saved(self, append: Append, appended: Appended) -> None:
        """An append is in the log: fold it into what is kept, on this thread."""
        before = self._before(append, appended)
        if before is None:
            return
        try:
            folded = _folded(_noted(before, append), ())
        except Exception:  # noqa: BLE001 - it is in the log, so the next load meets it and says where
            self._memory.forget(append.stream, before)
        else:
            self._keep(append.stream, folded)

    def submitted(self, append: Append, future: "Future[Appended]") -> None:
        """An append was answered: if it is in the log, note its events for the next load to fold.

        This may run on the store's own thread, where the user's folds have no place.
        """
        try:
            appended = future.result()
        except (Exception, CancelledError):  # noqa: BLE001 - the caller's to handle
            return
        before = self._before(append, appended)
        if before is not None and len(before.noted) + len(append.events) <= EVENTS_NOTED:
            self._memory.put(append.stream, _noted(before, append))

    def _before(self, append: Append, appended: Appended) -> Kept[A] | None:
        """What is kept of the stream, if it is as it was just before this append."""
        if appended.repeated:
            return None
        version = appended.version - len(append.events)
        kept = self._memory.get(append.stream)
        if kept is None and version == 0:
            return Kept(self._type(append.stream), 0, append.append_id)
        return kept if kept is not None and kept.version == version else None

    def _keep(self, stream: str, kept: Kept[A]) -> None:
        """Keep what is folded, and have it stored if the stream has moved on far enough."""
        states, form = self._states, self._form
        if form is not None and states is not None:
            aggregate = kept.aggregate
            if aggregate.version - kept.stored >= EVENTS_PER_STATE:
                append = kept.append.bytes

                def dump() -> State:
                    return State(aggregate.version, append, form.dumped(aggregate))

                states.offer(StateKey(self._type.topic, stream, form.fingerprint), dump)
                kept = kept._replace(stored=aggregate.version)
        self._memory.put(stream, kept)

    def _completed(self, stream: str, kept: Kept[A] | None, head: Head) -> Kept[A]:
        """What is kept, or stored, with the events that follow it; else the whole stream."""
        if kept is not None and kept.version >= head.version:
            self._memory.forget(stream, kept)  # another log than this one led to it
            kept = None
        behind = head.version - (kept.version if kept else 0)
        if kept is None or behind >= EVENTS_PER_STATE:
            stored = self._from_stored(stream, head, kept.version if kept else 0)
            if stored is not None:
                return stored
        if kept is not None:
            history = self._store.read(self._type.topic, stream, after=kept.version)
            return _folded(kept, history)
        kept = Kept(self._type(stream), 0, head.append_id)
        return _folded(kept, self._store.read(self._type.topic, stream))

    def _from_stored(self, stream: str, head: Head, above: int) -> Kept[A] | None:
        """The stored state, completed from the log; None: there is none that helps."""
        if self._states is None or self._form is None:
            return None
        key = StateKey(self._type.topic, stream, self._form.fingerprint)
        state = self._states.read(key)
        if state is None or state.version <= above:
            return None
        history = self._from_its_last_event(stream, state, head)
        aggregate = None if history is None else self._restored(key, state)
        if history is None or aggregate is None:
            LOGGER.warning("a stored state of %r, version %d, is replaced", stream, state.version)
            self._states.discard(key, state.version)
            return None
        append = UUID(bytes=state.append)
        kept = Kept(aggregate, state.version, append, stored=state.version)
        return _folded(kept, history)

    def _from_its_last_event(
        self, stream: str, state: State, head: Head
    ) -> list[Recorded[Event]] | None:
        """The events after a state; None: the log does not hold the event that it ends with.

        So is a state of another log told: one that was restored, truncated or made again.
        """
        if (state.version, state.append) == (head.version, head.append_id.bytes):
            return []
        history = list(self._store.read(self._type.topic, stream, after=state.version - 1))
        return history[1:] if history and history[0].append == state.append else None

    def _restored(self, key: StateKey, state: State) -> A | None:
        if self._form is None:
            return None
        try:
            fields = self._form.loaded(state.text)
        except UnstorableState as error:
            LOGGER.warning("%s", error)
            return None
        aggregate = self._type(key.stream)
        restore(aggregate, state.version, fields)
        return aggregate


class _Memory(Generic[A]):
    """The streams last used, in bounded number."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept[A]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, stream: str) -> Kept[A] | None:
        with self._lock:
            kept = self._kept.get(stream)
            if kept is not None:
                self._kept.move_to_end(stream)
            return kept

    def put(self, stream: str, kept: Kept[A]) -> None:
        """Keep this, unless something later is kept."""
        with self._lock:
            other = self._kept.get(stream)
            if other is not None and other.version > kept.version:
                return
            self._kept[stream] = kept
            self._kept.move_to_end(stream)
            if len(self._kept) > AGGREGATES_CACHED:
                self._kept.popitem(last=False)

    def forget(self, stream: str, kept: Kept[A]) -> None:
        """Keep this no longer, unless something else is kept by now."""
        with self._lock:
            if self._kept.get(stream) is kept:
                del self._kept[stream]


def _folded(kept: Kept[A], history: Iterable[Recorded[Event]]) -> Kept[A]:
    """What is kept, with what was noted and this history folded into a copy."""
    aggregate = copied(kept.aggregate)
    for event in kept.noted:
        aggregate.record(event)
    aggregate.advance(len(kept.noted))
    events = list(history)
    fold(aggregate, events)
    append = events[-1].append_id if events else kept.append
    return Kept(aggregate, aggregate.version, append, stored=kept.stored)


def _noted(kept: Kept[A], append: Append) -> Kept[A]:
    """What is kept, with an append that follows it."""
    events = append.events
    version, noted = kept.version + len(events), (*kept.noted, *events)
    return Kept(kept.aggregate, version, append.append_id, noted, kept.stored)


def _form(aggregate_type: type[A]) -> StateForm[A] | None:
    try:
        return StateForm(aggregate_type)
    except UnstorableState as error:
        LOGGER.warning("%s", error)
        return None
