"""Kafka clients with the settings that the protocol stands on; nobody can override those."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from eventstore.defaults import CONNECT_SECONDS
from eventstore.errors import ConfigurationError

LOGGER: Final = logging.getLogger("eventstore.kafka.client")
"""Where librdkafka's own lines go; silent unless the application configures logging."""
LOGGER.addHandler(logging.NullHandler())

ALLOWED: Final = ("client.id", "broker.address.", "sasl.", "security.protocol", "socket.", "ssl.")
"""How the name of a raw option must begin: what concerns the connection."""

DENIED: Final = (
    "sasl.kerberos.kinit.cmd",
    "sasl.oauthbearer.",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.",
    "ssl.providers",
)
"""Connection options that run code, call other addresses, or switch verification off."""

Reading: TypeAlias = Literal["bulk", "following", "replies", "single", "tail"]
"""Whole partitions in order, what comes at their ends, or single records here and there."""

SHARED: Final[Mapping[str, Any]] = {
    "client.id": "foldlog",
    "reconnect.backoff.max.ms": 1_000,  # a restarted broker is found again within a second
    "socket.nagle.disable": True,
}

PRODUCER: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "max.in.flight": 5,
    "allow.auto.create.topics": False,
    "message.max.bytes": 1_000_000,
    "message.timeout.ms": 30_000,  # an append whose outcome is unknown is told so in bounded time
}

CONSUMER: Final[Mapping[str, Any]] = {
    "group.id": "foldlog.unused",  # required by the client; partitions are always assigned
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_uncommitted",  # a stranger's open transaction must not stall us
    "enable.partition.eof": True,
    "check.crcs": True,
    "fetch.error.backoff.ms": 50,
    "fetch.queue.backoff.ms": 10,  # by default a full queue pauses fetching for up to a second
}

READING: Final[Mapping[Reading, Mapping[str, Any]]] = {
    "bulk": {
        "fetch.wait.max.ms": 100,
        "fetch.max.bytes": 4_194_304,
        "queued.max.messages.kbytes": 8_192,  # bounds the memory of a reader that is behind
    },
    "following": {
        "fetch.queue.backoff.ms": 1,
        "fetch.wait.max.ms": 500,  # until something comes: no other question shares its connection
        "queued.max.messages.kbytes": 2_048,
    },
    "replies": {
        "auto.offset.reset": "latest",  # a reply that is gone has nobody who waits for it
        "enable.partition.eof": False,
        "fetch.wait.max.ms": 500,
    },
    "single": {  # with these a read takes 0.3 to 1.5 ms; with waits of 10 ms, 11
        "fetch.wait.max.ms": 1,
        "fetch.queue.backoff.ms": 1,
        "fetch.max.bytes": 1_000_000,
        "fetch.message.max.bytes": 65_536,  # with 1 MB a read takes 45 ms
        "queued.min.messages": 1_000,
        "queued.max.messages.kbytes": 1_024,
    },
    "tail": {  # what is asked next waits behind a fetch that waits: 100 ms, as in "bulk"
        "fetch.wait.max.ms": 1,
        "fetch.queue.backoff.ms": 1,
        "fetch.max.bytes": 4_194_304,
        "queued.max.messages.kbytes": 8_192,
    },
}

MEMBER: Final[Mapping[str, Any]] = {
    "auto.offset.reset": "earliest",  # a request that nobody has read yet
    "enable.partition.eof": False,
    "fetch.wait.max.ms": 100,  # what is read of a new partition waits behind a fetch that waits
    "heartbeat.interval.ms": 300,  # how soon a member hears that partitions move
    "partition.assignment.strategy": "cooperative-sticky",  # the others keep theirs meanwhile
    "queued.max.messages.kbytes": 8_192,  # beside the requests that were taken
    "session.timeout.ms": 6_000,  # how soon a member that was killed is replaced
}


