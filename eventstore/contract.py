"""The contract of an event store, as tests: for the stores here, and for a store of yours.

Give it a store in a module of pytest's, and it checks all that `Repository` relies on::

    import pytest

    from eventstore.contract import EventStoreContract

    class TestMyStore(EventStoreContract):
        @pytest.fixture
        def store(self):
            topics = {topic: self.event_types for topic in (self.topic, self.other_topic)}
            with MyStore(topics=topics) as store:
                yield store

``event_types`` are what the tests append, to ``topic`` and ``other_topic``; a store that takes
any event needs none of these. The tests use streams of their own, so one store can serve them
all. pytest must be installed.
"""

import enum
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import ClassVar, Final, TypeVar
from uuid import UUID, uuid4

import pytest

from eventstore.aggregates import Aggregate
from eventstore.errors import (
    AppendIdReused,
    AppendTooLarge,
    ConcurrencyError,
    EncodingError,
    VersionAhead,
)
from eventstore.events import Event
from eventstore.metadata import Metadata, carrying
from eventstore.repository import Repository
from eventstore.store import (
    ANY,
    NO_STREAM,
    Append,
    Appended,
    EventStore,
    ExpectedVersion,
    Position,
    Recorded,
)

T = TypeVar("T")
SECONDS: Final = 60
THREADS: Final = 8


class Currency(enum.Enum):
    """An enum whose values Avro could not hold."""

    EUR = ("Euro", 2)
    JPY = ("Yen", 0)


class Deposited(Event, name="contract.deposited"):
    """An event with one field."""

    amount: int


class Exchanged(Event, name="contract.exchanged"):
    """An event with a field of every kind."""

    paid: int
    rate: float
    final: bool
    clerk: str
    receipt: UUID
    day: date
    at: datetime
    currency: Currency
    note: str | None = None


class Till(Aggregate[Deposited | Exchanged], topic="contract"):
    """Counts what was deposited."""

    total: int = 0

    def deposit(self, amount: int) -> None:
        """Add an amount."""
        self.record(Deposited(amount=amount))

    def apply(self, event: Deposited | Exchanged) -> None:
        """Add what was deposited or paid."""
        match event:
            case Deposited(amount=amount) | Exchanged(paid=amount):
                self.total += amount


