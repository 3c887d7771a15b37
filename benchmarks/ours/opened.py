"""Opens the parts as `App` does, on a topic and servers of the runner's choice."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import bank
from eventstore.events import Event
from eventstore.kafka.reader import LogReader
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Topics
from foldlog import App
from projections.read_model import ReadModel


def application(job: Mapping[str, Any]) -> App:
    """The application on the runner's servers and topic; in the role that the job names."""
    bank.Account.topic = job["topic"]
    return App(
        job["kafka"],
        job["postgres"],
        aggregates=[bank.Account],
        durability="single",
        partitions=job["partitions"],
        role=job["role"],
    )


class Parts:
    """The parts that stand on one Kafka and one PostgreSQL."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.topic: str = job["topic"]
        self.postgres: str = job["postgres"]
        self.settings = KafkaSettings(job["kafka"])
        self.topics = Topics(self.settings, "single", job["partitions"], postgres=self.postgres)
        self.registry = SchemaRegistry(self.settings, self.topics)

    def store(self) -> KafkaEventStore:
        """The store of the one topic; a context manager."""
        return KafkaEventStore(
            self.settings,
            {self.topic: bank.EVENT_TYPES},
            topics=self.topics,
            registry=self.registry,
            postgres=self.postgres,
        )

    def read_model(self) -> ReadModel:
        """The balances."""
        bank.Account.topic = self.topic
        info = self.topics.ensure(self.topic)
        return ReadModel(
            bank.Balances(),
            postgres=self.postgres,
            log=self._log,
            partitions={self.topic: info.partitions},
            check_topics=partial(self.topics.check, self.topic),
        )

    def _log(
        self, topics: Mapping[str, Sequence[type[Event]]], only: Sequence[type[Event]] | None
    ) -> LogReader:
        return LogReader(self.settings, topics, self.registry, only=only)
