import enum
import math
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cached_property
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from fastavro import schemaless_reader  # pyright: ignore[reportUnknownVariableType]
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import create_model

from eventstore import EncodingError, Event
from eventstore.avro import EventCodec
from eventstore.errors import DecodingError
from tests.bank import AccountOpened, MoneyDeposited


class Colour(enum.StrEnum):
    RED = "the colour red"
    BLUE = "b"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Everything(Event, name="tests.everything"):
    whole: int
    real: float
    yes: bool
    text: str
    key: UUID
    day: date
    at: datetime
    colour: Colour
    size: Size
    maybe_whole: int | None
    maybe_real: float | None = 0.5
    maybe_yes: bool | None = None
    maybe_text: str | None = "?"
    maybe_key: UUID | None = None
    maybe_day: date | None = None
    maybe_at: datetime | None = None
    maybe_colour: Colour | None = Colour.BLUE


LONGS = st.integers(-(2**63), 2**63 - 1)
ZONES = st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis takes naive bounds
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=ZONES,
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: LONGS,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: st.text(),
    UUID: st.uuids(),
    date: st.dates(),
    datetime: INSTANTS,
    Colour: st.sampled_from(Colour),
    Size: st.sampled_from(Size),
}
EVERYTHING = st.builds(
    Everything,
    **{
        field.name: st.none() | VALUES[field.python] if field.optional else VALUES[field.python]
        for field in Everything.codec.fields
    },
)
patient = settings(deadline=None)


def survives(event: Event) -> None:
    codec = event.codec
    body = codec.encode(event)
    decoded = codec.decode(body)
    assert decoded == event
    assert [type(value) for value in vars(decoded).values()] == [
        type(value) for value in vars(event).values()
    ]
    assert codec.encode(decoded) == body
    assert codec.decoder_for(codec.schema)(body) == event


@patient
@given(EVERYTHING)
def test_an_event_survives_encoding_and_decoding(event: Everything) -> None:
    survives(event)


@patient
@given(st.lists(EVERYTHING, max_size=20))
def test_many_events_decode_as_one_by_one(events: list[Everything]) -> None:
    codec = Everything.codec
    bodies = [codec.encode(event) for event in events]
    assert codec.decode_many(bodies) == [codec.decode(body) for body in bodies] == events


@patient
@given(st.lists(EVERYTHING, max_size=20))
def test_many_events_encode_as_one_by_one(events: list[Everything]) -> None:
    codec = Everything.codec
    bodies = codec.encode_many(events)  # of shapes that it may not have seen
    assert bodies == codec.encode_many(events) == [codec.encode(event) for event in events]


@st.composite
def _generated(draw: st.DrawFn) -> Event:
    """An event of a class that was never seen before."""
    kinds = draw(st.lists(st.tuples(st.sampled_from(list(VALUES)), st.booleans()), max_size=6))
    fields: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for number, (kind, optional) in enumerate(kinds):
        strategy = st.none() | VALUES[kind] if optional else VALUES[kind]
        annotation = kind | None if optional else kind
        default = draw(st.just(...) | strategy.filter(_may_be_a_default))
        fields[f"field_{number}"] = (annotation, default)
        if default is ... or draw(st.booleans()):
            values[f"field_{number}"] = draw(strategy)
    model = create_model(
        "Generated", __base__=Event, __cls_kwargs__={"name": "tests.generated"}, **fields
    )
    return model(**values)


def _may_be_a_default(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@settings(patient, max_examples=50)
@given(_generated())
def test_an_event_of_any_class_survives(event: Event) -> None:
    survives(event)


@patient
@given(EVERYTHING)
def test_any_avro_reader_reads_what_we_write(event: Everything) -> None:
    codec = Everything.codec
    read: Any = schemaless_reader(BytesIO(codec.encode(event)), codec.schema, None)
    told = {**vars(event), "colour": event.colour.name, "size": event.size.name}
    told["maybe_colour"] = event.maybe_colour.name if event.maybe_colour else None
    assert read == told


@patient
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_decoding_error(body: bytes) -> None:
    try:
        Everything.codec.decode(body)
    except DecodingError:
        return


def _with_one_field(annotation: Any) -> Any:
    return create_model(
        "Made", __base__=Event, __cls_kwargs__={"name": "made"}, value=(annotation, ...)
    )


def test_a_not_a_number_survives_as_one() -> None:
    made = _with_one_field(float)
    assert math.isnan(made.codec.decode(made.codec.encode(made(value=math.nan))).value)


def test_an_event_without_fields_is_no_bytes() -> None:
    class Closed(Event, name="closed"):
        pass

    assert Closed.codec.encode(Closed()) == b""
    assert Closed.codec.encode_many([Closed()] * 1_000) == [b""] * 1_000
    assert Closed.codec.decode(b"") == Closed()
    assert Closed.codec.decode_many([b""] * 1_000) == [Closed()] * 1_000


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**200])
def test_an_int_beyond_64_bits_is_refused(number: int) -> None:
    made = _with_one_field(int | None)
    with pytest.raises(EncodingError, match="expected value to fit into 64 bits"):
        made.codec.encode(made(value=number))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("whole", 1.9),
        ("whole", True),
        ("whole", "1"),
        ("whole", None),
        ("real", 1),
        ("yes", 1),
        ("text", b"text"),
        ("key", str(UUID(int=0))),
        ("day", datetime(2013, 1, 1, tzinfo=UTC)),
        ("at", datetime(2013, 1, 1)),  # noqa: DTZ001 - what is refused
        ("at", 0),
        ("colour", "RED"),
        ("size", 1),
        ("maybe_whole", False),
        ("maybe_at", datetime(2013, 1, 1)),  # noqa: DTZ001
        ("text", "\ud800"),
    ],
)
def test_a_value_that_bypassed_validation_is_refused(field: str, value: Any) -> None:
    good = Everything(
        whole=1,
        real=1.0,
        yes=True,
        text="",
        key=UUID(int=0),
        day=date(2013, 1, 1),
        at=datetime(2013, 1, 1, tzinfo=UTC),
        colour=Colour.RED,
        size=Size.SMALL,
        maybe_whole=None,
    )
    Everything.codec.encode(good)
    bad = good.model_copy(update={field: value})
    with pytest.raises(EncodingError) as alone:
        Everything.codec.encode(bad)
    with pytest.raises(EncodingError) as among_others:
        Everything.codec.encode_many([good, bad, good])
    assert str(among_others.value) == str(alone.value)


