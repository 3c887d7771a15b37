"""Asks what the topics are and what they were, and judges them by that alone."""

from typing import NamedTuple

from eventstore.kafka._claims import claimed_partitions
from eventstore.kafka.doctor._brokers import Brokers
from eventstore.kafka.doctor._database import Database
from eventstore.kafka.doctor._notes import Notes
from eventstore.kafka.doctor._topic import (
    PARTITIONS,
    judge_cluster,
    judge_identity,
    judge_mail,
    judge_missing,
    judge_topic,
)
from eventstore.kafka.doctor.facts import Known, Purpose, TopicFacts, Wanted, WritersFacts
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics, replies_topic, requests_topic, writers_group


class Standing(NamedTuple):
    """A topic of events, and its writers."""

    topic: TopicFacts
    writers: WritersFacts | None


class Asking:
    """One examination's questions about topics; answers are judged as they come.

    Raises:
        ConfigurationError: Kafka cannot be reached.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        wanted: Wanted,
        topics: Topics,
        *,
        database: Database | None,
        notes: Notes,
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._topics = topics
        self._database = database
        self.notes = notes
        self.brokers = Brokers(settings)
        self._cluster = self.brokers.cluster()
        notes.findings += judge_cluster(self._cluster, wanted)

    def events(self, topic: str) -> Standing | None:
        """A topic of events; None: it is not there, or cannot be asked for."""
        facts = self.topic(topic, Purpose.EVENTS)
        return None if facts is None else Standing(facts, self._writers(facts))

    def topic(self, topic: str, purpose: Purpose) -> TopicFacts | None:
        """A topic, judged; None: it is not there, or cannot be asked for."""
        with self.notes.trying(topic, "the topic"):
            facts = self.brokers.topic(topic, purpose)
            known = self._known(topic, purpose, facts)
            if facts is not None:
                self.notes.findings += judge_topic(facts, self._cluster, self._wanted)
                self.notes.findings += judge_identity(facts, known)
                return facts
            if purpose.kept:
                plan, *_ = self._topics.plan({topic: 1 if purpose is Purpose.SCHEMAS else None})
                self.notes.findings.append(judge_missing(topic, known, plan))
        return None

    def _known(self, topic: str, purpose: Purpose, facts: TopicFacts | None) -> Known:
        asked = self._database if purpose.kept else None
        recorded = None if asked is None else asked.recorded(topic)
        claimed = None
        if facts is not None and purpose is Purpose.EVENTS:
            with self.notes.trying(topic, "the number of partitions that its claims name"):
                claimed = claimed_partitions(self._settings, self.brokers.admin, topic)
        return Known(recorded, claimed)

    def _writers(self, facts: TopicFacts) -> WritersFacts | None:
        requests, replies = requests_topic(facts.topic), replies_topic(facts.topic)
        asked = {requests: Purpose.REQUESTS, replies: Purpose.REPLIES}
        mail = {topic: self.topic(topic, purpose) for topic, purpose in asked.items()}
        if not self._has_other_partitions(facts.topic):  # else these may well be right
            for found in mail.values():
                if found is not None:
                    judged = judge_mail(found, len(facts.partitions), self._wanted)
                    self.notes.findings += judged
        if mail[requests] is not None:
            with self.notes.trying(requests, "its writers, and the requests that wait"):
                return self.brokers.writers(facts.topic, requests, writers_group(facts.topic))
        return None

    def _has_other_partitions(self, topic: str) -> bool:
        return any(
            each.topic == topic and each.subject == PARTITIONS for each in self.notes.findings
        )
