"""Judges a topic by its settings, its replicas and its identity."""

from collections.abc import Iterator
from typing import Final

from eventstore.kafka._commands import (
    alter_brokers,
    alter_topic,
    assignment,
    delete_topic,
    describe_topic,
    reassign,
)
from eventstore.kafka.doctor.facts import (
    SIZE,
    Cluster,
    Known,
    Purpose,
    Replication,
    TopicFacts,
    Wanted,
)
from eventstore.kafka.doctor.findings import Finding, Severity
from eventstore.kafka.settings import PRODUCER
from eventstore.kafka.topics import HARMLESS, MAIL_CONFIG, MESSAGE_BYTES, REPLICAS, Unmet, unmet

IN_SYNC: Final = "min.insync.replicas"
PARTITIONS: Final = "partitions"
"""The subject of findings about a topic's number of partitions."""
RETENTION: Final = "retention.ms"
CLEANUP: Final = "cleanup.policy"


def judge_cluster(cluster: Cluster, wanted: Wanted) -> Iterator[Finding]:
    """What the brokers' own settings do to topics that are made from now on."""
    yield from _small_messages(cluster, wanted)
    if cluster.auto_create:
        yield Finding(
            Severity.NOTE,
            "(brokers)",
            "automatic topics",
            setting="auto.create.topics.enable",
            expected="false",
            found="true",
            mend="whoever asks for a topic first makes it, with settings that lose events, and it "
            "is then refused here; set it in the brokers' server.properties and restart them",
        )


def _small_messages(cluster: Cluster, wanted: Wanted) -> Iterator[Finding]:
    """Brokers that take less than the client may send: each by a setting of its own, or all."""
    least = PRODUCER[SIZE]
    for broker in sorted(cluster.set_alone):
        size = cluster.message_max_bytes[broker]
        if size < least:
            found = f"{size}, which broker {broker} alone is set to"
            yield _takes_less(found, alter_brokers(wanted.bootstrap, SIZE, str(least), only=broker))
    others = cluster.message_max_bytes.keys() - cluster.set_alone
    size = min((cluster.message_max_bytes[each] for each in others), default=least)
    if size < least:
        yield _takes_less(str(size), alter_brokers(wanted.bootstrap, SIZE, str(least)))


def _takes_less(found: str, command: str) -> Finding:
    return Finding(
        Severity.WARNING,
        "(brokers)",
        _SUBJECTS[MESSAGE_BYTES],
        setting=SIZE,
        expected=f"at least {PRODUCER[SIZE]}",
        found=found,
        mend="topics that are made from now on would be refused; let brokers take more, by a "
        "command that goes before server.properties",
        command=command,
    )


def judge_topic(facts: TopicFacts, cluster: Cluster, wanted: Wanted) -> Iterator[Finding]:
    """What a topic's settings and replicas are good for."""
    yield from _settings(facts, wanted) if facts.purpose.kept else _mail_settings(facts, wanted)
    yield from _replicas(facts, cluster, wanted)
    yield from _in_sync_needed(facts, wanted)
    yield from _availability(facts, wanted)


def judge_identity(facts: TopicFacts, known: Known) -> Iterator[Finding]:
    """Whether it is the topic that was recorded, with the partitions that it had."""
    recorded = known.recorded
    if recorded is not None and recorded.topic_id != facts.topic_id:
        yield Finding(
            Severity.ERROR,
            facts.topic,
            "topic id",
            expected=f"{recorded.topic_id}, as PostgreSQL recorded it",
            found=facts.topic_id,
            mend="it was deleted and made again: what PostgreSQL holds speaks of another log; "
            "restore the topic, or use an empty database and replay",
        )
    numbers = {
        "as PostgreSQL recorded it": None if recorded is None else recorded.partitions,
        "as its first claim says": known.claimed,
    }
    for who, number in numbers.items():
        if number is not None and number != len(facts.partitions):
            yield Finding(
                Severity.ERROR,
                facts.topic,
                PARTITIONS,
                expected=f"{number}, {who}",
                found=str(len(facts.partitions)),
                mend="streams would move to other partitions and lose their history, so appends "
                "are refused; Kafka cannot take partitions back: replay into a new topic",
            )


