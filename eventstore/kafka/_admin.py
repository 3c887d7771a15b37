"""Kafka's admin client, as far as we need it, with types and with errors that say what to do."""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import confluent_kafka.admin
from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition

from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import ConfigurationError, TopicMissing
from eventstore.kafka.settings import KafkaSettings

# The library's own types do not say what it exports here, nor what its futures hold.
kafka: Final[Any] = confluent_kafka.admin

ALREADY_THERE: Final = frozenset({KafkaError.TOPIC_ALREADY_EXISTS})
NOT_THERE: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})
MOVING: Final = frozenset(
    {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
"""A partition that is new or is being led by another broker: it answers soon."""

URL_SAFE: Final = str.maketrans("+/", "-_")
"""From librdkafka's base64 of a topic id to Kafka's."""

REQUEST_SECONDS: Final = 30.0
"""Seconds that a broker that has answered before may take: it may be busy, or starting again."""
STALE_SECONDS: Final = 1.0
"""Seconds after which a client that is told that partitions are moving is taken for stale."""
LAG_SECONDS: Final = 2.0
"""Seconds that a broker may lag behind in what topics there are."""


class Described(NamedTuple):
    """A topic as the brokers know it."""

    topic: str
    topic_id: str
    """The id as Kafka's own tools print it."""
    partitions: int
    replicas: int
    """Replicas of the partition that has the fewest."""
    led: bool
    """Whether every partition has a leader, so that it can be used."""


class TooFewBrokers(Exception):
    """A new topic asks for more replicas than there are brokers."""


class Admin:
    """Asks the brokers; connects when first asked.

    Every method raises `ConfigurationError` when Kafka cannot be reached or refuses.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._reached: Any = None
        self._partitions: dict[str, int] = {}

    @property
    def _client(self) -> Any:
        if self._reached is None:
            self._reached = self._settings.reach()
        return self._reached

    def describe(self, topic: str) -> Described | None:
        """The topic; None: there is none of this name."""
        answers = self._client.describe_topics(
            TopicCollection([topic]), request_timeout=REQUEST_SECONDS
        )
        with explained(self._settings, f"topic {topic!r} to be described"):
            try:
                found = answers[topic].result()
            except KafkaException as error:
                if error.args[0].code() in NOT_THERE:
                    return None
                raise
        parts = found.partitions
        return Described(
            topic,
            str(found.topic_id).translate(URL_SAFE),
            len(parts),
            min((len(part.replicas) for part in parts), default=0),
            all(part.leader is not None and part.leader.id >= 0 for part in parts),
        )

    def describe_known(self, topic: str) -> Described | None:
        """A topic that was there before; None: it is gone.

        A broker that has just come back, or lags behind the others, does not know it for a while.
        """
        deadline = time.monotonic() + LAG_SECONDS
        while (described := self.describe(topic)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return described

    def create(self, topic: str, partitions: int, replicas: int, config: Mapping[str, str]) -> None:
        """Make the topic, unless somebody just has.

        Raises:
            TooFewBrokers: There are fewer brokers than ``replicas``.
        """
        new = kafka.NewTopic(topic, partitions, replicas, config=dict(config))
        answers = self._client.create_topics([new], request_timeout=REQUEST_SECONDS)
        with explained(self._settings, f"topic {topic!r} to be made"):
            try:
                answers[topic].result()
            except KafkaException as error:
                code = error.args[0].code()
                if code == KafkaError.INVALID_REPLICATION_FACTOR:
                    raise TooFewBrokers from None
                if code not in ALREADY_THERE:
                    raise

    def config(self, topic: str) -> dict[str, str]:
        """The topic's effective settings."""
        resource = kafka.ConfigResource(kafka.ResourceType.TOPIC, topic)
        deadline = time.monotonic() + LAG_SECONDS
        with explained(self._settings, f"the settings of topic {topic!r}"):
            while True:
                answers = self._client.describe_configs([resource], request_timeout=REQUEST_SECONDS)
                try:
                    entries = answers[resource].result()
                except KafkaException as error:
                    if error.args[0].code() not in NOT_THERE or time.monotonic() > deadline:
                        raise
                else:
                    return {name: str(entry.value) for name, entry in entries.items()}
                time.sleep(0.1)

    def has_members(self, group: str) -> bool:
        """Whether the consumer group has any member now."""
        answers = self._client.describe_consumer_groups([group], request_timeout=REQUEST_SECONDS)
        with explained(self._settings, f"the consumer group {group!r} to be described"):
            return bool(answers[group].result().members)

    def ends(self, topic: str) -> dict[int, int]:
        """Partition to the offset that its next record will get, asked from the leaders."""
        return self._offsets(topic, kafka.OffsetSpec.latest())

    def starts(self, topic: str) -> dict[int, int]:
        """Partition to the offset of its first record, 0 unless some were deleted."""
        return self._offsets(topic, kafka.OffsetSpec.earliest())

    def _offsets(self, topic: str, spec: Any) -> dict[int, int]:
        if topic not in self._partitions:
            described = self.describe(topic)
            if described is None:
                raise TopicMissing(topic)
            self._partitions[topic] = described.partitions
        partitions = range(self._partitions[topic])
        asked = {TopicPartition(topic, partition): spec for partition in partitions}
        deadline = time.monotonic() + CONNECT_SECONDS
        with explained(self._settings, f"the offsets of topic {topic!r}"):
            while True:
                answers = self._client.list_offsets(asked, request_timeout=REQUEST_SECONDS)
                try:
                    return {at.partition: found.result().offset for at, found in answers.items()}
                except KafkaException as error:
                    if error.args[0].code() not in MOVING or time.monotonic() > deadline:
                        raise
                if deadline - time.monotonic() < CONNECT_SECONDS - STALE_SECONDS:
                    self._reached = None  # it may go by what it knew of a topic of this name
                time.sleep(0.05)


@contextmanager
def explained(settings: KafkaSettings, expected: str) -> Generator[None]:
    """Turn what the brokers refuse into a `ConfigurationError` that says what was expected."""
    try:
        yield
    except KafkaException as error:
        raise ConfigurationError(
            f"expected {expected} by Kafka at {settings.bootstrap}; found "
            f"{error.args[0].str()}: check that it runs and that this user may do so"
        ) from None
