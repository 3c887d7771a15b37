"""Watches aggregates while a command runs: whether recorded events alone change their state.

Each is followed by a shadow, which folds the same events and nothing else. They are compared
before every event that is recorded, and at the end: what a later event writes over is seen too.
"""

import copy
import dataclasses
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel

from eventstore.aggregates import Aggregate, copied, field_types
from eventstore.events import Event

Some: TypeAlias = Aggregate[Any]


class Change(NamedTuple):
    """A state that is not what `apply` makes of the events."""

    events: tuple[Event, ...]
    """What was recorded until then."""
    coming: Event | None
    """The event before which it was seen; None: at the end."""
    expected: dict[str, Any]
    """The fields that differ, as the events leave them."""
    found: dict[str, Any]


class Watch:
    """The aggregates that one command records on."""

    def __init__(self, given: Some) -> None:
        self._given = given
        self._shadows: dict[int, _Shadow] = {}

    def recording(self, aggregate: Some, event: Event) -> None:
        """Note what has changed before this event is recorded."""
        self._shadow(aggregate).compare(event)

    def change(self, aggregate: Some) -> Change | None:
        """What changed first by other means than events; None: nothing."""
        return self._shadow(aggregate).compare(None)

    def _shadow(self, aggregate: Some) -> "_Shadow":
        shadow = self._shadows.get(id(aggregate))
        if shadow is None:
            shadow = self._shadows[id(aggregate)] = _Shadow(aggregate, self._begun(aggregate))
        return shadow

    def _begun(self, aggregate: Some) -> Some:
        """It before it recorded anything: as it was given, or, if the command made it, new."""
        given, kind = self._given, type(aggregate)
        is_given = (kind, aggregate.id, aggregate.version) == (type(given), given.id, given.version)
        return copied(given) if is_given else kind(aggregate.id)


class _Shadow:
    """What `apply` makes of the events of one aggregate."""

    def __init__(self, aggregate: Some, state: Some) -> None:
        self._aggregate = aggregate  # held, so that no other is taken for it
        self._state = state
        self._change: Change | None = None

    def compare(self, coming: Event | None) -> Change | None:
        """Fold what was recorded since; gives the first change that was ever seen."""
        if self._change is None:
            events = self._aggregate.pending
            for event in events[len(self._state.pending) :]:
                _record(self._state, event)
            self._change = _change(self._state, self._aggregate, events, coming)
        return self._change


_lock: Final = threading.Lock()
_watches: Final[list[Watch]] = []
_current: Final[ContextVar[Watch | None]] = ContextVar("foldlog_watch", default=None)
_record: Final[Callable[..., None]] = vars(Aggregate)["record"]


@contextmanager
def watched(given: Some) -> Generator[Watch, None, None]:
    """Watch what is recorded in this block, by its thread; a copy of ``given`` is what is begun on.

    Recording costs more while anybody watches, and as ever when nobody does.
    """
    watch = Watch(given)
    with _lock:
        _watches.append(watch)
        Aggregate.record = _record_watched  # type: ignore[method-assign]
    token = _current.set(watch)
    try:
        yield watch
    finally:
        _current.reset(token)
        with _lock:
            _watches.remove(watch)
            if not _watches:
                Aggregate.record = _record  # type: ignore[method-assign]


def _record_watched(self: Some, event: Event, *, at: datetime | None = None) -> None:
    watch = _current.get()
    if watch is not None:
        watch.recording(self, event)
    _record(self, event, at=at)


def _change(
    state: Some, aggregate: Some, events: tuple[Event, ...], coming: Event | None
) -> Change | None:
    expected, found = vars(state), vars(aggregate)
    names = [name for name in field_types(type(state)) if not same(expected[name], found[name])]
    if not names:
        return None
    return Change(
        events,
        coming,
        {name: expected[name] for name in names},
        {name: copy.deepcopy(found[name]) for name in names},
    )


def same(one: Any, other: Any) -> bool:
    """Whether they are equal, where NaN equals itself, wherever in them it stands."""
    if one == other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, float | Decimal):
        return _is_nan(one) and _is_nan(other)
    return _same_parts(one, other)


def _is_nan(value: Any) -> bool:
    return bool(value != value)  # noqa: PLR0124 - nothing else differs from itself


def _same_parts(one: Any, other: Any) -> bool:
    if _is_a(one, list, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if _is_a(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if _is_a(one, set, frozenset):
        others: list[set[Any]] = [
            {each for each in values if not _is_nan(each)} for values in (one, other)
        ]
        return len(one) == len(other) and others[0] == others[1]
    if _is_a(one, BaseModel):
        return same(vars(one), vars(other))
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return False


def _is_a(value: Any, *kinds: type) -> bool:
    """As isinstance, which would narrow the type to one of unknown members."""
    return isinstance(value, kinds)
