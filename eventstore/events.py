"""Events: facts, named in the past tense, that never change.

An event class is a frozen pydantic model with a *stored name*. The name goes to the log and
never changes; the class may be renamed at will.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from eventstore.avro.codec import EventCodec
from eventstore.errors import DefinitionError

if TYPE_CHECKING:
    from typing import Unpack


class Event(BaseModel):
    """A fact; subclasses name what is stored: ``class MoneyDeposited(Event, name="…")``.

    Fields are int (64 bits), float, bool, str, UUID, date, an aware datetime, an enum, or
    Optional of one of these, with any of pydantic's constraints. Datetimes are brought to UTC,
    so that an event reads the same when it is recorded and when it comes from the log. An enum
    is stored by the names of its members, whatever their values are.

    Raises:
        DefinitionError: Where the class is defined: its stored name is missing or not an Avro
            full name, or it is not frozen or takes extra fields.
        UnsupportedType: Likewise: a field has no Avro form here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    event_name: ClassVar[str]
    """The stored name: an Avro full name, unique in the application."""
    codec: ClassVar["EventCodec[Event]"]
    """What turns events of this class into bytes and back."""

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str, **config: Unpack[ConfigDict]) -> None: ...
    else:

        def __init_subclass__(cls, **kwargs: Any) -> None:
            pass

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _check_class(cls)
        cls.event_name = name
        cls.codec = EventCodec(cls, name)
        _keep_instants_in_utc(cls)


def check_names(event_types: Iterable[type[Event]]) -> None:
    """Refuse two classes with one stored name; the same class may come twice.

    Raises:
        DefinitionError: Two classes have the same stored name.
    """
    known: dict[str, type[Event]] = {}
    for event_type in event_types:
        other = known.setdefault(event_type.event_name, event_type)
        if other is not event_type:
            raise DefinitionError(
                f"expected one event named {event_type.event_name!r}; found "
                f"{other.__module__}.{other.__qualname__} and "
                f"{event_type.__module__}.{event_type.__qualname__}: give each a stored name of "
                "its own"
            )


def _check_class(cls: type[Event]) -> None:
    if not cls.__pydantic_complete__:
        raise DefinitionError(
            f"event {cls.__name__}: expected types that are known where the class is defined; "
            "found a forward reference: define the type above it"
        )
    for key, expected in _CONFIG.items():
        found = cls.model_config.get(key, expected)
        if found != expected:
            raise DefinitionError(
                f"event {cls.__name__}: expected {key}={expected!r} in its model_config; "
                f"found {found!r}: leave it out"
            )


_CONFIG = {
    "frozen": True,
    "extra": "forbid",
    "validate_default": True,
    "use_enum_values": False,
    "alias_generator": None,
}


def _keep_instants_in_utc(cls: type[Event]) -> None:
    """Make every datetime of the class aware and in UTC."""
    changed = False
    for field in cls.codec.fields:
        metadata = cls.model_fields[field.name].metadata
        if field.python is datetime and _IN_UTC not in metadata:
            metadata.append(_IN_UTC)
            changed = True
    if changed:
        cls.model_rebuild(force=True)


def _in_utc(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("expected a datetime with a time zone; found a naive one: add one")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a datetime from the years 1 to 9999 in UTC") from None


_IN_UTC = AfterValidator(_in_utc)