class KafkaSettings:
    """Where Kafka is, and how to connect; makes the clients.

    ``options`` are raw librdkafka options of the connection (``security.protocol``, ``sasl.*``,
    ``ssl.*``, …). Their values never appear in a repr or an error.

    Raises:
        ConfigurationError: An option is not one of the connection, or is a dangerous one.
    """

    def __init__(self, bootstrap: str, options: Mapping[str, Any] | None = None) -> None:
        self.bootstrap = bootstrap
        self._options = dict(options or {})
        if not bootstrap.strip():
            raise ConfigurationError(
                "expected a Kafka address such as localhost:9092; found an empty one: "
                "set FOLDLOG_KAFKA, or run `foldlog dev` for a Kafka of your own"
            )
        for name in self._options:
            if not name.startswith(ALLOWED) or name.startswith(DENIED):
                raise ConfigurationError(
                    f"expected an option of the connection ({', '.join(ALLOWED)}); found {name!r}: "
                    "the others are set here, because the log's guarantees rest on them, or "
                    "because they are dangerous; leave it out"
                )

    def __repr__(self) -> str:
        return f"KafkaSettings({self.bootstrap!r}, options={sorted(self._options)})"

    def producer(
        self,
        *,
        idempotent: bool = True,
        linger_ms: float = 0,
        on_error: Callable[[KafkaError], None] | None = None,
    ) -> Producer:
        """A producer; ``on_error`` hears of client errors, fatal ones among them.

        An idempotent one sends its first record half a second after it was made: it asks for an
        id that late. Where doubled records do no harm, another is quicker to start.
        """
        options = {**PRODUCER, "enable.idempotence": idempotent, "linger.ms": linger_ms}
        if not idempotent:
            options["max.in.flight"] = 1  # else what is sent again comes behind what followed it
        if on_error is not None:
            options["error_cb"] = on_error
        with self._explained():
            return Producer(self._client(options), logger=LOGGER)

    def consumer(self, reading: Reading = "bulk") -> Consumer:
        """A consumer to which partitions are assigned by hand, with explicit offsets."""
        with self._explained():
            return Consumer(self._client({**CONSUMER, **READING[reading]}), logger=LOGGER)

    def member(
        self, group: str, client_id: str, *, on_commit: Callable[..., None] | None = None
    ) -> Consumer:
        """A consumer to which a group assigns partitions; ``client_id`` says who it is.

        ``on_commit`` hears of each commit: its error or None, and the partitions.
        """
        options = {"client.id": client_id, **self._options, **CONSUMER, **MEMBER}
        if on_commit is not None:
            options["on_commit"] = on_commit
        with self._explained():
            return Consumer(self._client({**options, "group.id": group}), logger=LOGGER)

    def admin(self) -> AdminClient:
        """A client for topics and offsets."""
        with self._explained():
            return AdminClient(self._client({}), logger=LOGGER)

    def reach(self) -> AdminClient:
        """An admin client to which a broker has answered.

        Raises:
            ConfigurationError: No broker answered within `CONNECT_SECONDS`.
        """
        admin = self.admin()
        try:
            admin.list_topics(timeout=CONNECT_SECONDS)
        except KafkaException as error:
            raise ConfigurationError(
                f"expected Kafka at {self.bootstrap}; no broker answered within "
                f"{CONNECT_SECONDS:g} s ({self._reason(error)}): check the address, or run "
                "`foldlog dev` for a Kafka of your own"
            ) from None
        return admin

    def _client(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**SHARED, **self._options, **options, "bootstrap.servers": self.bootstrap}

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (KafkaException, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"expected options that the Kafka client accepts; found {sorted(self._options)} "
                f"for {self.bootstrap}: {self._reason(error)}"
            ) from None

    def _reason(self, error: Exception) -> str:
        found = error.args[0] if error.args else error
        reason = found.str() if isinstance(found, KafkaError) else str(found)
        for value in self._options.values():
            if isinstance(value, str) and value:
                reason = reason.replace(value, "…")
        return reason
