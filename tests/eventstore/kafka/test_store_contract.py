"""The contract of every store, held by the one on Kafka, with PostgreSQL and without."""

from collections.abc import Iterator

import pytest

from eventstore.contract import EventStoreContract
from eventstore.kafka.store import KafkaEventStore
from tests.bank_store import open_store


class TestKafkaEventStoreWithPostgres(EventStoreContract):
    @pytest.fixture
    def store(self, kafka: str, postgres: str) -> Iterator[KafkaEventStore]:
        events = {self.topic: self.event_types}
        with open_store(kafka, postgres, partitions=2, events=events) as store:
            yield store


class TestKafkaEventStoreAlone(EventStoreContract):
    @pytest.fixture
    def store(self, kafka: str) -> Iterator[KafkaEventStore]:
        with open_store(kafka, partitions=2, events={self.topic: self.event_types}) as store:
            yield store
