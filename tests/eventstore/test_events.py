import copy
import enum
import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar
from uuid import UUID, uuid4

import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    Field,
    FutureDate,
    NaiveDatetime,
    PositiveInt,
    PrivateAttr,
    ValidationError,
    create_model,
)

from eventstore import DefinitionError, Event, UnsupportedType
from eventstore.avro import schema_of, sha256
from eventstore.events import check_names
from tests.bank import AccountOpened, MoneyDeposited

T = TypeVar("T")
AccountId = NewType("AccountId", str)


class Currency(enum.Enum):
    EUR = ("Euro", 2)
    JPY = ("Yen", 0)


def define(annotation: Any, default: Any = ...) -> type[Event]:
    """An event with one field of this type."""
    made = create_model(
        "Made", __base__=Event, __cls_kwargs__={"name": "made"}, value=(annotation, default)
    )
    assert issubclass(made, Event)
    return made


def field_of(event: type[Event]) -> dict[str, Any]:
    (field,) = event.codec.schema["fields"]
    assert field.pop("name") == "value"
    return dict(field)


def test_an_event_has_its_stored_name_and_its_schema() -> None:
    assert AccountOpened.event_name == AccountOpened.codec.name == "account_opened"
    assert AccountOpened.codec.schema == {
        "type": "record",
        "name": "account_opened",
        "fields": [{"name": "owner", "type": "string"}],
    }


def test_the_canonical_schema_is_laid_down_for_good() -> None:
    codec = MoneyDeposited.codec
    assert codec.canonical == (
        '{"fields":[{"name":"amount","type":"long"}],"name":"money_deposited","type":"record"}'
    )
    assert codec.sha256.hex() == (
        "6892d33986aeeb591372b6fd06b30b2bb7d2da7400cd13c73c13c5c84d05dba3"
    )
    assert codec.fingerprint == codec.sha256[:8]


def test_the_schema_depends_on_the_stored_name_and_not_on_the_class() -> None:
    class Renamed(Event, name="account_opened"):
        """Documented, too."""

        owner: str

    assert Renamed.codec.canonical == AccountOpened.codec.canonical
    assert schema_of(Renamed, "another") != Renamed.codec.schema
    assert sha256(Renamed.codec.schema) == AccountOpened.codec.sha256


@pytest.mark.parametrize(
    ("annotation", "avro"),
    [
        (int, "long"),
        (PositiveInt, "long"),
        (float, "double"),
        (bool, "boolean"),
        (str, "string"),
        (AccountId, "string"),
        (Annotated[str, Field(max_length=3)], "string"),
        (UUID, {"type": "string", "logicalType": "uuid"}),
        (date, {"type": "int", "logicalType": "date"}),
        (datetime, {"type": "long", "logicalType": "timestamp-micros"}),
        (AwareDatetime, {"type": "long", "logicalType": "timestamp-micros"}),
        (Currency, {"type": "enum", "name": "made_value", "symbols": ["EUR", "JPY"]}),
    ],
)
def test_a_type_has_one_avro_form_and_optional_adds_null(annotation: Any, avro: Any) -> None:
    assert field_of(define(annotation)) == {"type": avro}
    for optional in (Optional[annotation], annotation | None):  # noqa: UP045 - both spellings
        assert field_of(define(optional)) == {"type": ["null", avro], "default": None}
        assert field_of(define(optional, None)) == {"type": ["null", avro], "default": None}


@pytest.mark.parametrize(
    ("annotation", "default", "avro"),
    [
        (int, 7, 7),
        (int, -(2**63), -(2**63)),
        (float, 1, 1.0),
        (str, "", ""),
        (bool, False, False),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (date, date(1970, 1, 3), 2),
        (datetime, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1_000_000),
        (Currency, Currency.JPY, "JPY"),
    ],
)
def test_a_plain_default_is_the_avro_default(annotation: Any, default: Any, avro: Any) -> None:
    assert field_of(define(annotation, default))["default"] == avro
    optional = field_of(define(annotation | None, default))
    assert optional["default"] == avro
    assert optional["type"][1] == "null"


def test_a_default_factory_never_runs_for_the_schema() -> None:
    def never() -> UUID:
        raise AssertionError("called")

    made = define(UUID, Field(default_factory=never))
    assert field_of(made) == {"type": {"type": "string", "logicalType": "uuid"}}
    optional = define(UUID | None, Field(default_factory=never))
    assert field_of(optional)["default"] is None


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Decimal, "minor units"),
        (bytes, "its address"),
        (list[int], "flat"),
        (dict[str, int], "flat"),
        (tuple[int, int], "flat"),
        (AccountOpened, "nested model"),
        (BaseModel, "nested model"),
        (Any, "flat"),
        (int | str, "flat"),
        (int | str | None, "flat"),
        (Literal["a", "b"], "flat"),
        (None, "flat"),
        (timedelta, "flat"),
        (NaiveDatetime, "AwareDatetime"),
        (FutureDate, "use date"),
        (enum.IntFlag("Bits", ["A", "B"]), "flags combine"),
        (enum.Enum("Größe", ["klein", "groß"]), "ASCII"),
    ],
)
def test_another_type_is_refused_naming_the_field(annotation: Any, says: str) -> None:
    with pytest.raises(UnsupportedType, match=says) as caught:
        define(annotation)
    assert (caught.value.event, caught.value.field) == ("Made", "value")
    assert str(caught.value).startswith("Made.value: expected int,")


