"""The bank on Kafka: stores of its accounts, opened as an application opens them."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast
from uuid import UUID

from eventstore.events import Event
from eventstore.kafka.partition import Partition
from eventstore.kafka.routing import Role
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Topics
from eventstore.store import ANY, Append, Appended, ExpectedVersion
from tests.bank import Account, MoneyDeposited

SECONDS = 60.0
"""Seconds in which every answer must come, outages apart."""


def open_store(
    kafka: str,
    postgres: str | None = None,
    *,
    partitions: int = 3,
    events: Mapping[str, Sequence[type[Event]]] | None = None,
    role: Role = "sole",
) -> KafkaEventStore:
    settings = KafkaSettings(kafka)
    topics = Topics(settings, "single", partitions, postgres=postgres)
    return KafkaEventStore(
        settings,
        events or {Account.topic: Account.event_types},
        topics=topics,
        registry=SchemaRegistry(settings, topics),
        postgres=postgres,
        role=role,
    )


def deposit(
    stream: str,
    expected: ExpectedVersion = ANY,
    *,
    amounts: Sequence[int] = (1,),
    append_id: UUID | None = None,
    first_try: bool = False,
) -> Append:
    events = [MoneyDeposited(amount=amount) for amount in amounts]
    if append_id is None:
        return Append(Account.topic, stream, events, expected, first_try=first_try)
    return Append(Account.topic, stream, events, expected, append_id=append_id)


def answer(store: KafkaEventStore, append: Append) -> Appended:
    return store.submit(append).result(SECONDS)


def error_of(future: "Future[Appended]") -> BaseException:
    error = future.exception(SECONDS)
    assert error is not None
    return error


def wait_until(holds: Callable[[], object], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.02)


def wait_for_checkpoints(store: KafkaEventStore) -> None:
    """Until all that was acknowledged is stored."""
    wait_until(lambda: stored(store))


def stored(store: KafkaEventStore) -> bool:
    return not any(map(_has_to_store, partitions_of(store)))


def _has_to_store(partition: Partition) -> bool:
    """Its heads are looked at first: they are empty while a checkpoint is on its way."""
    heads = cast("Any", partition)._heads
    return (heads is not None and bool(heads.fresh_tips)) or partition.checkpointing


def partitions_of(store: KafkaEventStore) -> list[Partition]:
    """The writer's own view: only to be looked at while nothing is in flight."""
    writer = cast("Any", store)._writer
    return list(writer._partitions.values())
