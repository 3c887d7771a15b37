"""What a store on Kafka refuses before anything is written."""

import pytest

from eventstore import NO_STREAM, Append, Event
from eventstore.errors import ConfigurationError, InvalidAppend
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Topics
from tests.bank import Account, AccountOpened
from tests.bank_store import open_store


class Elsewhere(Event, name="elsewhere"):
    """An event of no aggregate here."""


def test_an_unknown_topic_is_refused_and_not_made(kafka: str, postgres: str) -> None:
    append = Append("acounts", "alice", [AccountOpened(owner="Alice")], NO_STREAM)
    with open_store(kafka, postgres) as store:
        with pytest.raises(ConfigurationError, match="'acounts'"):
            store.submit(append)
        with pytest.raises(ConfigurationError, match="'acounts'"):
            store.head("acounts", "alice")
    assert Topics(KafkaSettings(kafka), "single").find("acounts") is None


def test_another_topics_event_is_refused(kafka: str, postgres: str) -> None:
    with (
        open_store(kafka, postgres) as store,
        pytest.raises(InvalidAppend, match="Elsewhere is not an event of topic 'accounts'"),
    ):
        store.submit(Append(Account.topic, "alice", [Elsewhere()], NO_STREAM))
