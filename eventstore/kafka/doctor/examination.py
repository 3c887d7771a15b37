"""Examines the topics of an application: asks, reads, judges; makes, claims and changes nothing.

1. *Ask* brokers and PostgreSQL what the topics are, and what they were.
2. *Read* the logs: the last records of each partition, or all of them.
3. *Judge* each fact by itself. What could not be looked at is said.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from eventstore.events import Event
from eventstore.kafka.doctor._asking import Asking
from eventstore.kafka.doctor._database import Database
from eventstore.kafka.doctor._log import (
    judge_log,
    judge_schemas,
    judge_schemas_start,
    judge_schemas_topic,
)
from eventstore.kafka.doctor._looking import Looking
from eventstore.kafka.doctor._notes import Notes
from eventstore.kafka.doctor._scan import PartitionScan, SchemasScan
from eventstore.kafka.doctor._scanner import Key, Tell, scan
from eventstore.kafka.doctor._writers import judge_checkpoint, judge_claims, judge_waiting
from eventstore.kafka.doctor.facts import (
    CheckpointFacts,
    LogFacts,
    Purpose,
    TopicFacts,
    Wanted,
    WritersFacts,
)
from eventstore.kafka.doctor.findings import Diagnosis, PartitionRead, in_order
from eventstore.kafka.rule import Dead
from eventstore.kafka.schemas import SCHEMAS_TOPIC, SchemaTable
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Durability, Topics
from eventstore.postgres import address

RECORDS: Final = 100_000
"""Records at the end of each partition that are read, unless all are asked for."""


class _Log(NamedTuple):
    """A topic of events with what is to be read of it."""

    topic: TopicFacts
    writers: WritersFacts | None
    checkpoints: Mapping[int, CheckpointFacts]
    scans: Sequence[PartitionScan]


class Doctor:
    """Examines topics; needs no writer, and may run beside any number of them.

    ``events`` gives the event classes of each topic; ``postgres`` is the address of the database
    that remembers the topics.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        events: Mapping[str, Sequence[type[Event]]],
        *,
        topics: Topics,
        durability: Durability,
        postgres: str,
    ) -> None:
        self._settings = settings
        self._events = events
        self._topics = topics
        self._postgres = postgres
        self._wanted = Wanted(settings.bootstrap, durability)

    def examine(self, records: int | None = RECORDS, tell: Tell | None = None) -> Diagnosis:
        """Look at everything; ``tell`` hears how many of how many records were read.

        ``records`` bounds how many are read of the end of each partition; None: all.

        Raises:
            ConfigurationError: Kafka cannot be reached, or an address is not one.
        """
        notes, looking = Notes(), Looking(self._settings)
        database = self._opened(notes)
        try:
            asking = Asking(
                self._settings, self._wanted, self._topics, database=database, notes=notes
            )
            schemas = self._schemas(asking, notes)
            asked = [self._log(each, asking, database, looking, records) for each in self._events]
            logs = [each for each in asked if each is not None]
            table = self._read_schemas(schemas, notes)
            read = self._read(logs, table, notes, tell or _tell_nobody)
        finally:
            looking.close()
            if database is not None:
                database.close()
        return Diagnosis(in_order(notes.findings), tuple(notes.unchecked), tuple(read))

    def _opened(self, notes: Notes) -> Database | None:
        address.parse(self._postgres)
        what = "topic ids, partitions and checkpoints, as PostgreSQL remembers them"
        with notes.trying("(PostgreSQL)", what):
            return Database(self._postgres)
        return None

    def _schemas(self, asking: Asking, notes: Notes) -> SchemasScan | None:
        facts = asking.topic(SCHEMAS_TOPIC, Purpose.SCHEMAS)
        if facts is not None:
            with notes.trying(SCHEMAS_TOPIC, "the schemas"):
                admin = asking.brokers.admin
                start = admin.starts(SCHEMAS_TOPIC)[0]
                notes.findings += judge_schemas_start(start)
                return SchemasScan(start, admin.ends(SCHEMAS_TOPIC)[0])
        return None

    def _log(
        self,
        topic: str,
        asking: Asking,
        database: Database | None,
        looking: Looking,
        records: int | None,
    ) -> _Log | None:
        standing = asking.events(topic)
        if standing is None:
            return None
        with asking.notes.trying(topic, "its log"):
            admin = asking.brokers.admin
            starts, ends = admin.starts(topic), admin.ends(topic)
            stored: list[CheckpointFacts] = []
            if database is not None:
                with asking.notes.trying(topic, "its checkpoints"):
                    stored = database.checkpoints(topic)
            checkpoints = {
                each.partition: looking.compared(each, starts[each.partition], ends[each.partition])
                for each in stored
                if each.partition in ends
            }
            scans = looking.scans(standing.topic, starts, ends, checkpoints, records)
            return _Log(standing.topic, standing.writers, checkpoints, scans)
        return None

    def _read_schemas(self, schemas: SchemasScan | None, notes: Notes) -> SchemaTable:
        if schemas is None:
            return SchemaTable()
        failed = scan(self._settings, {(SCHEMAS_TOPIC, 0): schemas}, _tell_nobody)
        _say_unread(failed, notes)
        notes.findings += judge_schemas_topic(
            schemas.ignored, schemas.first_ignored, self._wanted, schemas.ignored_age
        )
        return schemas.table

    def _read(
        self, logs: Sequence[_Log], table: SchemaTable, notes: Notes, tell: Tell
    ) -> list[PartitionRead]:
        """Read what is to be read of the logs, and judge it."""
        scans = {(each.topic, each.partition): each for log in logs for each in log.scans}
        _say_unread(scan(self._settings, scans, tell), notes)
        read: list[PartitionRead] = []
        for log in logs:
            if log.writers is not None:
                notes.findings += judge_waiting(log.writers)
            for each in log.scans:
                facts = each.facts()
                self._judge(facts, log, table, notes)
                read.append(_summary(facts, each.next_offset))
        return read

    def _judge(self, facts: LogFacts, log: _Log, table: SchemaTable, notes: Notes) -> None:
        known_events = {each.event_name for each in self._events[facts.topic]}
        checkpoint = log.checkpoints.get(facts.partition)
        notes.findings += judge_log(facts, self._wanted)
        notes.findings += judge_schemas(facts, table, known_events)
        notes.findings += judge_claims(facts, log.writers)
        notes.findings += judge_checkpoint(checkpoint, log.topic, facts)
        if facts.ruled_from is None and facts.end > facts.first and facts.unknown is None:
            notes.not_checked(
                facts.topic,
                f"dead records and events of partition {facts.partition}",
                f"nothing in the last {facts.end - facts.first} records tells the state of the "
                "reader's rule there; --whole reads all of them",
            )


def _say_unread(failed: Mapping[Key, str], notes: Notes) -> None:
    for (topic, partition), why in failed.items():
        notes.not_checked(topic, f"the records of partition {partition}", why)


def _tell_nobody(_done: int, _total: int) -> None:
    pass


def _summary(facts: LogFacts, next_offset: int) -> PartitionRead:
    foreign = {Dead.FOREIGN: facts.foreign} if facts.foreign else {}
    return PartitionRead(
        facts.topic,
        facts.partition,
        facts.first,
        next_offset - facts.first,
        facts.events,
        {**facts.dead, **foreign},
    )
