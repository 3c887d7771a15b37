"""Deleting the topics of tests, on brokers that do not all know the same."""

from typing import Any

import pytest

from eventstore.kafka._admin import Admin
from eventstore.kafka._reset import NewTopics
from eventstore.kafka.settings import KafkaSettings


class Behind:
    """An admin client whose every second list of topics comes from a broker that is far behind."""

    def __init__(self, admin: Any) -> None:
        self._admin, self._old = admin, admin.list_topics(timeout=60.0)
        self._asked = 0

    def list_topics(self, **arguments: Any) -> Any:
        self._asked += 1
        return self._old if self._asked % 2 else self._admin.list_topics(**arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)


def test_a_broker_that_is_behind_hides_no_topic_from_deletion(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, seen = NewTopics(kafka), NewTopics(kafka)
    monkeypatch.setattr(topics, "_admin", Behind(KafkaSettings(kafka).reach()))
    Admin(KafkaSettings(kafka)).create("made", 1, 1, {})
    topics.delete()
    assert seen.names() == set()
