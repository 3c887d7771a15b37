"""Aggregates: consistency boundaries that decide, record events, and fold them into their state.

An aggregate is a plain class. Its annotated fields are its state, and only `apply` changes
them; its commands check, and `record` what happened.
"""

import copy
import inspect
import re
import time
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, TypeVar
from uuid import UUID

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from eventstore.errors import DefinitionError, InvalidAppend
from eventstore.events import Event, check_names
from eventstore.store import (
    EPOCH,
    FIRST_TIME,
    LAST_TIME,
    MICROSECOND,
    Recorded,
    stream_id,
)

E = TypeVar("E", bound=Event)
A = TypeVar("A", bound="Aggregate[Any]")

UNCHANGING: Final = frozenset(
    {bool, bytes, date, datetime, Decimal, float, int, str, timedelta, UUID, type(None)}
)
"""Types whose values can be shared: nobody can change them."""

TOPIC_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,240}")
"""What Kafka takes for the name of a topic, 249 characters, less the ``.requests`` beside it."""
TOOLKITS_OWN: Final = re.compile(r"foldlog\.schemas|.*\.(requests|replies)")


class Aggregate(ABC, Generic[E]):
    """A consistency boundary: ``class Account(Aggregate[AccountEvent], topic="accounts")``.

    The type in brackets is the union of its events; the topic keeps their streams. Annotated
    fields, each with a default, are the state: every value set is validated as its annotation
    says (ValidationError), and each instance has a copy of the defaults of its own.

    ``state_version`` is for states that are stored: raise it where `apply` comes to mean
    something else in a way that its code does not show, so that they are made anew.

    Raises (where the class is defined):
        DefinitionError: The topic is not a name for Kafka, the union is not one of event
            classes, two events share a stored name, or a field has no default, a default that
            is not valid, a type that cannot be validated, or the name of a member of this class.

    Raises (where an instance is made):
        InvalidStreamId: ``id`` cannot name a stream.
    """

    __slots__ = ("__dict__", "__weakref__", "_id", "_pending", "_times", "_version")

    topic: ClassVar[str]
    """The Kafka topic that keeps the streams of this type."""
    event_types: ClassVar[tuple[type[Event], ...]]
    """The event classes of its union, in their order."""
    state_version: ClassVar[int]
    """The user's own count of what `apply` means, for stored states."""
    _validators: ClassVar[Mapping[str, Callable[[Any], Any]]]
    _shared: ClassVar[Mapping[str, Any]]
    _copied: ClassVar[Mapping[str, Any]]

    _id: str
    _version: int
    _pending: list[E]
    _times: list[int]

    def __init_subclass__(cls, *, topic: str, state_version: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not TOPIC_NAME.fullmatch(topic):
            raise DefinitionError(
                f"aggregate {cls.__name__}: expected a topic of 1 to 240 letters, digits, dots, "
                f"underscores and hyphens; found {topic!r}"
            )
        if TOOLKITS_OWN.fullmatch(topic):
            raise DefinitionError(
                f"aggregate {cls.__name__}: expected a topic of its own; found {topic!r}, which "
                "the toolkit uses itself: take another name"
            )
        cls.topic = topic
        cls.state_version = state_version
        cls.event_types = _event_types(cls)
        check_names(cls.event_types)
        cls._validators, defaults = _fields(cls)
        own = {name: copy.deepcopy(value) is not value for name, value in defaults.items()}
        cls._shared = {name: value for name, value in defaults.items() if not own[name]}
        cls._copied = {name: value for name, value in defaults.items() if own[name]}

    def __init__(self, id: str | UUID) -> None:  # noqa: A002 - the word users know it by
        object.__setattr__(self, "_id", stream_id(id))
        self._reset()

    @property
    def id(self) -> str:
        """The id of its stream; a UUID as its canonical text."""
        return self._id

    @property
    def version(self) -> int:
        """The number of events that its stream holds, as far as this object knows.

        It moves when the aggregate is loaded, saved or submitted, not when it records.
        """
        return self._version

    @property
    def pending(self) -> tuple[E, ...]:
        """The events recorded and not yet appended, in order."""
        return tuple(self._pending)

    @property
    def pending_times(self) -> tuple[int, ...]:
        """When each pending event happened, in microseconds since 1970."""
        return tuple(self._times)

    @abstractmethod
    def apply(self, event: E) -> None:
        """Fold one event into the fields; called for new events and for those from the log.

        It must depend on the fields and the event alone, and not refuse what happened.
        """

    def record(self, event: E, *, at: datetime | None = None) -> None:
        """Apply an event at once, and keep it to be appended; ``at`` is when it happened: now.

        If `apply` raises, nothing is recorded and the fields have the values they had (a list
        or dict that it changed in place stays changed).

        Raises:
            InvalidAppend: The event is not of this aggregate's union, or ``at`` is not a datetime
                with a zone, or not one of the years 1 to 9999 in UTC.
        """
        if type(event) not in self.event_types:
            raise InvalidAppend(
                self._id,
                f"{type(event).__name__} is not an event of {type(self).__name__}",
                "record one of " + ", ".join(one.__name__ for one in self.event_types),
            )
        happened = time.time_ns() // 1000 if at is None else self._micros(at)
        before = dict(vars(self))
        try:
            self.apply(event)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        self._pending.append(event)
        self._times.append(happened)

    def replay(self, history: Iterable[Recorded[E]]) -> None:
        """Start from the defaults and fold a stream from its first event.

        Forgets what is pending.
        """
        self._reset()
        fold(self, history)

    def advance(self, count: int) -> None:
        """The first ``count`` pending events are appended: they are part of the version now."""
        del self._pending[:count]
        del self._times[:count]
        object.__setattr__(self, "_version", self._version + count)

    def __setattr__(self, name: str, value: Any) -> None:
        validate = self._validators.get(name)
        if validate is None:
            self._set_undeclared(name, value)
            return
        try:
            vars(self)[name] = validate(value)
        except ValidationError as error:
            error.add_note(f"while setting {name} of {self!r}")
            raise

    def __repr__(self) -> str:
        pending = f", pending={len(self._pending)}" if self._pending else ""
        return f"{type(self).__name__}({self._id!r}, version={self._version}{pending})"

    def _reset(self) -> None:
        object.__setattr__(self, "_version", 0)
        object.__setattr__(self, "_pending", [])
        object.__setattr__(self, "_times", [])
        state = vars(self)
        state.clear()
        state.update(self._shared)
        if self._copied:
            state.update(copy.deepcopy(self._copied))

    def _set_undeclared(self, name: str, value: Any) -> None:
        if not (name in Aggregate.__slots__ or hasattr(getattr(type(self), name, None), "__set__")):
            raise AttributeError(
                f"expected a field of {type(self).__name__}; found {name!r}: declare it in the "
                f"class with a type and a default, as in {name}: int = 0"
            )
        object.__setattr__(self, name, value)

    def _micros(self, at: Any) -> int:
        if not isinstance(at, datetime):
            found = f"its time is of type {type(at).__name__}"
            raise InvalidAppend(self._id, found, "give an aware datetime")
        if at.utcoffset() is None:
            raise InvalidAppend(self._id, "its time has no time zone", "give an aware datetime")
        micros = (at - EPOCH) // MICROSECOND
        if not FIRST_TIME <= micros <= LAST_TIME:
            found = f"its time, {at.isoformat()}, is before the year 1 or after 9999 in UTC"
            raise InvalidAppend(self._id, found, "give one that a datetime in UTC can hold")
        return micros


def fold(aggregate: Aggregate[Any], history: Iterable[Recorded[Any]]) -> None:
    """Apply the events that follow those which the aggregate holds; its version moves with them."""
    version, apply = aggregate.version, aggregate.apply
    for recorded in history:
        try:
            apply(recorded.event)
        except Exception as error:
            error.add_note(
                f"while applying {recorded.event.event_name}, version {recorded.version} of "
                f"{recorded.stream!r}, at {recorded.topic}[{recorded.partition}]"
                f"@{recorded.offset}: `apply` must accept whatever happened"
            )
            raise
        version += 1
    object.__setattr__(aggregate, "_version", version)


def restore(aggregate: Aggregate[Any], version: int, state: Mapping[str, Any]) -> None:
    """Give a new aggregate the values of its fields, as the first ``version`` events leave them."""
    vars(aggregate).update(state)
    object.__setattr__(aggregate, "_version", version)


def copied(aggregate: A) -> A:
    """Another of the same id, version and state; they share nothing that can be changed."""
    copy_of = type(aggregate)(aggregate.id)
    state = vars(copy_of)
    changeable: dict[str, Any] = {}
    for name, value in vars(aggregate).items():
        if type(value) in UNCHANGING:
            state[name] = value
        else:
            changeable[name] = value
    if changeable:
        state.update(copy.deepcopy(changeable))
    object.__setattr__(copy_of, "_version", aggregate.version)
    return copy_of


def field_types(cls: type[Aggregate[Any]]) -> dict[str, Any]:
    """The annotations of the fields, inherited ones first."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {
        name: hints[name]
        for name in _field_names(cls)
        if not (typing.get_origin(hints[name]) is ClassVar or hints[name] is ClassVar)
    }


def field_defaults(cls: type[Aggregate[Any]]) -> dict[str, Any]:
    """The values of the fields before any event; only to be looked at."""
    members = vars(cls)
    return {**members["_shared"], **members["_copied"]}


def check_aggregates(aggregates: Iterable[type[Aggregate[Any]]]) -> None:
    """Refuse aggregates that cannot live in one application.

    Raises:
        DefinitionError: Two have the same topic, or two event classes the same stored name.
    """
    topics: dict[str, type[Aggregate[Any]]] = {}
    events: list[type[Event]] = []
    for aggregate in aggregates:
        other = topics.setdefault(aggregate.topic, aggregate)
        if other is not aggregate:
            raise DefinitionError(
                f"expected one aggregate in topic {aggregate.topic!r}; found "
                f"{other.__name__} and {aggregate.__name__}: give each a topic of its own"
            )
        events.extend(aggregate.event_types)
    check_names(events)


def _event_types(cls: type[Aggregate[Any]]) -> tuple[type[Event], ...]:
    """The members of the union in the brackets of the base."""
    for ancestor in cls.__mro__:
        for base in ancestor.__dict__.get("__orig_bases__", ()):
            if typing.get_origin(base) is Aggregate:
                (union,) = typing.get_args(base)
                return _members(cls, union)
    raise _not_a_union(cls, "none")


def _members(cls: type[Aggregate[Any]], union: Any) -> tuple[type[Event], ...]:
    is_union = typing.get_origin(union) in (typing.Union, types.UnionType)
    members: tuple[Any, ...] = typing.get_args(union) if is_union else (union,)
    for member in members:
        if not (isinstance(member, type) and issubclass(member, Event) and member is not Event):
            raise _not_a_union(cls, str(union))
    return members


def _not_a_union(cls: type[Aggregate[Any]], found: str) -> DefinitionError:
    return DefinitionError(
        f"aggregate {cls.__name__}: expected event classes in the brackets of its base, as in "
        f"class {cls.__name__}(Aggregate[Opened | Closed], topic=…); found {found}: define the "
        "events above it, and name each in the union"
    )


def _fields(cls: type[Aggregate[Any]]) -> tuple[dict[str, Callable[[Any], Any]], dict[str, Any]]:
    """A validator and a validated default for each annotated field, inherited ones first."""
    validators: dict[str, Callable[[Any], Any]] = {}
    defaults: dict[str, Any] = {}
    try:
        hints = field_types(cls)
    except NameError as error:
        raise DefinitionError(
            f"aggregate {cls.__name__}: expected types that are known where the class is "
            f"defined; found {error.name!r}: define it above"
        ) from None
    for name, hint in hints.items():
        validators[name], defaults[name] = _field(cls, name, hint)
    return validators, defaults


def _field_names(cls: type[Aggregate[Any]]) -> list[str]:
    above = Aggregate.__mro__
    own: list[type] = [one for one in reversed(cls.__mro__) if one not in above]
    return [name for one in own for name in inspect.get_annotations(one)]


def _field(cls: type[Aggregate[Any]], name: str, hint: Any) -> tuple[Callable[[Any], Any], Any]:
    def refuse(found: str, advice: str) -> DefinitionError:
        return DefinitionError(f"aggregate {cls.__name__}, field {name}: found {found}; {advice}")

    if name in RESERVED:
        raise refuse("the name of a member of Aggregate", "give it another name")
    if not hasattr(cls, name):
        raise refuse("no default", f"give the value it has before any event, as in {name}: … = …")
    try:
        validate = TypeAdapter(hint).validator.validate_python
    except PydanticUserError as error:
        raise refuse("a type that cannot be validated", error.message.splitlines()[0]) from None
    try:
        return validate, validate(getattr(cls, name))
    except ValidationError as error:
        told = error.errors()[0]["msg"]
        raise refuse("a default that its type refuses", f"give one that it takes: {told}") from None


RESERVED: Final = frozenset(dir(Aggregate)) | frozenset(inspect.get_annotations(Aggregate))
