"""Records and what they mean, without a broker."""

import hashlib
import json
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from confluent_kafka import Message, murmur2
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Event, Metadata
from eventstore.errors import SchemaNotFound, UndecodableEvent, UnknownRecord
from eventstore.kafka.decoder import Decoder
from eventstore.kafka.header import HEADER, STRUCT, Header, Kind, pack, unpack
from eventstore.kafka.messages import (
    Encoder,
    LogRecord,
    RegisteredSchema,
    Schemas,
    event_id,
    header_of,
    timestamp_of,
)
from eventstore.kafka.schemas import SchemaTable
from eventstore.store import Recorded
from tests.bank import AccountOpened, MoneyDeposited

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

APPEND = UUID(int=7)


class Table(SchemaTable):
    """A registry that was read before."""

    def __init__(self, *canonicals: str) -> None:
        super().__init__()
        for offset, canonical in enumerate(canonicals):
            value = canonical.encode()
            self.learn(offset, hashlib.sha256(value).digest(), value)

    def id_of(self, sha256: bytes) -> int:
        schema = self.by_sha256(sha256)
        assert schema is not None
        return schema.id

    def by_fingerprint(self, fingerprint: bytes) -> RegisteredSchema:
        schema = super().by_fingerprint(fingerprint)
        if schema is None:
            raise SchemaNotFound(fingerprint, "foldlog.schemas")
        return schema


BANK = (AccountOpened, MoneyDeposited)
REGISTRY = Table(*(event_type.codec.canonical for event_type in BANK))


def header(event: Event, version: int = 1, **fields: Any) -> Header:
    fingerprint = type(event).codec.fingerprint
    found = Header(1, 1, 0, 1, 1, 1, version, 5, -1, b"writer--", APPEND.bytes, fingerprint)
    return found._replace(**fields)


def message(value: bytes | None, headers: Headers, offset: int = 3) -> Message:
    return Message("accounts", 0, offset, b"alice", value, headers)


def value_of(event: Event, registry: Schemas = REGISTRY) -> bytes:
    [(value, _, _)] = Encoder(registry).encode([event], [0])
    return value


def record(event: Event, offset: int, **fields: Any) -> LogRecord:
    found = header(event, **fields)
    value = value_of(event)
    return offset, found, message(value, [(HEADER, pack(found))], offset)


def test_a_header_has_74_bytes_and_reads_back_as_it_was() -> None:
    found = header(AccountOpened(owner="Alice"))
    assert STRUCT.size == len(pack(found)) == 74
    assert unpack(pack(found)) == found
    assert type(unpack(pack(found))) is Header


def test_the_header_is_laid_out_as_it_was_laid_down_for_good() -> None:
    found = Header(1, 1, 2, 3, 4, 5, 6, 7, -1, b"writer--", APPEND.bytes, b"schema--")
    assert pack(found) == (
        bytes([1, 1, 0, 2, 0, 3])
        + (4).to_bytes(4, "big")
        + b"".join(each.to_bytes(8, "big") for each in (5, 6, 7))
        + b"\xff" * 8
        + b"writer--"
        + APPEND.bytes
        + b"schema--"
    )


@given(st.integers(-(2**50), 2**50))
def test_a_timestamp_is_the_time_in_ms_but_never_what_the_client_takes_for_now_or_none(
    time: int,
) -> None:
    assert timestamp_of(time) == {0: 1, -1: -2}.get(time // 1000, time // 1000)
    assert timestamp_of(time) not in {0, -1}


def test_an_events_id_is_its_append_id_and_index() -> None:
    found = header(AccountOpened(owner="Alice"), index=2, count=3)
    assert event_id(found) == f"{APPEND}:2"


@pytest.mark.parametrize("headers", [[], [("other", b"1")], [("Foldlog", bytes(74))]])
def test_a_record_without_our_header_is_foreign(headers: Headers) -> None:
    assert header_of(message(b"", headers)) is None


def test_our_header_is_found_among_others() -> None:
    found = header(AccountOpened(owner="Alice"))
    headers: Headers = [("traceparent", b"00-1"), (HEADER, pack(found)), ("user", None)]
    assert header_of(message(b"", headers)) == found


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([pack(header(AccountOpened(owner=""), layout=2))], "layout 2, kind 1 in 74 bytes"),
        ([pack(header(AccountOpened(owner=""), kind=4))], "layout 1, kind 4 in 74 bytes"),
        ([pack(header(AccountOpened(owner=""), kind=0))], "layout 1, kind 0 in 74 bytes"),
        ([b"\x02\x01" + bytes(90)], "layout 2, kind 1 in 92 bytes"),
        ([b""], "of 0 bytes"),
        ([None], "of 0 bytes"),
        ([pack(header(AccountOpened(owner="")))] * 2, "2 headers"),
    ],
)
def test_no_reader_passes_over_our_header_when_it_does_not_know_it(
    values: list[bytes | None], told: str
) -> None:
    with pytest.raises(UnknownRecord, match=told) as raised:
        header_of(message(b"", [(HEADER, value) for value in values]))
    assert (raised.value.topic, raised.value.partition, raised.value.offset) == ("accounts", 0, 3)


