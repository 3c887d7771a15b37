"""Stores beside one plain model of them: whatever is done in whatever order, the answers are alike.

The same machine drives the store in memory and the one on Kafka, where stores are opened beside
each other and closed as well.
"""

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import hypothesis.strategies as st
from confluent_kafka import murmur2
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from eventstore import (
    ANY,
    NO_STREAM,
    Append,
    Appended,
    AppendIdReused,
    ConcurrencyError,
    EventStore,
    Head,
    MemoryEventStore,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka.store import KafkaEventStore
from eventstore.store import ExpectedVersion, expected_number
from tests.bank import Account, MoneyDeposited
from tests.bank_store import SECONDS, answer, deposit, open_store

PARTITIONS: Final = 2
PARTITION_OF: Final = {"alice": 0, "bob": 0, "carol": 1, "dora": 0, "emil": 1}
"""Of the streams, however they are named in an example."""
STREAMS: Final = st.sampled_from(["alice", "bob", "carol"])
OTHERS: Final = ("dora", "emil")
"""One on each partition, of which nobody asks what they hold."""
EXPECTED: Final = st.sampled_from([ANY, NO_STREAM, "head", "head", "head", "below", "above"])
COUNTS: Final = st.integers(1, 3)
IDS: Final = st.one_of(st.sampled_from(["new", "new", "first try"]), st.integers(0, 50))
"""A new one, known to be new or not; or one that was used before, for whatever stream."""
EXAMPLES: Final = count(1)
SLOW: Final = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


class Known(NamedTuple):
    """An append that was applied."""

    stream: str
    version: int
    append: Append


class Reference:
    """What a store holds and answers, in the plainest words."""

    def __init__(self, partition_of: Callable[[str], int]) -> None:
        self._partition_of = partition_of
        self.streams: dict[str, list[tuple[UUID, MoneyDeposited]]] = {}
        self._applied: dict[tuple[int, UUID], Known] = {}

    def version(self, stream: str) -> int:
        return len(self.streams.get(stream, []))

    def applied(self, stream: str, append_id: UUID) -> Known | None:
        return self._applied.get((self._partition_of(stream), append_id))

    def decide(self, append: Append) -> Known | type[Exception]:
        """The id first, then the version."""
        known, version = self.applied(append.stream, append.append_id), self.version(append.stream)
        if known is not None:
            return known if known.stream == append.stream else AppendIdReused
        expected = expected_number(append.expected)
        if expected is not None and expected != version:
            return ConcurrencyError if expected < version else VersionAhead
        events: list[Any] = list(append.events)
        self.streams.setdefault(append.stream, []).extend(
            (append.append_id, event) for event in events
        )
        known = Known(append.stream, version + len(events), append)
        self._applied[self._partition_of(append.stream), append.append_id] = known
        return known


class Stores(RuleBasedStateMachine):
    """One store in memory; all that was done to it, it was told alone."""

    @initialize()
    def begin(self) -> None:
        self.example, self.amounts = next(EXAMPLES), count(1)
        self.names = {stream: self.name(stream) for stream in PARTITION_OF}
        self.stores = [self.open()]
        self.least: list[dict[str, int]] = [{}]
        """The versions that each store knows at least: of its opening, and its own appends."""
        self.reference = Reference(self.partition_of)
        self.ids: list[UUID] = []
        self.checked = True
        """Whatever was done was as expected so far."""

    def open(self) -> EventStore:
        return MemoryEventStore()

    def partition_of(self, stream: str) -> int:
        return 0

    def name(self, stream: str) -> str:
        """As no other example calls it, on the same partition in each."""
        names = (f"{stream}-{self.example}-{number}" for number in count())
        partition = PARTITION_OF[stream]
        return next(each for each in names if murmur2(each.encode(), PARTITIONS) == partition)

    def append(self, stream: str, number: int, expected: Any, which: Any) -> Append:
        """An append as it was drawn; the expected version is seen from the head as it is now."""
        stream = self.names[stream]
        wanted: ExpectedVersion = expected
        if isinstance(expected, str):
            above = {"head": 0, "below": -1, "above": 1}[expected]
            wanted = max(0, self.reference.version(stream) + above)
        old = isinstance(which, int) and self.ids
        append_id = self.ids[which % len(self.ids)] if old else uuid4()
        if not old:
            self.ids.append(append_id)
        events = [MoneyDeposited(amount=next(self.amounts)) for _ in range(number)]
        return Append(
            Account.topic,
            stream,
            events,
            wanted,
            append_id=append_id,
            first_try=which == "first try",
        )

    def check_answer(self, found: Appended, known: Known) -> None:
        assert (found.stream, found.version) == (known.stream, known.version)
        assert len(found.positions) == len(known.append.events)

    @rule(store=st.integers(0, 1), stream=STREAMS, number=COUNTS, expected=EXPECTED, which=IDS)
    def append_one(self, store: int, stream: str, number: int, expected: Any, which: Any) -> None:
        append = self.append(stream, number, expected, which)
        before = self.reference.applied(append.stream, append.append_id)
        decided = self.reference.decide(append)
        self.checked = False
        store %= len(self.stores)
        found = self.settled(store, append, decided, self.stores[store].submit(append))
        assert found is None or found.repeated or not before
        self.checked = True

    @rule(
        store=st.integers(0, 1),
        drawn=st.lists(st.tuples(STREAMS, COUNTS, EXPECTED, IDS), min_size=2, max_size=6),
    )
    def append_several(self, store: int, drawn: list[tuple[str, int, Any, Any]]) -> None:
        """They are all sent before the first is answered, and decided one after the other."""
        sent: list[tuple[Append, Known | type[Exception], Future[Appended]]] = []
        refused: set[UUID] = set()
        self.checked = False
        store %= len(self.stores)
        self.catch_up(store)
        for each in drawn:
            append = self.append(*each)
            if append.append_id not in refused:  # else one could get the answer of the other
                decided = self.reference.decide(append)
                if not isinstance(decided, Known):
                    refused.add(append.append_id)
                sent.append((append, decided, self.stores[store].submit(append)))
        for append, decided, future in sent:
            self.settled(store, append, decided, future)
        self.checked = True

    def settled(
        self,
        store: int,
        append: Append,
        decided: Known | type[Exception],
        future: "Future[Appended]",
    ) -> Appended | None:
        """An unknown outcome becomes known by repeating the id."""
        error = future.exception(SECONDS)
        while self.is_to_be_repeated(error, decided):
            if isinstance(error, VersionAhead):
                self.catch_up(store)
            error = (future := self.stores[store].submit(append)).exception(SECONDS)
        if isinstance(error, ConcurrencyError) and len(self.stores) > 1:
            assert error.expected < error.found <= self.reference.version(append.stream)
            if isinstance(decided, Known):  # another attempt: an overtaken writer knows fewer ids
                first = expected_number(decided.append.expected)
                assert expected_number(append.expected) != first
            return None
        if isinstance(decided, Known):
            assert error is None, error
            self.check_answer(future.result(), decided)
            known = self.least[store].get(append.stream, 0)
            self.least[store][append.stream] = max(known, decided.version)
            return future.result()
        assert type(error) is decided, error
        return None

    def is_to_be_repeated(
        self, error: BaseException | None, decided: Known | type[Exception]
    ) -> bool:
        """The answer is not final; that a version lies ahead may be what is expected."""
        return False

    def catch_up(self, store: int) -> None:
        """Let the store see what others have appended."""

    @rule(store=st.integers(0, 1), stream=STREAMS, after=st.integers(0, 9))
    def read(self, store: int, stream: str, after: int) -> None:
        self.check_stream(store % len(self.stores), self.names[stream], after)

    def check_stream(self, which: int, stream: str, after: int = 0) -> None:
        """A store knows of what others have appended, or not yet."""
        store, expected = self.stores[which], self.reference.streams.get(stream, [])
        least = self.least[which].get(stream, 0)
        found = list(store.read(Account.topic, stream, after=after))
        version = after + len(found)
        assert version >= least
        assert [(one.append_id, one.event) for one in found] == expected[after:version]
        assert [one.version for one in found] == list(range(after + 1, version + 1))
        self.check_head(store.head(Account.topic, stream), expected, least)

    def check_head(
        self, head: Head | None, expected: list[tuple[UUID, MoneyDeposited]], least: int
    ) -> None:
        if head is None:
            assert least == 0
        else:
            assert least <= head.version <= len(expected)
            assert head.append_id == expected[head.version - 1][0]
            assert head.first_offset <= head.last_offset

    @precondition(lambda self: bool(self.ids))
    @rule(store=st.integers(0, 1), stream=STREAMS, which=st.integers(0, 50))
    def ask(self, store: int, stream: str, which: int) -> None:
        append_id = self.ids[which % len(self.ids)]
        self.check_applied(store % len(self.stores), self.names[stream], append_id)

    def check_applied(self, which: int, stream: str, append_id: UUID) -> None:
        store, known = self.stores[which], self.reference.applied(stream, append_id)
        found = store.applied(Account.topic, stream, append_id)
        if known is None or known.stream != stream:
            assert found is None
            return
        if found is None and known.version > self.least[which].get(stream, 0):
            return
        assert found is not None
        assert found.repeated
        self.check_answer(found, known)
        read = store.read(Account.topic, stream, after=known.version - len(known.append.events))
        assert [one.position for one, _ in zip(read, known.append.events, strict=False)] == list(
            found.positions
        )

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            try:
                if self.checked:
                    self.check_all()
            finally:
                self.close_all()

    def check_all(self) -> None:
        for which in range(len(self.stores)):
            for stream in self.reference.streams:
                self.check_stream(which, stream)

    def close_all(self) -> None:
        """There is nothing to close."""


class StoresOnKafka(Stores):
    """Up to two stores on one topic, which are closed and opened again; one topic for all."""

    servers: tuple[str, str]
    """Kafka's address, and PostgreSQL's."""

    def open(self) -> KafkaEventStore:
        return open_store(*self.servers, partitions=PARTITIONS)

    def partition_of(self, stream: str) -> int:
        return murmur2(stream.encode(), PARTITIONS)

    def is_to_be_repeated(
        self, error: BaseException | None, decided: Known | type[Exception]
    ) -> bool:
        ahead = isinstance(error, VersionAhead) and decided is not VersionAhead
        return ahead or isinstance(error, UnknownOutcome)

    def catch_up(self, store: int) -> None:
        """A writer that was overtaken notices when it appends."""
        if len(self.stores) > 1:
            for stream in OTHERS:
                answer(self.opened(store), deposit(self.names[stream]))

    @precondition(lambda self: len(self.stores) == 1)
    @rule()
    def open_a_second(self) -> None:
        self.stores.append(self.open())
        self.least.append(self.versions())

    def versions(self) -> dict[str, int]:
        return {stream: len(events) for stream, events in self.reference.streams.items()}

    def opened(self, which: int) -> KafkaEventStore:
        store = self.stores[which]
        assert isinstance(store, KafkaEventStore)
        return store

    @rule(which=st.integers(0, 1))
    def close_and_open_again(self, which: int) -> None:
        which %= len(self.stores)
        self.opened(which).close()
        self.stores[which], self.least[which] = self.open(), self.versions()

    @precondition(lambda self: len(self.stores) == 2)
    @rule(which=st.integers(0, 1))
    def close_one(self, which: int) -> None:
        self.catch_up(1 - which)  # later nothing would tell it of what the other has appended
        self.opened(which).close()
        del self.stores[which], self.least[which]

    def close_all(self) -> None:
        for which in range(len(self.stores)):
            self.opened(which).close()


def test_a_store_in_memory_answers_as_the_plain_model() -> None:
    run_machine(Stores, settings=settings(SLOW, max_examples=200, stateful_step_count=40))


def test_stores_on_kafka_answer_as_the_plain_model(kafka: str, postgres: str) -> None:
    class StoresHere(StoresOnKafka):
        servers = kafka, postgres

    once = settings(  # a failure is shown as it came: on servers it may not come again
        SLOW, max_examples=6, stateful_step_count=25, phases=[Phase.generate]
    )
    run_machine(StoresHere, settings=once)