def judge_mail(facts: TopicFacts, partitions: int, wanted: Wanted) -> Iterator[Finding]:
    """Whether a request or reply topic fits the topic of events that it belongs to."""
    if len(facts.partitions) != partitions:
        yield Finding(
            Severity.ERROR,
            facts.topic,
            PARTITIONS,
            expected=f"{partitions}, as the topic of events has",
            found=str(len(facts.partitions)),
            mend="writers are refused; nothing in this topic lasts: stop them and delete it, and "
            "they make it again",
            command=delete_topic(wanted.bootstrap, facts.topic),
        )


def judge_missing(topic: str, known: Known, plan: str) -> Finding:
    """A topic of events or schemas that is not there; ``plan`` is the command that makes it."""
    if known.recorded is None:
        return Finding(
            Severity.NOTE,
            topic,
            "missing topic",
            expected="the topic",
            found="none; none was ever recorded",
            mend="it is made at the first append; or by an operator",
            command=plan,
        )
    return Finding(
        Severity.ERROR,
        topic,
        "missing topic",
        expected=f"the topic with id {known.recorded.topic_id}",
        found="none",
        mend="it was deleted; restore it, or start with an empty database",
    )


def _settings(facts: TopicFacts, wanted: Wanted) -> Iterator[Finding]:
    for unlike in unmet(facts.config, wanted.durability):
        severity = Severity.NOTE if unlike.setting in HARMLESS else Severity.ERROR
        yield _unlike(facts, wanted, severity, unlike)


def _mail_settings(facts: TopicFacts, wanted: Wanted) -> Iterator[Finding]:
    """Requests must last until they are taken, and need not last longer."""
    for unlike in unmet(facts.config, wanted.durability, MAIL_CONFIG):
        severity, why = _MAIL[unlike.setting]
        if unlike.setting == RETENTION and not 0 <= int(unlike.found) < int(unlike.expected):
            severity = Severity.NOTE
            why = "requests and replies are kept for longer than anybody reads them"
        yield _unlike(facts, wanted, severity, unlike, why)


def _unlike(
    facts: TopicFacts, wanted: Wanted, severity: Severity, unlike: Unmet, why: str | None = None
) -> Finding:
    setting, expected, found = unlike
    return Finding(
        severity,
        facts.topic,
        _SUBJECTS.get(setting, "setting"),
        setting=setting,
        expected=f"at least {expected}" if setting in _LEAST else expected,
        found=found,
        mend=why or _WHY.get(setting, "events could be lost or refused"),
        command=alter_topic(wanted.bootstrap, facts.topic, setting, expected),
    )


def _replicas(facts: TopicFacts, cluster: Cluster, wanted: Wanted) -> Iterator[Finding]:
    needed = REPLICAS[wanted.durability]
    found = min((len(each.replicas) for each in facts.partitions), default=0)
    if found < needed:
        enough = len(cluster.brokers) >= needed
        yield Finding(
            Severity.ERROR if facts.purpose.kept else Severity.WARNING,
            facts.topic,
            "replicas",
            expected=f"at least {needed} replicas of each partition",
            found=str(found),
            mend="keep each partition on more brokers, or accept that losing a disk loses events: "
            "FOLDLOG_DURABILITY=single"
            if enough
            else f"add brokers: there are {len(cluster.brokers)}; or accept that losing a disk "
            "loses events: FOLDLOG_DURABILITY=single",
            command=_more_replicas(facts, cluster, wanted, needed) if enough else None,
        )
    elif found == 1 and facts.purpose is Purpose.EVENTS:
        yield Finding(
            Severity.NOTE,
            facts.topic,
            "replicas",
            expected="3 replicas wherever events matter",
            found="1, as FOLDLOG_DURABILITY=single accepts",
            mend="losing one broker's disk loses events",
        )


def _in_sync_needed(facts: TopicFacts, wanted: Wanted) -> Iterator[Finding]:
    """More acknowledgements than replicas stop every append; as many, at the first outage."""
    replicas = min((len(each.replicas) for each in facts.partitions), default=0)
    needed = int(facts.config[IN_SYNC])
    if replicas <= 1 >= needed or needed < replicas:
        return
    fits = max(1, replicas - 1)
    yield Finding(
        Severity.ERROR if needed > replicas else Severity.WARNING,
        facts.topic,
        "replicas in sync",
        setting=IN_SYNC,
        expected=f"fewer than the {replicas} replicas" if replicas > 1 else "1, for one replica",
        found=str(needed),
        mend="no append can be acknowledged"
        if needed > replicas
        else "no append is acknowledged while one broker is down",
        command=alter_topic(wanted.bootstrap, facts.topic, IN_SYNC, str(fits)),
    )


