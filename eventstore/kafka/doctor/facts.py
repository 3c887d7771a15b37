"""What an examination reads before it judges: plain facts about topics, logs and writers."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from eventstore.kafka.rule import Dead
from eventstore.kafka.topics import Durability
from eventstore.log import LogPosition
from eventstore.postgres.topics import RecordedTopic

SIZE: Final = "message.max.bytes"
"""The brokers' setting that says how much they take at once; a topic may have one of its own."""


class Purpose(enum.StrEnum):
    """What a topic is for."""

    EVENTS = "events"
    SCHEMAS = "schemas"
    REQUESTS = "requests"
    REPLIES = "replies"

    @property
    def kept(self) -> bool:
        """Whether its records are kept for ever."""
        return self in {Purpose.EVENTS, Purpose.SCHEMAS}


class Wanted(NamedTuple):
    """What the application asks of its topics."""

    bootstrap: str
    """Kafka's address, as the commands name it."""
    durability: Durability


class Cluster(NamedTuple):
    """The brokers."""

    brokers: tuple[int, ...]
    """Their ids."""
    message_max_bytes: Mapping[int, int]
    """What topics get that have no such setting of their own, by broker."""
    auto_create: bool
    """Whether a topic is made by whoever asks for it."""
    set_alone: frozenset[int] = frozenset()
    """Brokers whose `message_max_bytes` was set for each alone: what is set for all, by command
    or in server.properties, does not reach them."""


class Replication(NamedTuple):
    """Where one partition is kept: ids of brokers."""

    partition: int
    leader: int | None
    """None: it is offline."""
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """One topic as the brokers know it."""

    topic: str
    purpose: Purpose
    topic_id: str
    partitions: tuple[Replication, ...]
    config: Mapping[str, str]
    """Its effective settings."""


class Known(NamedTuple):
    """What a topic was when it was made or first seen."""

    recorded: RecordedTopic | None
    """By PostgreSQL; None: nothing is recorded."""
    claimed: int | None
    """Its number of partitions by the first claim in its log; None: there is none."""


class Stranger(NamedTuple):
    """A record without our header, and what tells of who wrote it; its value is not looked at."""

    offset: int
    key: str
    headers: tuple[str, ...]
    """The names of its headers."""
    at: datetime | None


class Claim(NamedTuple):
    """A claim that was accepted."""

    offset: int
    epoch: int
    by: str
    """Host and process, as the claim says."""
    at: datetime | None


class Rivalry(NamedTuple):
    """The most claims that came within a minute."""

    claims: int
    seconds: float
    """Between the first and the last of them."""
    events: int
    """Valid events between these."""
    by: frozenset[str]
    """Host and process of each claimant."""


class Schema(NamedTuple):
    """Events of one schema."""

    events: int
    first_offset: int


class Incomplete(NamedTuple):
    """An append at the end of the log that is not whole."""

    offset: int
    """Of its first record."""
    events: int
    """How many of it are there."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What was read of one partition of events."""

    topic: str
    partition: int
    start: int
    """The log's first offset: above 0 if records were deleted."""
    first: int
    """The first offset that was read."""
    end: int
    """One past the last."""
    ruled_from: int | None = None
    """Where the reader's rule could begin, its state being known; None: nowhere."""
    events: int = 0
    dead: Mapping[Dead, int] = field(default_factory=dict[Dead, int])
    foreign: int = 0
    strangers: tuple[Stranger, ...] = ()
    """The first foreign records."""
    foreign_age: timedelta | None = None
    """How old the youngest foreign record is, by its own timestamp; None: that is not known."""
    unknown: str | None = None
    """What a newer release wrote, if anything: no reader passes it."""
    claim: Claim | None = None
    """The current claim; None: it was not among what was read."""
    rivalry: Rivalry | None = None
    schemas: Mapping[bytes, Schema] = field(default_factory=dict[bytes, Schema])
    """By the fingerprint in the events' headers."""
    incomplete: Incomplete | None = None
    position: LogPosition | None = None
    """Where a reader stands at the end; None: the rule could not begin."""


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """A partition's checkpoint in PostgreSQL, beside the log."""

    topic: str
    partition: int
    topic_id: str
    """That of the topic it was made of."""
    position: LogPosition
    meets: bool | None
    """Whether the log holds, right before it, the record that it ends with; None: not known."""


class Member(NamedTuple):
    """A process among the writers of a topic."""

    client_id: str
    host: str
    partitions: frozenset[int]
    """Those assigned to it."""


@dataclass(frozen=True, slots=True)
class WritersFacts:
    """The writers' consumer group of one topic, and the requests that wait for them."""

    topic: str
    group: str
    members: tuple[Member, ...]
    waiting: Mapping[int, int]
    """Partition to the number of requests that were not taken yet."""
