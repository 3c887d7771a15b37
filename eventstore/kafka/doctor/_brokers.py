"""Asks the brokers for the facts of an examination; changes nothing."""

from typing import Any, Final

import confluent_kafka.admin
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)

from eventstore.defaults import CONNECT_SECONDS
from eventstore.kafka._admin import URL_SAFE, Admin, explained
from eventstore.kafka.doctor.facts import (
    SIZE,
    Cluster,
    Member,
    Purpose,
    Replication,
    TopicFacts,
    WritersFacts,
)
from eventstore.kafka.settings import KafkaSettings

# The library's own types do not say what it exports here, nor what its futures hold.
kafka: Final[Any] = confluent_kafka.admin

NO_GROUP: Final = frozenset({KafkaError.GROUP_ID_NOT_FOUND})
NO_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART})


class Brokers:
    """The brokers, asked for facts.

    Every method raises `ConfigurationError` when they cannot be reached or refuse.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: Any = settings.reach()
        self.admin: Final = Admin(settings)

    def cluster(self) -> Cluster:
        """The brokers and those of their settings that matter to topics."""
        brokers = tuple(sorted(self._client.list_topics(timeout=CONNECT_SECONDS).brokers))
        resources = [kafka.ConfigResource(kafka.ResourceType.BROKER, str(each)) for each in brokers]
        with explained(self._settings, "the brokers' settings"):
            answers = self._client.describe_configs(resources, request_timeout=CONNECT_SECONDS)
            found = [answers[each].result() for each in resources]
        sizes = {broker: each[SIZE] for broker, each in zip(brokers, found, strict=True)}
        alone = kafka.ConfigSource.DYNAMIC_BROKER_CONFIG.value
        return Cluster(
            brokers,
            {broker: int(entry.value) for broker, entry in sizes.items()},
            any(each["auto.create.topics.enable"].value == "true" for each in found),
            frozenset(broker for broker, entry in sizes.items() if entry.source == alone),
        )

    def topic(self, topic: str, purpose: Purpose) -> TopicFacts | None:
        """The topic; None: there is none of this name."""
        with explained(self._settings, f"topic {topic!r} to be described"):
            answers = self._client.describe_topics(
                TopicCollection([topic]), request_timeout=CONNECT_SECONDS
            )
            try:
                found = answers[topic].result()
            except KafkaException as error:
                if error.args[0].code() in NO_TOPIC:
                    return None
                raise
        return TopicFacts(
            topic,
            purpose,
            str(found.topic_id).translate(URL_SAFE),
            tuple(_replication(part) for part in found.partitions),
            self.admin.config(topic),
        )

    def writers(self, topic: str, requests: str, group: str) -> WritersFacts:
        """The group of a topic's writers, and how many requests they have not taken."""
        starts, ends = self.admin.starts(requests), self.admin.ends(requests)
        committed = self._committed(requests, group, sorted(ends))
        return WritersFacts(
            topic,
            group,
            self._members(requests, group),
            {each: end - max(committed[each], starts[each]) for each, end in ends.items()},
        )

    def _members(self, requests: str, group: str) -> tuple[Member, ...]:
        with explained(self._settings, f"the consumer group {group!r} to be described"):
            answers = self._client.describe_consumer_groups(
                [group], request_timeout=CONNECT_SECONDS
            )
            try:
                found = answers[group].result()
            except KafkaException as error:
                if error.args[0].code() in NO_GROUP:
                    return ()
                raise
        return tuple(_member(each, requests) for each in found.members)

    def _committed(self, requests: str, group: str, partitions: list[int]) -> dict[int, int]:
        """Partition to the committed offset; below 0 where nothing was committed."""
        asked = [TopicPartition(requests, each) for each in partitions]
        with explained(self._settings, f"the offsets of consumer group {group!r}"):
            answers = self._client.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, asked)], request_timeout=CONNECT_SECONDS
            )
            found: Any = []
            try:
                found = answers[group].result().topic_partitions
            except KafkaException as error:
                if error.args[0].code() not in NO_GROUP:
                    raise
        return {**dict.fromkeys(partitions, -1), **{at.partition: at.offset for at in found}}


def _replication(part: Any) -> Replication:
    leader = None if part.leader is None or part.leader.id < 0 else part.leader.id
    return Replication(
        part.id,
        leader,
        tuple(each.id for each in part.replicas),
        tuple(each.id for each in part.isr),
    )


def _member(member: Any, requests: str) -> Member:
    assigned = member.assignment.topic_partitions
    partitions = frozenset(each.partition for each in assigned if each.topic == requests)
    return Member(member.client_id, member.host, partitions)