class EventStoreContract:
    """What every event store does; subclass it and override the fixture `store`."""

    topic: ClassVar[str] = Till.topic
    """The topic that the tests append to."""
    other_topic: ClassVar[str] = "contract.other"
    """Another topic, for the tests of what must not mix."""
    event_types: ClassVar[tuple[type[Event], ...]] = Till.event_types
    """The event classes that they append."""

    @pytest.fixture
    def store(self) -> EventStore:
        """The store to test, open."""
        raise NotImplementedError("override the fixture `store` to give the store to test")

    @pytest.fixture
    def stream(self) -> str:
        """A stream that nobody has used."""
        return f"till-{uuid4()}"

    # Appending and reading

    def test_what_was_appended_is_read_back_in_order(self, store: EventStore, stream: str) -> None:
        events = [Deposited(amount=amount) for amount in (3, 1, 2)]
        append = _append(stream, events, NO_STREAM, times=(10, 20, 30))
        answer = _decided(store, append)
        assert (answer.stream, answer.version, answer.repeated) == (stream, 3, False)
        read = list(store.read(self.topic, stream))
        assert [one.event for one in read] == events
        assert [one.version for one in read] == [1, 2, 3]
        assert [one.time for one in read] == [10, 20, 30]
        assert [(one.index, one.count) for one in read] == [(0, 3), (1, 3), (2, 3)]
        assert {(one.stream, one.append_id) for one in read} == {(stream, append.append_id)}
        assert tuple(one.position for one in read) == answer.positions

    def test_the_events_of_an_append_stand_side_by_side(
        self, store: EventStore, stream: str
    ) -> None:
        answer = _decided(store, _append(stream, _deposits(5), NO_STREAM))
        first = answer.positions[0]
        assert first.topic == self.topic
        assert answer.positions == tuple(
            Position(self.topic, first.partition, first.offset + index) for index in range(5)
        )

    def test_a_field_of_every_kind_survives(self, store: EventStore, stream: str) -> None:
        events = [_exchanged(note) for note in (None, "", "grüße, 世界 🏦")]
        _decided(store, _append(stream, events, NO_STREAM))
        assert [one.event for one in store.read(self.topic, stream)] == events

    def test_a_stream_without_events_reads_empty_and_has_no_head(
        self, store: EventStore, stream: str
    ) -> None:
        assert list(store.read(self.topic, stream)) == []
        assert store.head(self.topic, stream) is None

    def test_reading_after_a_version_gives_what_is_above_it(
        self, store: EventStore, stream: str
    ) -> None:
        _decided(store, _append(stream, _deposits(2), NO_STREAM))
        _decided(store, _append(stream, _deposits(3), 2))
        for after in range(7):
            read = store.read(self.topic, stream, after=after)
            assert [one.version for one in read] == list(range(after + 1, 6))

    def test_the_head_tells_the_version_the_last_append_and_its_place(
        self, store: EventStore, stream: str
    ) -> None:
        first = _decided(store, _append(stream, _deposits(2), NO_STREAM))
        append = _append(stream, _deposits(3), 2)
        last = _decided(store, append)
        head = store.head(self.topic, stream)
        assert head is not None
        assert (head.version, head.append_id) == (5, append.append_id)
        assert head.first_offset == first.positions[0].offset
        assert head.last_offset == last.positions[-1].offset

    def test_streams_do_not_mix(self, store: EventStore, stream: str) -> None:
        streams = [f"{stream}-{number}" for number in range(5)]
        for turn in range(3):
            for name in streams:
                _decided(store, _append(name, [Deposited(amount=turn)], turn or NO_STREAM))
        for name in streams:
            read = list(store.read(self.topic, name))
            assert [one.event for one in read] == [Deposited(amount=turn) for turn in range(3)]
            assert {one.stream for one in read} == {name}

    def test_topics_do_not_mix(self, store: EventStore, stream: str) -> None:
        append = _append(stream, _deposits(2), NO_STREAM)
        _decided(store, append)
        assert store.head(self.other_topic, stream) is None
        assert list(store.read(self.other_topic, stream)) == []
        assert store.applied(self.other_topic, stream, append.append_id) is None
        other = replace(append, topic=self.other_topic, events=_deposits(1), append_id=uuid4())
        answer = _decided(store, other)
        assert (answer.version, answer.positions[0].topic) == (1, self.other_topic)
        for one, version in ((append, 2), (other, 1)):
            head = store.head(one.topic, stream)
            assert head is not None
            assert (head.version, head.append_id) == (version, one.append_id)
            assert len(list(store.read(one.topic, stream))) == version

    def test_a_stream_id_may_be_any_text_of_255_bytes(self, store: EventStore, stream: str) -> None:
        room = 255 - len(stream.encode()) - len("🏦".encode())
        name = f"{stream}🏦{'/' * room}"
        _decided(store, _append(name, _deposits(1), NO_STREAM))
        assert [one.stream for one in store.read(self.topic, name)] == [name]

    def test_an_event_without_a_time_happens_now(self, store: EventStore, stream: str) -> None:
        before = datetime.now(UTC)
        _decided(store, _append(stream, _deposits(2), NO_STREAM))
        for recorded in store.read(self.topic, stream):
            assert before <= recorded.at <= datetime.now(UTC)

    def test_a_time_may_lie_far_from_now(self, store: EventStore, stream: str) -> None:
        times = (-1_000, 0, 1, 32_503_680_000_000_000)
        _decided(store, _append(stream, _deposits(4), NO_STREAM, times=times))
        assert tuple(one.time for one in store.read(self.topic, stream)) == times

    # Expected versions

    def test_a_stream_begins_once(self, store: EventStore, stream: str) -> None:
        _decided(store, _append(stream, _deposits(1), NO_STREAM))
        with pytest.raises(ConcurrencyError):
            _decided(store, _append(stream, _deposits(1), NO_STREAM))
        assert _versions(store, stream) == [1]

    def test_an_append_below_the_head_is_refused_for_good(
        self, store: EventStore, stream: str
    ) -> None:
        _decided(store, _append(stream, _deposits(3), NO_STREAM))
        append = _append(stream, _deposits(1), 2)
        with pytest.raises(ConcurrencyError) as caught:
            _decided(store, append)
        error = caught.value
        assert (error.stream, error.append_id) == (stream, append.append_id)
        assert (error.expected, error.found) == (2, 3)
        assert _versions(store, stream) == [1, 2, 3]
        assert store.applied(self.topic, stream, append.append_id) is None

    def test_an_append_above_the_head_is_refused_at_once(
        self, store: EventStore, stream: str
    ) -> None:
        _decided(store, _append(stream, _deposits(1), NO_STREAM))
        with pytest.raises(VersionAhead) as caught:
            _decided(store, _append(stream, _deposits(1), 2))
        assert (caught.value.expected, caught.value.found) == (2, 1)
        assert _versions(store, stream) == [1]

    def test_any_version_will_do_when_it_is_asked_for(self, store: EventStore, stream: str) -> None:
        for version in (1, 2, 3):
            assert _decided(store, _append(stream, _deposits(1), ANY)).version == version

    # Append ids

    def test_a_repeated_append_id_gets_the_first_answer(
        self, store: EventStore, stream: str
    ) -> None:
        append = _append(stream, _deposits(2), NO_STREAM)
        first = _decided(store, append)
        _decided(store, _append(stream, _deposits(1), 2))
        again = _decided(store, append)
        assert again.repeated
        assert (again.version, again.positions) == (first.version, first.positions)
        assert _versions(store, stream) == [1, 2, 3]

    def test_a_repeated_append_id_is_known_whatever_version_it_expects(
        self, store: EventStore, stream: str
    ) -> None:
        once = uuid4()
        _decided(store, _append(stream, _deposits(1), NO_STREAM, append_id=once))
        for expected in (NO_STREAM, ANY, 1, 7):
            again = _decided(store, _append(stream, _deposits(1), expected, append_id=once))
            assert (again.repeated, again.version) == (True, 1)
        assert _versions(store, stream) == [1]

    def test_the_id_of_a_refused_append_may_be_used_again(
        self, store: EventStore, stream: str
    ) -> None:
        once = uuid4()
        _decided(store, _append(stream, _deposits(1), NO_STREAM))
        with pytest.raises(ConcurrencyError):
            _decided(store, _append(stream, _deposits(1), NO_STREAM, append_id=once))
        answer = _decided(store, _append(stream, _deposits(1), 1, append_id=once))
        assert (answer.repeated, answer.version) == (False, 2)

    def test_the_first_answer_can_be_asked_for(self, store: EventStore, stream: str) -> None:
        append = _append(stream, _deposits(2), NO_STREAM)
        assert store.applied(self.topic, stream, append.append_id) is None
        first = _decided(store, append)
        applied = store.applied(self.topic, stream, append.append_id)
        assert applied is not None
        assert applied.repeated
        assert (applied.stream, applied.version) == (stream, 2)
        assert applied.positions == first.positions
        assert store.applied(self.topic, stream, uuid4()) is None

    def test_an_append_id_belongs_to_one_stream(self, store: EventStore, stream: str) -> None:
        append = _append(stream, _deposits(1), NO_STREAM)
        place = _decided(store, append).positions[0]
        other = _stream_beside(store, place)
        assert store.applied(self.topic, other, append.append_id) is None
        with pytest.raises(AppendIdReused) as caught:
            _decided(store, replace(append, stream=other, expected=1))
        error = caught.value
        assert (error.stream, error.append_id) == (other, append.append_id)
        assert error.applied_to == stream
        assert _versions(store, other) == [1]

    def test_a_command_is_executed_once_under_one_append_id(
        self, store: EventStore, stream: str
    ) -> None:
        tills, once, called = Repository(store, Till), uuid4(), list[int]()
        _decided(store, _append(stream, _deposits(1), NO_STREAM))

        def deposit(till: Till) -> None:
            called.append(till.version)
            till.deposit(7)

        first = tills.execute(stream, deposit, append_id=once)
        tills.execute(stream, lambda till: till.deposit(1))
        again = tills.execute(stream, deposit, append_id=once, attempts=3)
        assert (again.repeated, again.version, again.positions) == (True, 2, first.positions)
        assert called == [1]
        assert tills.get(stream).total == 8

    def test_a_command_that_many_execute_at_once_under_one_append_id_is_applied_once(
        self, store: EventStore, stream: str
    ) -> None:
        tills, once = Repository(store, Till), uuid4()
        _decided(store, _append(stream, _deposits(1), NO_STREAM))

        def deposit(_: int) -> Appended:
            return tills.execute(stream, lambda till: till.deposit(7), append_id=once, attempts=3)

        answers = _at_once(deposit)
        assert {answer.positions for answer in answers} == {answers[0].positions}
        assert tills.get(stream).total == 7
        assert _versions(store, stream) == [1, 2]

    def test_a_uuid_names_the_stream_of_its_text(self, store: EventStore) -> None:
        tills, name = Repository(store, Till), uuid4()
        till = Till(name)
        till.deposit(7)
        assert tills.save(till).stream == str(name)
        assert tills.get(name).total == tills.get(str(name)).total == 7
        assert _versions(store, str(name)) == [1]

    # Metadata

    def test_metadata_comes_back_with_each_event_of_its_append(
        self, store: EventStore, stream: str
    ) -> None:
        metadata = Metadata("order 7", "e1", "00-0af7651916cd43dd8448eb211c80319c", {"": "Zoë 🏦"})
        _decided(store, _append(stream, _deposits(2), NO_STREAM, metadata=metadata))
        _decided(store, _append(stream, _deposits(1), 2))
        found = [one.metadata for one in store.read(self.topic, stream)]
        assert found == [metadata, metadata, None]

    def test_what_is_carried_where_an_append_is_made_comes_back(
        self, store: EventStore, stream: str
    ) -> None:
        tills, metadata = Repository(store, Till), Metadata(correlation_id="order 7")
        till = Till(stream)
        till.deposit(1)
        with carrying(metadata):
            tills.submit(till).result(SECONDS)
            tills.execute(stream, lambda till: till.deposit(1))
        assert [one.metadata for one in store.read(self.topic, stream)] == [metadata, metadata]

    def test_a_repeated_append_id_keeps_the_metadata_that_it_came_with(
        self, store: EventStore, stream: str
    ) -> None:
        once = uuid4()
        for name in ("first", "again"):
            metadata = Metadata(user={"call": name})
            _decided(
                store,
                _append(stream, _deposits(1), NO_STREAM, append_id=once, metadata=metadata),
            )
        (recorded,) = store.read(self.topic, stream)
        assert recorded.metadata == Metadata(user={"call": "first"})

    # Bounds

    def test_metadata_counts_for_the_size_of_each_event(
        self, store: EventStore, stream: str
    ) -> None:
        metadata = Metadata(traceparent="x" * 4_000)
        _decided(store, _append(stream, _deposits(200), NO_STREAM, metadata=metadata))
        with pytest.raises(AppendTooLarge) as caught:
            _decided(store, _append(stream, _deposits(230), 200, metadata=metadata))
        assert caught.value.unit == "bytes"
        assert len(_versions(store, stream)) == 200

    def test_an_append_of_too_many_events_is_refused_whole(
        self, store: EventStore, stream: str
    ) -> None:
        with pytest.raises(AppendTooLarge) as caught:
            _decided(store, _append(stream, _deposits(1_001), NO_STREAM))
        assert (caught.value.found, caught.value.limit, caught.value.unit) == (
            1_001,
            1_000,
            "events",
        )
        assert _versions(store, stream) == []

    def test_an_append_of_too_many_bytes_is_refused_whole(
        self, store: EventStore, stream: str
    ) -> None:
        events = [*_deposits(1), _exchanged("x" * 450_000), _exchanged("y" * 450_000)]
        with pytest.raises(AppendTooLarge) as caught:
            _decided(store, _append(stream, events, NO_STREAM))
        assert caught.value.unit == "bytes"
        assert _versions(store, stream) == []

    def test_the_largest_append_is_taken(self, store: EventStore, stream: str) -> None:
        answer = _decided(store, _append(stream, _deposits(1_000), NO_STREAM))
        assert answer.version == 1_000
        assert _versions(store, stream) == list(range(1, 1_001))

    def test_an_event_that_does_not_fit_its_schema_refuses_the_whole_append(
        self, store: EventStore, stream: str
    ) -> None:
        events = [*_deposits(2), Deposited(amount=2**63)]
        with pytest.raises(EncodingError):
            _decided(store, _append(stream, events, NO_STREAM))
        assert _versions(store, stream) == []

    # Answers

    def test_what_is_refused_is_told_by_the_future(self, store: EventStore, stream: str) -> None:
        first = _append(stream, _deposits(2), NO_STREAM)
        other = _stream_beside(store, _decided(store, first).positions[0])
        refused = {
            ConcurrencyError: _append(stream, _deposits(1), 1),
            VersionAhead: _append(stream, _deposits(1), 3),
            AppendIdReused: replace(first, stream=other, expected=ANY),
            AppendTooLarge: _append(stream, _deposits(1_001), 2),
            EncodingError: _append(stream, [Deposited(amount=2**63)], 2),
        }
        for error, append in refused.items():
            future = store.submit(append)  # raises nothing itself
            assert isinstance(future.exception(SECONDS), error)

    # Many at once

    def test_appends_may_follow_without_waiting(self, store: EventStore, stream: str) -> None:
        futures = [
            store.submit(_append(stream, _deposits(2), version or NO_STREAM))
            for version in range(0, 100, 2)
        ]
        answers = [future.result(SECONDS) for future in futures]
        assert [answer.version for answer in answers] == list(range(2, 101, 2))
        assert _versions(store, stream) == list(range(1, 101))

    def test_of_many_at_one_version_one_wins(self, store: EventStore, stream: str) -> None:
        _decided(store, _append(stream, _deposits(1), NO_STREAM))

        def attempt(number: int) -> int:
            try:
                _decided(store, _append(stream, [Deposited(amount=number)], 1))
            except ConcurrencyError:
                return 0
            return 1

        assert sum(_at_once(attempt)) == 1
        assert _versions(store, stream) == [1, 2]

    def test_one_append_id_sent_many_times_at_once_is_applied_once(
        self, store: EventStore, stream: str
    ) -> None:
        append = _append(stream, _deposits(3), NO_STREAM)
        answers = _at_once(lambda _: _decided(store, append))
        assert {answer.positions for answer in answers} == {answers[0].positions}
        assert _versions(store, stream) == [1, 2, 3]

    def test_no_change_of_many_threads_is_lost(self, store: EventStore, stream: str) -> None:
        tills = Repository(store, Till)
        till = Till(stream)
        till.deposit(1)
        tills.save(till)

        def deposit(_: int) -> None:
            for _turn in range(5):
                tills.execute(stream, lambda till: till.deposit(1), attempts=10 * THREADS)

        _at_once(deposit)
        assert tills.get(stream).total == 1 + 5 * THREADS
        assert _versions(store, stream) == list(range(1, 2 + 5 * THREADS))

    def test_what_this_process_appended_is_read_at_once(
        self, store: EventStore, stream: str
    ) -> None:
        for version in range(1, 20):
            _decided(store, _append(stream, _deposits(1), version - 1 or NO_STREAM))
            head = store.head(self.topic, stream)
            assert head is not None
            assert head.version == version
            assert len(_versions(store, stream)) == version


