"""For tests on one Kafka: deletes the topics that appeared since, and never one that was there."""

import time
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from eventstore.defaults import CONNECT_SECONDS
from eventstore.kafka.settings import KafkaSettings

_POLL_SECONDS: Final = 0.01
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
        """Delete them, and wait until the broker no longer shows them.

        Raises:
            KafkaException: The broker refuses.
            TimeoutError: They are still shown after `CONNECT_SECONDS`.
        """
        if not (names := self.names()):
            return
        for deleted in self._admin.delete_topics(sorted(names)).values():
            try:
                deleted.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        deadline = time.monotonic() + CONNECT_SECONDS
        while left := self.names() & names:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"expected the topics {sorted(left)} to be gone {CONNECT_SECONDS:g} s after "
                    "they were deleted; the broker still shows them: look at its log"
                )
            time.sleep(_POLL_SECONDS)

    def _topics(self) -> set[str]:
        shown = self._admin.list_topics(timeout=CONNECT_SECONDS).topics
        return {name for name in shown if not name.startswith(_KAFKA_S_OWN)}
