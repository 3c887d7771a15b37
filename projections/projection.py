"""Projections: folds of events into rows, as a user writes them.

A *row projection* says which row an event concerns, and folds the event into that row; it is
pure, and fast, since rows are loaded and written back a batch at a time. A *SQL projection*
runs any SQL, once per event. Both name their aggregates, their tables and a version; nothing is
opened or created by defining one.
"""

import enum
import re
import types
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import sqlalchemy as sa

from eventstore.aggregates import Aggregate
from eventstore.events import Event
from eventstore.store import Recorded
from projections import _row_types, _tables
from projections.errors import InvalidProjection

E = TypeVar("E", bound=Event)
R = TypeVar("R")

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


class Delete(enum.Enum):
    """What `fold` returns to have the row deleted; its one member is `DELETE`."""

    DELETE = "delete"


DELETE: Final = Delete.DELETE
"""Returned by `fold`: the row is deleted, or not made."""


class Projection(ABC, Generic[E]):
    """What row projections and SQL projections have in common."""

    kind: ClassVar[Literal["row", "sql"]]
    name: ClassVar[str]
    """Names the read model for good: ``[a-z][a-z0-9_]{0,40}``."""
    version: ClassVar[int]
    """Raise it whenever the same events give other rows: the read model is then rebuilt."""
    aggregates: ClassVar[Sequence[type[Aggregate[Any]]]]
    """The aggregates whose events are folded."""
    events: ClassVar[Sequence[type[Event]] | None] = None
    """The only events that are read; others are skipped before they are decoded. Left out: the
    union in the base's brackets, which may be a part of the aggregates' events."""
    extension_schemas: ClassVar[Sequence[str]] = ()
    """PostgreSQL schemas of extensions whose types or functions the projection uses."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            _check(cls)
            cls.events = _events(cls)

    @classmethod
    @abstractmethod
    def declared_tables(cls) -> tuple[sa.Table, ...]:
        """The projection's tables, ORM classes resolved."""

    @classmethod
    def fingerprint(cls) -> bytes:
        """32 bytes that change with the kind, the projection version and the tables."""
        return _tables.fingerprint(cls.kind, cls.version, cls.declared_tables())


class RowProjection(Projection[E], Generic[E, R]):
    """A fold of events into the rows of one table: the fast way, testable without a database.

    ``R`` is an immutable row: a NamedTuple (four times cheaper to change) or a frozen dataclass,
    whose fields are the columns.
    """

    kind = "row"
    table: ClassVar[sa.Table | type[Any]]
    """The table, or the ORM class of it; its primary key is what `key` returns."""
    row: ClassVar[type[Any]]
    """The row's class; left out: the second class in the base's brackets."""
    key_is_stream: ClassVar[bool] = False
    """Whether every key is, or holds, the event's stream, so that each row belongs to one
    partition and needs no lock; it is checked."""

    @abstractmethod
    def key(self, recorded: Recorded[E]) -> Hashable | None:
        """The primary key of the event's row, a tuple in column order if it is composite.

        None: the event is not this projection's.
        """

    @abstractmethod
    def fold(self, row: R | None, recorded: Recorded[E]) -> R | Delete:
        """The row as the event leaves it; ``row`` is None if there is none yet.

        It must be pure: it is called again when a batch is tried again.
        """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "name" in cls.__dict__ and "row" not in cls.__dict__:
            found = _brackets(cls, RowProjection, 1)
            if isinstance(found, type):
                cls.row = found
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            _row_types.check(cls.name, getattr(cls, "row", None), cls.declared_tables()[0])
            _check_key_is_stream(cls)

    @classmethod
    def declared_tables(cls) -> tuple[sa.Table, ...]:
        """The projection's one table."""
        return (_tables.resolve(cls.name, getattr(cls, "table", None)),)


class SqlProjection(Projection[E]):
    """A fold of events into tables by any SQL, one call per event."""

    kind = "sql"
    tables: ClassVar[Sequence[sa.Table | type[Any]]]
    """The tables, or the ORM classes of them."""

    @abstractmethod
    def project(self, db: sa.Connection, recorded: Recorded[E]) -> None:
        """Apply one event; ``db`` is inside the transaction that moves the position.

        Only the projection's own tables are found by name. Savepoints (``db.begin_nested()``)
        are free to use; commit and rollback are the projector's.
        """

    @classmethod
    def declared_tables(cls) -> tuple[sa.Table, ...]:
        """The projection's tables, in the order declared."""
        return tuple(_tables.resolve(cls.name, table) for table in getattr(cls, "tables", ()))


AnyProjection: TypeAlias = RowProjection[Any, Any] | SqlProjection[Any]
"""A projection of either kind."""


def _check(cls: type[Projection[Any]]) -> None:
    if not _NAME.fullmatch(cls.name):
        raise InvalidProjection(
            cls.name,
            "its name is not [a-z][a-z0-9_]{0,40}",
            "choose a short lower-case name: PostgreSQL schemas are named for it",
        )
    version: object = getattr(cls, "version", None)
    if type(version) is not int or version < 1:
        raise InvalidProjection(
            cls.name, f"its version is {version!r}", "give a whole number, 1 at first"
        )
    if not getattr(cls, "aggregates", ()):
        raise InvalidProjection(
            cls.name, "it names no aggregates", "give `aggregates = (Account,)` or the like"
        )
    _tables.check(cls.name, cls.declared_tables())


def _check_key_is_stream(cls: type[RowProjection[Any, Any]]) -> None:
    if cls.key_is_stream and len({aggregate.topic for aggregate in cls.aggregates}) > 1:
        raise InvalidProjection(
            cls.name,
            "`key_is_stream` is set and it has aggregates of several topics",
            "leave `key_is_stream` out: the same stream id in two topics is one row",
        )


def _events(cls: type[Projection[Any]]) -> tuple[type[Event], ...] | None:
    """The events to read; None: all of the aggregates'."""
    known = {event for aggregate in cls.aggregates for event in aggregate.event_types}
    named = cls.__dict__.get("events")
    wanted: tuple[Any, ...] = tuple(named) if named else _members(_brackets(cls, Projection, 0))
    if not wanted:
        return None
    strangers = [event.__name__ for event in wanted if event not in known]
    if strangers:
        raise InvalidProjection(
            cls.name,
            f"{', '.join(strangers)} is no event of its aggregates",
            "add the aggregate that records it, or take the event out",
        )
    return None if set(wanted) == known else wanted


def _brackets(cls: type, generic: type, index: int) -> Any:
    """What the class fills into the brackets of ``generic`` at ``index``; None: not known."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if isinstance(origin, type) and issubclass(origin, generic):
            arguments = get_args(base)
            return arguments[index] if index < len(arguments) else None
    return None


def _members(union: Any) -> tuple[type[Event], ...]:
    """The event classes of a union; empty if any is not an event of its own."""
    found = get_args(union) if get_origin(union) in {Union, types.UnionType} else (union,)
    events = tuple(event for event in found if isinstance(event, type) and event is not Event)
    return events if len(events) == len(found) else ()