def _append(
    stream: str,
    events: Sequence[Event],
    expected: ExpectedVersion,
    *,
    times: tuple[int, ...] = (),
    append_id: UUID | None = None,
    metadata: Metadata | None = None,
) -> Append:
    once = append_id or uuid4()
    return Append(Till.topic, stream, events, expected, times, once, metadata=metadata)


def _stream_beside(store: EventStore, place: Position) -> str:
    """Another stream, of one event, in the same partition: there an append id is looked for."""
    while True:
        append = _append(f"till-{uuid4()}", _deposits(1), NO_STREAM)
        if _decided(store, append).positions[0].partition == place.partition:
            return append.stream


def _decided(store: EventStore, append: Append) -> Appended:
    return store.submit(append).result(SECONDS)


def _versions(store: EventStore, stream: str) -> list[int]:
    read: list[Recorded[Event]] = list(store.read(Till.topic, stream))
    return [one.version for one in read]


def _deposits(count: int) -> list[Event]:
    return [Deposited(amount=amount) for amount in range(count)]


def _exchanged(note: str | None) -> Exchanged:
    return Exchanged(
        paid=-(2**63),
        rate=0.1,
        final=True,
        clerk="Zoë",
        receipt=UUID(int=2**128 - 1),
        day=date(1, 1, 1),
        at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        currency=Currency.JPY,
        note=note,
    )


def _at_once(call: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(call, range(THREADS)))