def test_a_value_is_in_the_wire_format_that_other_tools_read() -> None:
    value = value_of(MoneyDeposited(amount=3))
    assert value == b"\0\0\0\0\2" + MoneyDeposited.codec.encode(MoneyDeposited(amount=3))


def test_events_come_back_in_order_with_where_and_when_they_happened() -> None:
    events = [AccountOpened(owner="Alice"), MoneyDeposited(amount=1), AccountOpened(owner="Bob")]
    records = [record(event, 3 + at, index=at, count=3) for at, event in enumerate(events)]
    recorded = Decoder(BANK, REGISTRY).decode("accounts", 0, records)
    assert [each.event for each in recorded] == events
    assert recorded[1] == Recorded(
        events[1], "alice", 1, 5, "accounts", 0, 4, APPEND.bytes, index=1, count=3
    )
    assert type(recorded[1]) is Recorded


def test_an_event_with_further_headers_has_its_metadata_and_the_others_have_none() -> None:
    first = record(AccountOpened(owner="Alice"), 3)
    metadata = Metadata(correlation_id="order 7", user={"name": "Zoë"})
    packed = pack(header(MoneyDeposited(amount=1)))
    value = value_of(MoneyDeposited(amount=1))
    beside = message(value, [(HEADER, packed), *metadata.headers()])
    found = header_of(beside)
    assert found is not None
    assert found == unpack(packed)
    recorded = Decoder(BANK, REGISTRY).decode("accounts", 0, [first, (4, found, beside), first])
    assert [each.metadata for each in recorded] == [None, metadata, None]


def test_events_that_are_not_wanted_are_not_decoded() -> None:
    offset, found, _ = record(AccountOpened(owner="Alice"), 3)
    broken = message(REGISTRY_PREFIX + b"\xff", [(HEADER, pack(found))])
    records = [(offset, found, broken), record(MoneyDeposited(amount=1), 4)]
    recorded = Decoder(BANK, REGISTRY, only=[MoneyDeposited]).decode("accounts", 0, records)
    assert [each.event for each in recorded] == [MoneyDeposited(amount=1)]


REGISTRY_PREFIX = b"\0\0\0\0\1"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "0 bytes instead of schema id 1"),
        (b"\0\0\0", "3 bytes instead of schema id 1"),
        (b"\0\0\0\0\2\2a", "schema id 2 after 0x00, where the header's fingerprint names 1"),
        (b"\1\0\0\0\1\2a", "schema id 1 after 0x01"),
        (REGISTRY_PREFIX + b"\2a!", "only 2 were used"),
        (REGISTRY_PREFIX + b"\x08a", "account_opened"),
    ],
)
def test_a_value_that_is_not_what_its_fingerprint_says_is_named_with_its_offset(
    value: bytes | None, told: str
) -> None:
    good, bad = record(AccountOpened(owner="Alice"), 3), record(AccountOpened(owner="Bob"), 4)
    records = [good, (4, bad[1], message(value, [], 4))]
    with pytest.raises(UndecodableEvent, match=told) as raised:
        Decoder(BANK, REGISTRY).decode("accounts", 0, records)
    assert raised.value.offset == 4


def test_an_event_whose_schema_nobody_registered_is_an_error() -> None:
    unknown = record(AccountOpened(owner="Alice"), 3, fingerprint=b"unknown-")
    with pytest.raises(UndecodableEvent, match=b"unknown-".hex()):
        Decoder(BANK, REGISTRY).decode("accounts", 0, [unknown])


def test_an_event_that_no_class_is_named_for_is_an_error_that_names_it() -> None:
    with pytest.raises(UndecodableEvent, match="'money_deposited' in the log"):
        Decoder([AccountOpened], REGISTRY).decode(
            "accounts", 0, [record(MoneyDeposited(amount=1), 3)]
        )


