"""Topics made so that they lose nothing, and checked before anything is written to them.

A topic is the same one as before if its id and its number of partitions are: another id means
that it was made again, another number that keys have moved. Both are recorded in PostgreSQL;
where nothing is recorded, the topic's own claims tell the number.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from psycopg import Connection, OperationalError
from psycopg.rows import TupleRow

from eventstore.defaults import CONNECT_SECONDS, PARTITIONS, REQUESTS_KEPT_SECONDS
from eventstore.errors import (
    ConfigurationError,
    PartitionsChanged,
    TopicMissing,
    TopicRecreated,
    UnfitMailTopic,
    UnsafeTopic,
)
from eventstore.kafka._admin import Admin, Described, TooFewBrokers
from eventstore.kafka._claims import claimed_partitions
from eventstore.kafka._commands import alter_topic, delete_topic, reassign
from eventstore.kafka.settings import PRODUCER, KafkaSettings
from eventstore.postgres.address import connect, reach
from eventstore.postgres.topics import RecordedTopic, record_topic, recorded_topic

T = TypeVar("T")

Durability: TypeAlias = Literal["replicated", "single"]
"""How many brokers keep an event: three, two of them before it is acknowledged; or one."""

REPLICAS: Final[Mapping[Durability, int]] = {"replicated": 3, "single": 1}
IN_SYNC: Final[Mapping[Durability, int]] = {"replicated": 2, "single": 1}

LONG_MAX: Final = str(2**63 - 1)

CONFIG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cleanup.policy": "delete",
        "message.timestamp.after.max.ms": LONG_MAX,  # else an event dated ahead fails its batch
        "message.timestamp.before.max.ms": LONG_MAX,
        "message.timestamp.type": "CreateTime",
        "retention.bytes": "-1",
        "retention.ms": "-1",
        "segment.ms": LONG_MAX,  # else old dates make dozens of segments in each partition
        "unclean.leader.election.enable": "false",
    }
)
"""The settings of every topic of ours, beside its replicas."""

MAIL_CONFIG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",  # a sender's clock may be wrong
        "retention.bytes": "-1",
        "retention.ms": str(REQUESTS_KEPT_SECONDS * 1_000),
        "segment.ms": str(REQUESTS_KEPT_SECONDS * 250),  # only whole segments expire
    }
)
"""The settings of request and reply topics, beside their replicas: nothing in them lasts."""

HARMLESS: Final = frozenset({"segment.ms"})
"""Settings that cost speed but lose nothing: an operator may have others."""

MESSAGE_BYTES: Final = "max.message.bytes"


class TopicInfo(NamedTuple):
    """A topic that may be written to."""

    topic: str
    topic_id: str
    partitions: int


class Unmet(NamedTuple):
    """A setting of a topic that is not as ours are."""

    setting: str
    expected: str
    found: str


def config_of(durability: Durability, config: Mapping[str, str] = CONFIG) -> dict[str, str]:
    """The settings that a topic is made with."""
    return {**config, "min.insync.replicas": str(IN_SYNC[durability])}


def unmet(
    found: Mapping[str, str], durability: Durability, config: Mapping[str, str] = CONFIG
) -> Iterator[Unmet]:
    """Which of a topic's effective settings are not as ours, the `HARMLESS` among them."""
    for setting, expected in config_of(durability, config).items():
        value = found.get(setting, "")
        if value == expected:
            continue
        if setting == "min.insync.replicas" and int(value) >= int(expected):
            continue
        yield Unmet(setting, expected, value)
    least = PRODUCER["message.max.bytes"]
    if int(found[MESSAGE_BYTES]) < least:
        yield Unmet(MESSAGE_BYTES, str(least), found[MESSAGE_BYTES])


def requests_topic(topic: str) -> str:
    """Where appends to ``topic`` travel to its writers; as many partitions as it has."""
    return f"{topic}.requests"


def replies_topic(topic: str) -> str:
    """Where the writers' answers travel back; as many partitions, of no order."""
    return f"{topic}.replies"


