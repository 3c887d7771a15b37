"""The producer of requests and replies; what is sent twice, or in another order, does no harm.

So it is not idempotent, which makes it quick to start; and it is not the producer of events, whose
every error ends sessions.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from confluent_kafka import KafkaError, Message, Producer

from eventstore.kafka._trouble import brief
from eventstore.kafka.settings import KafkaSettings

Reported: TypeAlias = Callable[[str | None], None]
"""Called once for each letter: None when it stands in its topic, else why that is not known."""


class Mail:
    """Sends letters; used by one thread, which must poll for the reports."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes,
        value: bytes,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        reported: Reported,
    ) -> None:
        """Send one letter; ``reported`` may be called at once, whatever keeps it from being sent.

        What a letter holds, and where it goes, may have come from outside: no error of it is the
        sender's.
        """

        def report(error: KafkaError | None, _message: Message) -> None:
            reported(None if error is None else error.str())

        try:
            self._opened().produce(
                topic, value, key, partition, on_delivery=report, headers=list(headers)
            )
        except Exception as error:  # noqa: BLE001 - nobody's letter may hold up the others
            reported(brief(error))

    def poll(self) -> None:
        """Hand out the reports that have come."""
        if self._producer is not None:
            self._producer.poll(0)

    def flush(self, seconds: float) -> None:
        """Wait for reports, for at most ``seconds``."""
        if self._producer is not None:
            self._producer.flush(seconds)

    def close(self) -> None:
        """Throw the producer away, with what it has not sent."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.poll(0)

    def _opened(self) -> Producer:
        if self._producer is None:
            self._producer = self._settings.producer(idempotent=False)
        return self._producer