def _availability(facts: TopicFacts, wanted: Wanted) -> Iterator[Finding]:
    needed = int(facts.config[IN_SYNC])
    command = describe_topic(wanted.bootstrap, facts.topic)
    for each in facts.partitions:
        away = sorted(set(each.replicas) - set(each.in_sync))
        if each.leader is None:
            severity, subject, found = Severity.ERROR, "offline partition", "no leader"
        elif not away:
            continue
        else:
            too_few = len(each.in_sync) < needed
            severity = Severity.ERROR if too_few else Severity.WARNING
            subject = "under-replicated partition"
            found = f"{len(each.in_sync)} of {len(each.replicas)} in sync; {needed} must be"
        yield Finding(
            severity,
            facts.topic,
            subject,
            partition=each.partition,
            expected=f"the partition on all of the brokers {_ids(each.replicas)}",
            found=found,
            mend=f"start broker {_ids(tuple(away) or each.replicas)}, or look at its log; this "
            "shows how far it has come",
            command=command,
        )


def _more_replicas(facts: TopicFacts, cluster: Cluster, wanted: Wanted, needed: int) -> str:
    """The command that adds brokers to each partition, in turn; those it has stay first."""
    replicas = {each.partition: _with_more(each, cluster, needed) for each in facts.partitions}
    file = f"{facts.topic}.replicas.json"
    moved = assignment(facts.topic, replicas)
    return f"echo '{moved}' > {file} && {reassign(wanted.bootstrap, file)}"


def _with_more(part: Replication, cluster: Cluster, needed: int) -> list[int]:
    others = [each for each in cluster.brokers if each not in part.replicas]
    turn = part.partition % len(others) if others else 0
    return [*part.replicas, *others[turn:], *others[:turn]][: max(needed, len(part.replicas))]


def _ids(brokers: tuple[int, ...]) -> str:
    return ", ".join(map(str, brokers))


_LEAST: Final = frozenset({IN_SYNC, MESSAGE_BYTES})
_SUBJECTS: Final = {
    CLEANUP: "compaction",
    IN_SYNC: "replicas in sync",
    MESSAGE_BYTES: "message size",
    "message.timestamp.after.max.ms": "timestamps",
    "message.timestamp.before.max.ms": "timestamps",
    "message.timestamp.type": "timestamps",
    "retention.bytes": "retention",
    RETENTION: "retention",
    "segment.ms": "segments",
    "unclean.leader.election.enable": "unclean election",
}
_WHY: Final = {
    CLEANUP: "compaction would delete all but the last event of each stream",
    IN_SYNC: "an acknowledged event could be on one broker only; give it its replicas first",
    MESSAGE_BYTES: "the broker would refuse records that the client may send",
    "message.timestamp.after.max.ms": "an event dated ahead would fail its whole batch",
    "message.timestamp.before.max.ms": "an event dated back would fail its whole batch",
    "message.timestamp.type": "records would be dated by the broker, not by when it happened",
    "retention.bytes": "the oldest events would be deleted",
    RETENTION: "events would be deleted when they are that old",
    "segment.ms": "old dates make many small segments: slower, but nothing is lost",
    "unclean.leader.election.enable": "a broker that lacks events could lead, and lose them",
}
"""What each setting would lead to."""

_MAIL: Final = {
    CLEANUP: (Severity.ERROR, "a compacted topic drops all but the last request of each key"),
    IN_SYNC: (Severity.WARNING, "a request could be on one broker only, and be lost with it"),
    MESSAGE_BYTES: (Severity.ERROR, "a large append could not be sent to its writer"),
    "message.timestamp.type": (
        Severity.WARNING,
        "requests would expire by their senders' clocks, which may be wrong",
    ),
    "retention.bytes": (
        Severity.WARNING,
        "requests could be deleted before a writer takes them",
    ),
    RETENTION: (Severity.WARNING, "requests could expire before a writer takes them"),
    "segment.ms": (
        Severity.NOTE,
        "requests and replies would be kept for longer, or in many small segments",
    ),
}
"""How bad another setting of a request or reply topic is, and what it would lead to."""