def test_an_event_of_an_older_schema_is_read_by_avro_resolution() -> None:
    class Opened(Event, name="account_opened"):
        owner: str
        bank: str = "first"

    registry = Table(AccountOpened.codec.canonical, Opened.codec.canonical)
    old, new = AccountOpened(owner="Alice"), Opened(owner="Bob", bank="second")
    records: list[LogRecord] = []
    for offset, event in enumerate([old, new]):
        value = value_of(event, registry)
        records.append((offset, header(event), message(value, [], offset)))
    recorded = Decoder([Opened], registry).decode("accounts", 0, records)
    assert [each.event for each in recorded] == [Opened(owner="Alice", bank="first"), new]


def test_a_schemas_id_is_the_offset_of_its_first_record_plus_one() -> None:
    canonical = AccountOpened.codec.canonical
    table = Table(MoneyDeposited.codec.canonical, canonical, canonical)
    assert table.id_of(AccountOpened.codec.sha256) == 2
    assert table.by_fingerprint(AccountOpened.codec.fingerprint).canonical == canonical


def test_a_schema_record_whose_key_does_not_match_its_value_is_ignored() -> None:
    table = SchemaTable()
    value = AccountOpened.codec.canonical.encode()
    table.learn(0, MoneyDeposited.codec.sha256, value)
    table.learn(1, None, value)
    table.learn(2, AccountOpened.codec.sha256, None)
    table.learn(3, AccountOpened.codec.sha256, json.dumps({"type": "record"}).encode())
    assert table.by_sha256(AccountOpened.codec.sha256) is None
    table.learn(4, AccountOpened.codec.sha256, value)
    assert table.by_sha256(AccountOpened.codec.sha256) == (
        5,
        AccountOpened.codec.sha256,
        value.decode(),
    )


@pytest.mark.parametrize(
    "value",
    [
        b"\xff",
        b"not JSON",
        b'"string"',
        b"[" * 100_000,
        b"1" * 10_000,
        b"[]",
        b'{"type": "enum", "name": "opened", "symbols": []}',
        b'{"type": "record", "fields": []}',
        b'{"type": "record", "name": 7, "fields": []}',
        b'{"type": "record", "name": "opened"}',
        b'{"type": "record", "name": "opened", "fields": {}}',
    ],
    ids=lambda value: repr(value[:32]),
)
def test_a_schema_record_that_holds_no_schema_of_a_record_is_ignored(value: bytes) -> None:
    key = hashlib.sha256(value).digest()
    table = SchemaTable()
    table.learn(0, key, value)
    assert table.by_sha256(key) is table.by_fingerprint(key[:8]) is None


@pytest.mark.parametrize(
    "fields",
    [
        [7],
        [{"name": "owner"}],
        [{"type": "string"}],
        [{"name": "owner", "type": None}],
        [{"name": "owner", "type": {"type": "enum", "symbols": []}}],
        [{"name": "owner", "type": {"type": "fixed", "name": [], "size": 1}}],
        [{"name": "owner", "type": ["string", "string"]}],
        [{"name": "", "type": "string"}],
        [{"name": "owner", "type": {"type": "record", "name": "n", "fields": []}}],
    ],
    ids=str,
)
def test_an_event_whose_registered_schema_is_not_a_flat_record_is_an_error_that_says_so(
    fields: list[Any],
) -> None:
    schema = {"type": "record", "name": AccountOpened.event_name, "fields": fields}
    canonical = json.dumps(schema)
    fingerprint = hashlib.sha256(canonical.encode()).digest()[:8]
    found = header(AccountOpened(owner=""))._replace(fingerprint=fingerprint)
    value = b"\0\0\0\0\1\0"
    read = (3, found, message(value, [(HEADER, pack(found))]))
    with pytest.raises(UndecodableEvent, match=r"\[0\]@3: .*(schema|bytes)"):
        Decoder(BANK, Table(canonical)).decode("accounts", 0, [read])


# What the Java client's own tests expect of Utils.murmur2, and then of its partitioner:
# toPositive(murmur2(key)) % partitions.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("partitions", [1, 6, 12, 97])
def test_a_key_falls_into_the_partition_that_the_java_client_gives_it(partitions: int) -> None:
    for key, hashed in JAVA.items():
        assert murmur2(key, partitions) == (hashed & 0x7FFFFFFF) % partitions
    assert murmur2(b"order-1", 6) == 4


def test_a_claim_is_a_record_of_ours_without_a_value() -> None:
    found = header(AccountOpened(owner=""), kind=Kind.CLAIM)
    claim = message(None, [(HEADER, pack(found))])
    assert not claim  # the client calls it false; readers must not
    assert header_of(claim) == found
