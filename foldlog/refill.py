"""Refill: fold a topic's streams, and store their states, before code that changes a shape runs.

One scan of each partition, in order, batch by batch. What a batch begins with is read from
PostgreSQL and what it ends with is written there, so memory is bounded, and a run that was
interrupted is begun again and skips what is stored. Nothing is claimed, and nothing is locked.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Any, Final, Generic, TypeAlias, TypeVar
from uuid import UUID

from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.aggregates import Aggregate, fold, restore
from eventstore.defaults import REFILL_EVENTS
from eventstore.errors import UnstorableState
from eventstore.events import Event
from eventstore.kafka.reader import LogReader, PartitionKey
from eventstore.log import LOG_START
from eventstore.postgres import address, states
from eventstore.state_port import State, StateKey
from eventstore.states import StateForm
from eventstore.store import Recorded

A = TypeVar("A", bound=Aggregate[Any])

FAILED_AT_MOST: Final = 1_000
"""Streams that may fail before a refill gives up: then it is the code, not a stream."""
READ_SECONDS: Final = 0.5

Listener: TypeAlias = Callable[[int, int], None]
"""Told after every batch how many records of how many were passed."""


@dataclass(frozen=True, slots=True)
class Refilled:
    """What a refill of one aggregate did."""

    aggregate: str
    topic: str
    fingerprint: str
    """Of the shape whose states were stored, in hexadecimal."""
    records: int = 0
    """Records of the log that were passed, dead ones included."""
    states: int = 0
    """States that were stored; a stream whose events stand in several batches counts in each."""
    seconds: float = 0.0
    failed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Streams whose state could not be made, with the reason; their loads go on from the log."""
    refused: str | None = None
    """Why no state of this aggregate can be stored."""

    @property
    def is_whole(self) -> bool:
        """Whether every stream has its state."""
        return not self.failed and self.refused is None


def refill(
    aggregate_type: type[A],
    log: LogReader,
    *,
    partitions: int,
    postgres: str,
    listener: Listener = lambda _done, _total: None,
) -> Refilled:
    """Store the state of every stream of a topic, to the ends of the log as they are now.

    ``log`` reads the aggregate's topic, which has so many partitions; 0: it is not there.

    Raises:
        LogError: A partition cannot be read.
    """
    began = time.monotonic()
    name, topic = aggregate_type.__name__, aggregate_type.topic
    try:
        form = StateForm(aggregate_type)
    except UnstorableState as error:
        return Refilled(name, topic, "", refused=str(error))
    found = log.ends(topic) if partitions else {}
    ends = {(topic, partition): end for partition, end in found.items()}
    reached = {(topic, partition): LOG_START for partition in range(partitions)}
    log.assign(reached)
    passed = dict.fromkeys(reached, 0)
    total = sum(ends.values())
    with address.connect(postgres, autocommit=True) as connection:
        refill = _Refill(aggregate_type, form, connection)
        while not refill.gave_up and _behind(passed, ends) - log.at_end():
            for batch in log.read(events=REFILL_EVENTS, timeout=READ_SECONDS):
                refill.take(batch.recorded)
                passed[batch.topic, batch.partition] = batch.position.next_offset
            listener(min(total, sum(passed.values())), total)
    return Refilled(
        name,
        topic,
        form.fingerprint.hex(),
        sum(passed.values()),
        refill.stored,
        time.monotonic() - began,
        refill.failed,
    )


def forget(aggregates: Iterable[type[Aggregate[Any]]], postgres: str) -> dict[str, int]:
    """Delete the states of these aggregates' topics whose shape is not theirs; how many, by name.

    Other code that still runs with another shape makes its states again as it needs them.
    """
    forgotten: dict[str, int] = {}
    with address.connect(postgres, autocommit=True) as connection:
        for aggregate in aggregates:
            try:
                kept = [StateForm(aggregate).fingerprint]
            except UnstorableState:
                kept = []
            forgotten[aggregate.__name__] = states.forget(connection, aggregate.topic, kept)
    return forgotten


def _behind(
    passed: Mapping[PartitionKey, int], ends: Mapping[PartitionKey, int]
) -> set[PartitionKey]:
    return {key for key, offset in passed.items() if offset < ends.get(key, 0)}


class _NotFollowedError(Exception):
    """The events at hand do not follow the state that is stored."""


class _Refill(Generic[A]):
    """Folds batches onto the states that PostgreSQL holds."""

    def __init__(
        self, aggregate_type: type[A], form: StateForm[A], connection: Connection[TupleRow]
    ) -> None:
        self._type = aggregate_type
        self._form = form
        self._connection = connection
        self.stored = 0
        self.failed: dict[str, str] = {}

    @property
    def gave_up(self) -> bool:
        """Whether too much has failed to go on."""
        return len(self.failed) >= FAILED_AT_MOST

    def take(self, recorded: Iterable[Recorded[Event]]) -> None:
        """Load the states of a batch's streams in one query, fold, write back in one statement."""
        streams: dict[str, list[Recorded[Event]]] = {}
        for each in recorded:
            streams.setdefault(each.stream, []).append(each)
        for stream in self.failed.keys() & streams.keys():
            del streams[stream]
        if not streams:
            return
        topic, fingerprint = self._type.topic, self._form.fingerprint
        found = states.read_many(self._connection, topic, fingerprint, list(streams))
        folded: dict[StateKey, State] = {}
        for stream, history in streams.items():
            state = self._attempt(stream, found.get(stream), history)
            if state is not None:
                folded[StateKey(topic, stream, fingerprint)] = state
        self.stored += states.write(self._connection, folded)

    def _attempt(
        self, stream: str, state: State | None, history: list[Recorded[Event]]
    ) -> State | None:
        """The stream's state after these events; None: it is stored already, or has failed."""
        try:
            return self._folded(stream, state, history)
        except (UnstorableState, _NotFollowedError) as error:
            self.failed[stream] = str(error)
        except Exception as error:  # noqa: BLE001 - an aggregate's own code may raise anything
            notes = "; ".join(getattr(error, "__notes__", ()))
            self.failed[stream] = f"{type(error).__name__}: {error}" + (notes and f" ({notes})")
        return None

    def _folded(
        self, stream: str, state: State | None, history: list[Recorded[Event]]
    ) -> State | None:
        version = state.version if state else 0
        self._check(stream, state, history)
        if history[-1].version <= version:
            return None
        aggregate = self._type(stream)
        if state is not None:
            restore(aggregate, version, self._form.loaded(state.text))
        fold(aggregate, dropwhile(lambda each: each.version <= version, history))
        last = history[-1]
        return State(last.version, last.append, self._form.dumped(aggregate))

    def _check(self, stream: str, state: State | None, history: list[Recorded[Event]]) -> None:
        """Refuse a state that is not of this log, and one that these events do not follow."""
        version, first = state.version if state else 0, history[0].version
        if first > version + 1:
            why = f"expected its state at version {first - 1}; found it gone: run this again"
        elif state and first <= version <= history[-1].version:
            found = history[version - first].append
            if found == state.append:
                return
            why = (
                f"expected its stored state to end with append {UUID(bytes=found)} of the log; "
                f"found {UUID(bytes=state.append)}, of another log: deleted, so run this again"
            )
        else:
            return
        if state:
            key = StateKey(self._type.topic, stream, self._form.fingerprint)
            states.discard(self._connection, key, version)
        raise _NotFollowedError(why)