def test_a_field_that_is_missing_is_refused() -> None:
    nothing: dict[str, Any] = {}
    with pytest.raises(EncodingError, match="owner"):
        AccountOpened.codec.encode(AccountOpened.model_construct(**nothing))


def test_an_event_of_another_class_is_refused() -> None:
    class Renamed(Event, name="renamed"):
        owner: str

    with pytest.raises(EncodingError, match="expected a AccountOpened, found a Renamed"):
        AccountOpened.codec.encode(Renamed(owner="Alice"))
    with pytest.raises(EncodingError, match="expected a AccountOpened, found a Renamed"):
        AccountOpened.codec.encode_many([AccountOpened(owner="Alice"), Renamed(owner="Alice")])


def test_the_order_of_values_does_not_matter() -> None:
    class Moved(Event, name="moved"):
        source: str
        target: str

    made = Moved(source="a", target="b")
    swapped = Moved.model_construct(target="b", source="a")
    assert Moved.codec.encode(swapped) == Moved.codec.encode(made)
    assert Moved.codec.encode_many([made, swapped]) == [Moved.codec.encode(made)] * 2


def test_what_is_cached_on_an_event_is_not_stored() -> None:
    class Named(Event, name="named"):
        text: str

        @cached_property
        def upper(self) -> str:
            return self.text.upper()

    event = Named(text="a")
    body = Named.codec.encode(event)
    assert event.upper == "A"
    assert Named.codec.encode(event) == body


@pytest.mark.parametrize("cut", [b"", b"\x0a", b"\x0aAlic"])
def test_bytes_that_end_early_are_refused(cut: bytes) -> None:
    with pytest.raises(DecodingError, match="account_opened"):
        AccountOpened.codec.decode(cut)


def test_bytes_that_are_left_over_are_refused() -> None:
    body = AccountOpened.codec.encode(AccountOpened(owner="Alice"))
    with pytest.raises(DecodingError, match="7 bytes, of which only 6 were used"):
        AccountOpened.codec.decode(body + b"\0")


def test_one_wrong_body_of_many_is_told_as_if_it_were_alone() -> None:
    codec = AccountOpened.codec
    bodies = [codec.encode(AccountOpened(owner=owner)) for owner in "abc"]
    with pytest.raises(DecodingError, match="3 bytes, of which only 2 were used"):
        codec.decode_many([*bodies, bodies[0] + b"\0"])


def _written(**fields: Any) -> tuple[EventCodec[Event], bytes]:
    """The codec of an earlier class of the same name, and a body that it wrote."""
    kinds: dict[str, Any] = {name: (type(value), ...) for name, value in fields.items()}
    model = create_model(
        "Earlier", __base__=Event, __cls_kwargs__={"name": "money_deposited"}, **kinds
    )
    return model.codec, model.codec.encode(model(**fields))


def test_a_field_that_was_dropped_is_skipped() -> None:
    earlier, body = _written(teller="Zoë", amount=7, at=datetime(2013, 1, 1, tzinfo=UTC))
    decode = MoneyDeposited.codec.decoder_for(earlier.schema)
    assert decode(body) == MoneyDeposited(amount=7)


def test_a_field_that_was_added_has_its_default() -> None:
    class Deposited(Event, name="money_deposited"):
        amount: int
        at: datetime = datetime(2013, 1, 1, tzinfo=UTC)
        colour: Colour = Colour.RED
        note: str | None

    earlier, body = _written(amount=7)
    expected = Deposited(amount=7, note=None)
    assert Deposited.codec.decoder_for(earlier.schema)(body) == expected


def test_a_field_that_was_added_without_a_default_is_refused() -> None:
    class Deposited(Event, name="money_deposited"):
        amount: int
        teller: str

    earlier, body = _written(amount=7)
    with pytest.raises(DecodingError, match="money_deposited"):
        Deposited.codec.decoder_for(earlier.schema)(body)


def test_a_value_that_the_class_refuses_today_is_told_without_the_value() -> None:
    earlier, body = _written(amount=-987_654)
    with pytest.raises(DecodingError, match="amount: Input should be greater than 0") as caught:
        MoneyDeposited.codec.decoder_for(earlier.schema)(body)
    assert "987" not in str(caught.value)


@pytest.mark.parametrize(
    "nested",
    [
        {"type": "array", "items": "null"},
        {"type": "map", "values": "long"},
        {"type": {"type": "array", "items": "null"}},
        {"type": "record", "name": "inner", "fields": []},
        ["null", "money_deposited"],
    ],
)
def test_a_schema_from_the_log_that_nests_is_refused(nested: Any) -> None:
    schema = {
        "type": "record",
        "name": "money_deposited",
        "fields": [{"name": "amount", "type": "long"}, {"name": "nested", "type": nested}],
    }
    with pytest.raises(DecodingError, match="nested"):
        MoneyDeposited.codec.decoder_for(schema)
