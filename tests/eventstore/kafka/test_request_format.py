"""Requests and replies come through their bytes as they were."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.errors import (
    AppendError,
    AppendIdReused,
    Busy,
    ConcurrencyError,
    DeliveryFailed,
    StoreClosed,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka.records import EncodedAppend
from eventstore.kafka.request_format import (
    REQUEST,
    NotARequest,
    Request,
    outcome_of,
    pack_reply,
    pack_request,
    unpack_reply,
    unpack_request,
)
from eventstore.metadata import NAMES
from eventstore.store import ANY, Appended, Position

PARTITIONS = 12
INT64 = st.integers(-(2**63), 2**63 - 1)
EVENTS = st.tuples(st.binary(max_size=60), st.binary(min_size=8, max_size=8), INT64)
STREAMS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
APPENDS = st.builds(
    EncodedAppend,
    topic=st.just("accounts"),
    stream=STREAMS,
    events=st.lists(EVENTS, min_size=1, max_size=5),
    expected=st.integers(0, 2**63 - 1) | st.just(ANY),
    append_id=st.uuids(),
    headers=st.lists(
        st.tuples(st.sampled_from(sorted(NAMES)), st.binary(max_size=9)), max_size=3
    ).map(tuple),
)
REQUESTS = st.builds(
    Request,
    append=APPENDS,
    deadline=st.integers(0, 2**32).map(float),
    sender=st.binary(min_size=8, max_size=8),
    number=st.integers(0, 2**64 - 1),
    reply_partition=st.integers(0, PARTITIONS - 1),
)
ONE = EncodedAppend("accounts", "alice", [(b"body", b"schema!!", 7)], ANY, UUID(int=5))


def unpacked(key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> Request:
    return unpack_request("accounts", key, value, headers, partitions=PARTITIONS)


@given(REQUESTS)
def test_a_request_comes_through_its_bytes_as_it_was(request: Request) -> None:
    value, header = pack_request(request)
    append = request.append
    headers = [(REQUEST, header), *append.headers]
    assert unpacked(append.stream.encode(), value, headers) == request


def test_no_header_but_metadatas_goes_into_the_log() -> None:
    """A second header of ours on an event would stop every reader."""
    value, header = pack_request(Request(ONE, 1.0, b"sender!!", 1, 0))
    headers = [("foldlog", b"forged"), (REQUEST, header), ("causation_id", b"c")]
    request = unpacked(b"alice", value, headers)
    assert request.append.headers == (("causation_id", b"c"),)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_what_is_no_request_is_told_apart(value: bytes, header: bytes) -> None:
    with pytest.raises(NotARequest):
        unpacked(b"alice", value, [(REQUEST, header)])


@given(st.integers(1, 30))
def test_a_request_that_was_cut_is_told_apart(cut: int) -> None:
    value, header = pack_request(Request(ONE, 1.0, b"sender!!", 1, 0))
    with pytest.raises(NotARequest, match=r"ends within an event|has 0 events"):
        unpacked(b"alice", value[:-cut], [(REQUEST, header)])


@pytest.mark.parametrize("partition", [PARTITIONS, 2**31, 2**32 - 1])
def test_a_request_whose_answer_has_nowhere_to_go_is_told_apart(partition: int) -> None:
    value, header = pack_request(Request(ONE, 1.0, b"sender!!", 1, partition))
    with pytest.raises(NotARequest, match=rf"in partition {partition} of {PARTITIONS}"):
        unpacked(b"alice", value, [(REQUEST, header)])


@pytest.mark.parametrize("expected", [-2, -(2**63)])
def test_a_request_that_expects_what_no_stream_can_be_is_told_apart(expected: int) -> None:
    value, header = pack_request(Request(ONE._replace(expected=expected), 1.0, b"sender!!", 1, 0))
    with pytest.raises(NotARequest, match=f"expects version {expected}"):
        unpacked(b"alice", value, [(REQUEST, header)])


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("offsets", [(7, 8), (7,), (7, 9, 10)])
def test_an_answer_comes_through_with_its_positions(
    repeated: bool,  # noqa: FBT001
    offsets: tuple[int, ...],
) -> None:
    positions = tuple(Position("accounts", 3, offset) for offset in offsets)
    answer = Appended("alice", 2, positions, repeated)
    reply = unpack_reply(pack_reply(9, answer))
    assert reply is not None
    assert reply.number == 9
    assert outcome_of(reply, ONE, 3) == answer


@pytest.mark.parametrize(
    "error",
    [
        ConcurrencyError("alice", UUID(int=5), 1, 2),
        VersionAhead("alice", UUID(int=5), 2, 1),
        AppendIdReused("alice", UUID(int=5), "bob"),
        Busy("alice", UUID(int=5), 4_096),
        UnknownOutcome("alice", UUID(int=5), "silence"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_through_with_its_facts(error: AppendError) -> None:
    reply = unpack_reply(pack_reply(1, error))
    assert reply is not None
    heard = outcome_of(reply, ONE, 0)
    assert type(heard) is type(error)
    assert str(heard) == str(error)
    assert vars(heard) == vars(error)


@pytest.mark.parametrize(
    "error",
    [
        StoreClosed("its disk is full"),
        DeliveryFailed("alice", UUID(int=5), "its disk is full"),  # the next writer may succeed
    ],
    ids=lambda error: type(error).__name__,
)
def test_another_error_of_the_writer_says_that_nothing_is_known(error: Exception) -> None:
    reply = unpack_reply(pack_reply(1, error))
    assert reply is not None
    heard = outcome_of(reply, ONE, 0)
    assert isinstance(heard, UnknownOutcome)
    assert "its disk is full" in str(heard)


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b'{"layout": 2, "number": 1, "outcome": "appended"}', b"\xff"]
)
def test_a_reply_of_another_layout_is_passed_over(value: bytes) -> None:
    assert unpack_reply(value) is None


def test_an_outcome_of_a_later_release_says_that_nothing_is_known() -> None:
    value = b'{"layout": 1, "number": 1, "outcome": "sealed", "follows": "accounts-2"}'
    reply = unpack_reply(value)
    assert reply is not None
    heard = outcome_of(reply, ONE, 0)
    assert isinstance(heard, UnknownOutcome)
    assert "sealed" in str(heard)
    assert heard.append_id == ONE.append_id
