"""The log format's test vectors are true, for our code and for a reader that has none of it."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import murmur2

from eventstore.kafka.header import Header, pack, unpack
from eventstore.kafka.messages import timestamp_of
from eventstore.kafka.rule import ReaderRule
from tests.bank import Account, AccountOpened, MoneyDeposited

DOCS = Path(__file__).parent.parent.parent / "docs"
BANK = DOCS.parent / "examples" / "bank.py"
READER = DOCS / "how-to" / "read_log.py"
VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (DOCS / "reference" / "vectors.json").read_text(encoding="utf-8")
)
EVENTS = {each.event_name: each for each in Account.event_types}


@pytest.fixture(scope="module")
def foreign_reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("read_log", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _header(fields: dict[str, Any]) -> Header:
    values: dict[str, Any] = {
        **fields,
        "writer": bytes.fromhex(fields["writer"]),
        "append": UUID(fields["append"]).bytes,
        "fingerprint": bytes.fromhex(fields["fingerprint"]),
    }
    return Header(**values)


def _of_rule(record: dict[str, Any]) -> Header:
    absent = {"layout": 1, "version": 0, "time": 0, "previous": -1, "fingerprint": "00" * 8}
    return _header({**absent, **record})


@pytest.mark.parametrize("vector", VECTORS["headers"], ids=lambda vector: vector["what"])
def test_a_header_has_the_bytes_of_its_vector(vector: dict[str, Any]) -> None:
    header = _header(vector["header"])
    assert pack(header).hex() == vector["bytes"]
    assert unpack(bytes.fromhex(vector["bytes"])) == header


def test_a_key_falls_into_the_partition_of_its_vector() -> None:
    for vector in VECTORS["partitions"]:
        assert murmur2(vector["key"].encode(), vector["partitions"]) == vector["partition"]


def test_a_time_has_the_timestamp_of_its_vector() -> None:
    for vector in VECTORS["timestamps"]:
        assert timestamp_of(vector["time"]) == vector["timestamp"]


def test_a_schema_is_canonical_and_hashed_as_its_vector_says() -> None:
    codecs = (AccountOpened.codec, MoneyDeposited.codec)
    for vector, codec in zip(VECTORS["schemas"], codecs, strict=True):
        assert codec.canonical == vector["canonical"]
        assert hashlib.sha256(vector["canonical"].encode()).hexdigest() == vector["sha256"]
        assert codec.fingerprint.hex() == vector["fingerprint"] == vector["sha256"][:16]


def test_a_value_has_the_bytes_of_its_vector() -> None:
    for vector in VECTORS["values"]:
        event_type = EVENTS[vector["event"]]
        body = event_type.codec.encode(event_type(**vector["data"]))
        assert (b"\0" + vector["schema_id"].to_bytes(4, "big") + body).hex() == vector["value"]


@pytest.mark.parametrize("vector", VECTORS["rule"], ids=lambda vector: vector["what"])
def test_the_reader_rule_finds_what_the_vector_calls_valid(vector: dict[str, Any]) -> None:
    rule: ReaderRule[int] = ReaderRule()
    valid: list[int] = []
    for offset, record in enumerate(vector["records"]):
        if record is None:
            rule.foreign(offset)
        else:
            valid += rule.read(offset, _of_rule(record), offset)
    assert valid == vector["valid"]
    position = rule.position._asdict() | {"writer": rule.position.writer.hex()}
    assert position == vector["position"]


@pytest.mark.parametrize("vector", VECTORS["rule"], ids=lambda vector: vector["what"])
def test_the_foreign_reader_finds_what_the_vector_calls_valid(
    vector: dict[str, Any], foreign_reader: ModuleType
) -> None:
    rule = foreign_reader.Rule()
    valid: list[int] = []
    for offset, record in enumerate(vector["records"]):
        if record is not None:
            valid += rule.read(tuple(_of_rule(record)), offset)
    assert valid == vector["valid"]


def test_the_foreign_reader_reads_what_the_bank_appended(kafka: str, postgres: str) -> None:
    servers = {
        "FOLDLOG_KAFKA": kafka,
        "FOLDLOG_POSTGRES": postgres,
        "FOLDLOG_DURABILITY": "single",
    }
    subprocess.run([sys.executable, BANK], env={**os.environ, **servers}, check=True)
    done = subprocess.run(
        [sys.executable, READER, kafka, "accounts"], capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"stream": "alice", "version": 1, "event": "account_opened", "data": {"owner": "Alice"}},
        {"stream": "alice", "version": 2, "event": "money_deposited", "data": {"amount": 100}},
        {"stream": "alice", "version": 3, "event": "money_withdrawn", "data": {"amount": 30}},
    ]


def test_the_foreign_reader_imports_nothing_of_ours() -> None:
    imports = re.compile(r"^(?:from|import) (?:eventstore|foldlog|projections)", re.MULTILINE)
    assert not imports.findall(READER.read_text(encoding="utf-8"))
