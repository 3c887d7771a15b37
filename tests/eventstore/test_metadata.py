"""Metadata: what it takes, what it refuses, and how it looks in the headers of a record."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from eventstore import Append, EventStoreError, InvalidAppend, InvalidMetadata, Metadata
from eventstore.metadata import carried, carrying, size_of
from eventstore.store import ANY
from tests.bank import AccountOpened

FULL = Metadata(
    correlation_id="order 7",
    causation_id="e1",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    user={"name": "Zoë", "b": "2"},
)


def test_only_what_is_set_becomes_a_header() -> None:
    assert FULL.headers() == (
        ("correlation_id", b"order 7"),
        ("causation_id", b"e1"),
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("metadata", '{"b":"2","name":"Zoë"}'.encode()),
    )
    assert Metadata(causation_id="e1").headers() == (("causation_id", b"e1"),)
    assert Metadata().headers() == ()
    assert size_of(Metadata(causation_id="e1")) == 14
    assert size_of(None) == 0


@pytest.mark.parametrize("metadata", [FULL, Metadata(user={"a": ""}), Metadata(correlation_id="")])
def test_what_was_written_as_headers_is_read_back(metadata: Metadata) -> None:
    read = Metadata.from_headers([("foldlog", b"\1"), *metadata.headers(), ("other", None)])
    assert read == metadata
    assert hash(read) == hash(metadata)


def test_it_never_changes_and_can_be_copied() -> None:
    user = {"a": "1"}
    metadata = Metadata(user=user)
    user["a"] = "2"
    assert metadata.user == {"a": "1"}
    with pytest.raises(TypeError):
        metadata.user["a"] = "2"  # type: ignore[index]
    with pytest.raises(AttributeError):
        metadata.correlation_id = "x"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(FULL)) == copy.deepcopy(FULL) == FULL


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"correlation_id": uuid4()}, "a string for correlation_id; found UUID"),
        ({"causation_id": "a\0"}, "text for causation_id; found U"),
        ({"traceparent": "\ud800"}, "text for traceparent; found a surrogate"),
        ({"user": {"n": 1}}, "a string for user\\['n'\\]; found int 1"),
        ({"user": {1: "n"}}, "a string for a key of user; found int 1"),
        ({"user": {"\0": "n"}}, "text for a key of user; found U"),
        ({"user": "ab"}, "a mapping for user; found 'ab'"),
        ({"user": {"n": "x" * 4_100}}, "at most 4096 bytes.*found 4116 bytes"),
    ],
)
def test_what_could_not_be_stored_is_refused(fields: Mapping[str, Any], told: str) -> None:
    with pytest.raises(InvalidMetadata, match=told) as raised:
        Metadata(**fields)
    assert isinstance(raised.value, EventStoreError)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("other", b"1")],
        [("correlation_id", None)],
        [("correlation_id", b"\xff")],
        [("correlation_id", b"\0")],
        [("metadata", b"[1]")],
        [("metadata", b"{")],
        [("metadata", b"[" * 3_000)],
        [("metadata", b'{"a":1}')],
        [("metadata", b'{"a":"\\ud800"}')],
        [("traceparent", b"x" * 5_000)],
    ],
)
def test_headers_of_other_programs_are_left_out(headers: list[tuple[str, bytes | None]]) -> None:
    assert Metadata.from_headers(headers) is None


def test_the_first_of_two_headers_with_one_name_counts() -> None:
    headers = [("traceparent", b"ours"), ("traceparent", b"a tracer's"), ("metadata", b"\xff")]
    assert Metadata.from_headers(headers) == Metadata(traceparent="ours")


def test_an_append_takes_metadata_and_drops_what_is_empty() -> None:
    event = AccountOpened(owner="Alice")
    assert Append("accounts", "alice", [event], ANY, metadata=FULL).metadata is FULL
    assert Append("accounts", "alice", [event], ANY, metadata=Metadata()).metadata is None
    with pytest.raises(InvalidAppend, match="its metadata is of type dict; give Metadata"):
        Append("accounts", "alice", [event], ANY, metadata={"a": "b"})  # type: ignore[arg-type]


def test_what_is_carried_holds_for_the_block_and_for_its_context_alone() -> None:
    inner, others = Metadata(causation_id="e1"), list[Metadata | None]()
    with carrying(FULL):
        with carrying(inner):
            assert carried() is inner
        assert carried() is FULL
        with carrying(None):
            assert carried() is None
        other = threading.Thread(target=lambda: others.append(carried()))
        other.start()
        other.join()
    assert carried() is None
    assert others == [None]


def test_tasks_do_not_see_what_another_carries() -> None:
    async def request(number: int) -> Metadata | None:
        with carrying(Metadata(correlation_id=str(number))):
            await asyncio.sleep(0)
            return await asyncio.to_thread(carried)

    async def both() -> list[Metadata | None]:
        return list(await asyncio.gather(request(1), request(2)))

    found = asyncio.run(both())
    assert found == [Metadata(correlation_id="1"), Metadata(correlation_id="2")]