@pytest.mark.parametrize(
    ("annotation", "default", "says"),
    [
        (int, "7", "that is a int"),
        (int, 2**63, "64 bits"),
        (float, float("nan"), "no such number"),
        (float, float("inf"), "no such number"),
        (datetime, datetime(2013, 1, 1), "time zone"),  # noqa: DTZ001 - what is refused
        (str, "\ud800", "surrogate"),
        (int, Field(alias="other"), "one name"),
        (int, Field(validation_alias="other"), "one name"),
        (int, Field(serialization_alias="other"), "one name"),
    ],
)
def test_a_default_or_name_that_avro_cannot_hold_is_refused(
    annotation: Any, default: Any, says: str
) -> None:
    with pytest.raises(UnsupportedType, match=says):
        define(annotation, default)


def test_a_field_name_that_avro_cannot_hold_is_refused() -> None:
    with pytest.raises(UnsupportedType, match="ASCII"):
        create_model("Made", __base__=Event, __cls_kwargs__={"name": "made"}, größe=(int, ...))


def test_a_generic_event_is_refused() -> None:
    with pytest.raises(UnsupportedType, match="generic"):

        class Box(Event, Generic[T], name="box"):  # pyright: ignore[reportUnusedClass]
            value: T


@pytest.mark.parametrize(
    "name", ["", "1st", "account-opened", "a..b", ".a", "a.", "kontoeröffnung", "string", "a.long"]
)
def test_a_stored_name_that_is_no_avro_full_name_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="stored name"):
        create_model("Made", __base__=Event, __cls_kwargs__={"name": name})


def test_an_event_without_a_stored_name_is_refused() -> None:
    with pytest.raises(DefinitionError, match="give one in the class statement"):
        create_model("Made", __base__=Event)


@pytest.mark.parametrize(
    "config", [{"frozen": False}, {"extra": "allow"}, {"use_enum_values": True}]
)
def test_an_event_that_is_not_frozen_and_strict_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(config))):
        create_model("Made", __base__=Event, __cls_kwargs__={"name": "made", **config})


def test_a_type_that_is_not_known_yet_is_refused() -> None:
    with pytest.raises(DefinitionError, match="forward reference"):
        define("Unknown")


def test_two_classes_with_one_stored_name_are_refused_together() -> None:
    class Renamed(Event, name="account_opened"):
        owner: str

    check_names([AccountOpened, MoneyDeposited, AccountOpened])
    with pytest.raises(DefinitionError, match="a stored name of"):
        check_names([AccountOpened, MoneyDeposited, Renamed])


def test_an_event_never_changes() -> None:
    event = AccountOpened(owner="Alice")
    with pytest.raises(ValidationError):
        event.owner = "Bob"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        AccountOpened(owner="Alice", age=7)  # type: ignore[call-arg]


@pytest.mark.parametrize("annotation", [datetime, AwareDatetime, datetime | None])
def test_a_datetime_is_aware_and_kept_in_utc(annotation: Any) -> None:
    made: Any = define(annotation)
    at = datetime(2013, 1, 1, 12, tzinfo=timezone(timedelta(hours=-5)))
    assert made(value=at).value == at
    assert made(value=at).value.tzinfo is UTC
    with pytest.raises(ValidationError):
        made(value=datetime(2013, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(ValidationError):
        made(value="2013-01-01T00:00:00")


def test_a_datetime_that_a_factory_gives_must_be_aware_too() -> None:
    made: Any = define(datetime, Field(default_factory=lambda: datetime(2013, 1, 1)))  # noqa: DTZ001
    with pytest.raises(ValidationError):
        made()


def test_an_event_may_extend_another_under_a_name_of_its_own() -> None:
    class AccountOpenedAbroad(AccountOpened, name="account_opened_abroad"):
        at: datetime
        country: str = "DE"

    class AccountOpenedFarAway(AccountOpenedAbroad, name="account_opened_far_away"):
        pass

    for event_type in (AccountOpenedAbroad, AccountOpenedFarAway):
        names = [field["name"] for field in event_type.codec.schema["fields"]]
        assert names == ["owner", "at", "country"]
        event = event_type(owner="Alice", at=datetime(2013, 1, 1, tzinfo=UTC))
        assert event.codec.decode(event.codec.encode(event)) == event
    assert AccountOpened.codec.model is AccountOpened


class Noted(Event, name="noted"):
    text: str
    receipt: UUID = Field(default_factory=uuid4)
    _words: int = PrivateAttr(default=0)

    @property
    def words(self) -> int:
        return self._words

    def model_post_init(self, context: Any, /) -> None:
        self._words = len(self.text.split())


def test_a_decoded_event_is_as_good_as_a_made_one() -> None:
    made = Noted(text="three short words")
    decoded = Noted.codec.decode(Noted.codec.encode(made))
    assert isinstance(decoded, Noted)
    assert decoded == made
    assert hash(decoded) == hash(made)
    assert decoded.words == 3
    assert repr(decoded) == repr(made)
    assert decoded.model_dump() == made.model_dump()
    assert decoded.model_dump_json() == made.model_dump_json()
    assert decoded.model_copy(update={"text": "one"}).text == "one"
    assert copy.deepcopy(decoded) == copy.copy(decoded) == made
    assert pickle.loads(pickle.dumps(decoded)) == made
    assert decoded.model_fields_set == {"text", "receipt"}
    with pytest.raises(ValidationError):
        decoded.text = "changed"  # type: ignore[misc]
