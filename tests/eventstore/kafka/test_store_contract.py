"""The contract of every store, held by the one on Kafka: with PostgreSQL, without, and afar."""

from collections.abc import Iterator

import pytest

from eventstore.contract import EventStoreContract
from eventstore.kafka.store import KafkaEventStore
from foldlog.pytest_plugin import Servers
from tests.bank_store import open_store


class TestKafkaEventStoreWithPostgres(EventStoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, class_servers: Servers) -> Iterator[KafkaEventStore]:
        events = dict.fromkeys((cls.topic, cls.other_topic), cls.event_types)
        with open_store(*class_servers, partitions=2, events=events) as store:
            yield store


class TestKafkaEventStoreAlone(EventStoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, class_servers: Servers) -> Iterator[KafkaEventStore]:
        events = dict.fromkeys((cls.topic, cls.other_topic), cls.event_types)
        with open_store(class_servers.kafka, partitions=2, events=events) as store:
            yield store


class TestAClientOfAnotherProcesssWriters(EventStoreContract):
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, class_servers: Servers) -> Iterator[KafkaEventStore]:
        events = dict.fromkeys((cls.topic, cls.other_topic), cls.event_types)
        with (
            open_store(*class_servers, partitions=2, events=events, role="writer") as writer,
            open_store(*class_servers, partitions=2, events=events, role="client") as client,
        ):
            writer.open_topics()
            yield client