def writers_group(topic: str) -> str:
    """The consumer group of the processes that may write to ``topic``."""
    return f"foldlog.{topic}.writers"


class Topics:
    """Makes and checks topics.

    ``postgres`` is the address of the database that remembers them; without one, a topic that
    was made again is not noticed. ``partitions`` is for topics that are made.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        durability: Durability,
        partitions: int = PARTITIONS,
        *,
        postgres: str | None = None,
    ) -> None:
        self._settings = settings
        self._durability: Durability = durability
        self._partitions = partitions
        self._postgres = postgres
        self._admin = Admin(settings)
        self._claims_checked: set[TopicInfo] = set()

    def ensure(self, topic: str, *, partitions: int | None = None) -> TopicInfo:
        """The topic, made if it was never there, checked and recorded.

        Raises:
            UnsafeTopic: Its effective settings could lose events.
            TopicRecreated: It is not the topic that was recorded.
            TopicMissing: It was recorded and is gone.
            PartitionsChanged: It has another number of partitions than recorded, or claimed.
            UnknownRecord: Nothing is recorded, and a newer release has written to it.
            OffsetGone, UnreadablePartition: Nothing is recorded, and it cannot be read.
            ConfigurationError: Kafka cannot be reached, or refuses to make the topic.
        """
        info = self.find(topic)
        if info is None:
            self._create(topic, partitions or self._partitions, CONFIG)
            info = self.check(topic)
        if partitions is not None and info.partitions != partitions:
            raise PartitionsChanged(topic, partitions, info.partitions)
        return info

    def ensure_mail(self, info: TopicInfo) -> dict[int, int]:
        """Make a topic's request and reply topics, unless they are there; the replies' ends now.

        Raises:
            UnfitMailTopic: One of them has another number of partitions.
            ConfigurationError: Kafka cannot be reached, or refuses to make them.
        """
        for topic in (requests_topic(info.topic), replies_topic(info.topic)):
            described = self._admin.describe(topic)
            if described is None:
                self._create(topic, info.partitions, MAIL_CONFIG)
            elif described.partitions != info.partitions:
                command = delete_topic(self._settings.bootstrap, topic)
                raise UnfitMailTopic(topic, info.partitions, described.partitions, command)
        return self._admin.ends(replies_topic(info.topic))

    def has_writers(self, topic: str) -> bool:
        """Whether any process is a member of the group of the topic's writers now.

        Raises:
            ConfigurationError: Kafka cannot be reached, or refuses.
        """
        return self._admin.has_members(writers_group(topic))

    def find(self, topic: str) -> TopicInfo | None:
        """The topic if it is there, else None; the errors are those of `ensure`."""
        if self._admin.describe(topic) is None:
            known = self._recorded(topic)
            if known is None:
                return None
            if self._admin.describe_known(topic) is None:
                raise TopicMissing(topic, known.topic_id)
        return self.check(topic)

    def check(self, topic: str) -> TopicInfo:
        """The topic, checked and recorded, but never made; the errors are those of `ensure`.

        1. It is the topic that was recorded, with the partitions that it had.
        2. Its replicas and settings lose nothing.
        3. It is recorded, if it was not: one that is refused may be deleted and made anew.
        """
        described = self._admin.describe_known(topic)
        if described is None:
            raise TopicMissing(topic)
        info = TopicInfo(topic, described.topic_id, described.partitions)
        is_recorded = self._check_identity(info)
        self._check_replicas(described)
        self._check_config(topic)
        if not is_recorded:
            self._record(info)
        return info

    def plan(self, topics: Mapping[str, int | None]) -> list[str]:
        """The commands by which an operator makes these topics as `ensure` would.

        Each topic comes with its number of partitions; None: as many as topics get here, and
        then its request and reply topics come too.
        """
        lines: list[str] = []
        for topic, partitions in topics.items():
            lines.append(self._plan(topic, partitions, CONFIG))
            if partitions is None:
                mail = (requests_topic(topic), replies_topic(topic))
                lines.extend(self._plan(each, None, MAIL_CONFIG) for each in mail)
        return lines

    def _plan(self, topic: str, partitions: int | None, config: Mapping[str, str]) -> str:
        settings = config_of(self._durability, config).items()
        options = " ".join(f"--config {name}={value}" for name, value in settings)
        return (
            f"kafka-topics.sh --bootstrap-server {self._settings.bootstrap} --create "
            f"--if-not-exists --topic {topic} --partitions {partitions or self._partitions} "
            f"--replication-factor {REPLICAS[self._durability]} {options}"
        )

    def _create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        replicas = REPLICAS[self._durability]
        try:
            self._admin.create(topic, partitions, replicas, config_of(self._durability, config))
        except TooFewBrokers:
            raise ConfigurationError(
                f"expected {replicas} brokers to keep topic {topic!r}; found fewer at "
                f"{self._settings.bootstrap}: add brokers, or accept that losing one broker's "
                "disk loses events and set FOLDLOG_DURABILITY=single"
            ) from None
        self._wait_until_led(topic)

    def _wait_until_led(self, topic: str) -> None:
        """A topic is of use when every partition has a leader; until then clients see errors."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while time.monotonic() < deadline:
            described = self._admin.describe(topic)
            if described is not None and described.led:
                return
            time.sleep(0.02)
        raise ConfigurationError(
            f"expected a leader for every partition of the new topic {topic!r} within "
            f"{CONNECT_SECONDS:g} s; found none: look at the brokers' logs"
        )

    def _check_replicas(self, described: Described) -> None:
        needed = REPLICAS[self._durability]
        if described.replicas < needed:
            raise UnsafeTopic(
                described.topic,
                "replicas",
                f"at least {needed}",
                str(described.replicas),
                f"{reassign(self._settings.bootstrap, 'MORE-REPLICAS.json')} (or accept it: "
                "FOLDLOG_DURABILITY=single)",
            )

    def _check_config(self, topic: str) -> None:
        for each in unmet(self._admin.config(topic), self._durability):
            if each.setting not in HARMLESS:
                command = alter_topic(self._settings.bootstrap, topic, each.setting, each.expected)
                raise UnsafeTopic(topic, *each, command)

    def _recorded(self, topic: str) -> RecordedTopic | None:
        if self._postgres is None:
            return None
        return self._asked(self._postgres, lambda db: recorded_topic(db, topic))

    def _check_identity(self, info: TopicInfo) -> bool:
        """Compare it with what is recorded, else with its claims; whether it is recorded."""
        known = self._recorded(info.topic)
        if known is None:
            self._check_claims(info)
            return False
        _compare(known, info)
        return True

    def _record(self, info: TopicInfo) -> None:
        """Record it; another process may just have recorded what it found."""
        if self._postgres is None:
            return
        found = RecordedTopic(info.topic_id, info.partitions)
        _compare(self._asked(self._postgres, lambda db: record_topic(db, info.topic, found)), info)

    def _asked(self, postgres: str, question: Callable[[Connection[TupleRow]], T]) -> T:
        """Ask on a connection of its own; once more on another, if that was cut."""
        try:
            return self._ask(postgres, question)
        except OperationalError:
            reach(postgres)
            return self._ask(postgres, question)

    @staticmethod
    def _ask(postgres: str, question: Callable[[Connection[TupleRow]], T]) -> T:
        with connect(postgres) as connection:
            return question(connection)

    def _check_claims(self, info: TopicInfo) -> None:
        """What no database remembers, the log does; a topic of one partition has never grown."""
        if info.partitions == 1 or info in self._claims_checked:
            return
        claimed = claimed_partitions(self._settings, self._admin, info.topic)
        if claimed is not None and claimed != info.partitions:
            raise PartitionsChanged(info.topic, claimed, info.partitions)
        self._claims_checked.add(info)


def _compare(known: RecordedTopic, info: TopicInfo) -> None:
    if known.topic_id != info.topic_id:
        raise TopicRecreated(info.topic, known.topic_id, info.topic_id)
    if known.partitions != info.partitions:
        raise PartitionsChanged(info.topic, known.partitions, info.partitions)
