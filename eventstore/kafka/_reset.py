"""For tests on one Kafka: deletes the topics that appeared since, and never one that was there."""

import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewTopic

from eventstore.kafka.settings import KafkaSettings

_POLL_SECONDS: Final = 0.01
_PATIENCE_SECONDS: Final = 60.0  # a slow machine is no reason why a test fails
_KAFKA_S_OWN: Final = "__"  # how the names of Kafka's internal topics begin


class NewTopics:
    """The topics that appear on this Kafka after this object was made.

    Raises:
        ConfigurationError: No broker answered.
    """

    def __init__(self, kafka: str) -> None:
        self._admin: Any = KafkaSettings(kafka).reach()  # its types do not say what futures hold
        self._before = self._topics()

    def names(self) -> set[str]:
        """Those that are there now."""
        return self._topics() - self._before

    def delete(self) -> None:
        """Delete them, also one that was made just now, and wait until none is shown.

        Raises:
            KafkaException: The broker refuses.
            TimeoutError: The broker takes longer than a minute.
        """
        names = self._complete()
        for deleted in self._admin.delete_topics(sorted(names)).values():
            try:
                deleted.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        self._wait(lambda now: not now & names, f"the topics {sorted(names)} to be gone")

    def _complete(self) -> set[str]:
        """All that exist now, also those that a broker does not show yet.

        What shows a topic shows all that were made before it. The next answer need not: it may
        come from a broker that knows less.
        """
        marker = f"foldlog.marker.{uuid.uuid4().hex}"
        self._admin.create_topics([NewTopic(marker, 1, 1)])[marker].result()
        return self._wait(lambda now: marker in now, f"the topic {marker} to be shown")

    def _wait(self, holds: Callable[[set[str]], bool], expected: str) -> set[str]:
        """The first answer for which this holds."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not holds(now := self.names()):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"expected {expected} within {_PATIENCE_SECONDS:g} s; the broker shows it "
                    "otherwise: look at its log"
                )
            time.sleep(_POLL_SECONDS)
        return now

    def _topics(self) -> set[str]:
        shown = self._admin.list_topics(timeout=_PATIENCE_SECONDS).topics
        return {name for name in shown if not name.startswith(_KAFKA_S_OWN)}
