"""Judges who writes: claims, checkpoints, and the requests that wait."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from eventstore.defaults import APPENDS_IN_FLIGHT
from eventstore.kafka.doctor.facts import (
    CheckpointFacts,
    Claim,
    LogFacts,
    Member,
    Rivalry,
    TopicFacts,
    WritersFacts,
)
from eventstore.kafka.doctor.findings import Finding, Severity

NAMED: Final = "foldlog "
"""How the client id of a member begins that ends with its host and process."""
FIGHT_CLAIMS: Final = 5
"""Claims within a minute from which on they are no failovers: each ends a session."""
EVENTS_PER_CLAIM: Final = 100
"""Valid events for each claim that make many claims harmless."""
FAR_BEHIND: Final = 100_000
"""Records between a checkpoint and the log's end that a takeover reads in about half a second."""


def judge_claims(log: LogFacts, writers: WritersFacts | None) -> Iterator[Finding]:
    """Whether one process writes to the partition at a time, and whether it is still there."""
    if log.rivalry is not None and _is_fight(log.rivalry):
        yield _fight(log, log.rivalry)
    if log.claim is None or writers is None or not _are_named(writers.members):
        return
    claimant = _member(writers.members, log.claim)
    if claimant is None:
        owner = next((each for each in writers.members if log.partition in each.partitions), None)
        yield _finding(
            log,
            Severity.NOTE,
            "stale claim",
            expected=f"a claim by a member of the group {writers.group}",
            found=f"{_described(log.claim)}, which is no member",
            mend=f"{owner.client_id if owner else 'a member'} claims it at the next append: "
            "nothing has to be done",
        )
    elif log.partition not in claimant.partitions:
        yield _finding(
            log,
            Severity.NOTE,
            "stale claim",
            expected=f"a claim by whom the group {writers.group} assigned the partition",
            found=f"{_described(log.claim)}, which is a member but not assigned it",
            mend="whoever is assigned it claims it at the next append: nothing has to be done",
        )


def judge_checkpoint(
    checkpoint: CheckpointFacts | None, topic: TopicFacts, log: LogFacts
) -> Iterator[Finding]:
    """Whether the checkpoint speaks of this log, and how much a takeover reads after it."""
    if checkpoint is None:
        if log.claim is not None and log.end - log.start > FAR_BEHIND:
            yield _behind(log, 0, log.end - log.start)
        return
    position = checkpoint.position
    if checkpoint.topic_id != topic.topic_id:
        yield _another_log(
            log,
            expected=f"one of the topic with id {topic.topic_id}",
            found=f"one of a topic with id {checkpoint.topic_id}",
        )
    elif position.next_offset > log.end:
        yield _another_log(
            log,
            expected=f"one before the log's end at offset {log.end}",
            found=f"offset {position.next_offset}: the log was longer once",
        )
    elif checkpoint.meets is False:
        yield _another_log(
            log,
            expected=f"the record that it ended with at offset {position.next_offset - 1}",
            found="another record, or none",
        )
    elif log.position is not None and position.epoch > log.position.epoch:
        yield _another_log(
            log,
            expected=f"one of epoch {log.position.epoch} or before, the log's",
            found=f"epoch {position.epoch}",
        )
    elif log.end - position.next_offset > FAR_BEHIND:
        yield _behind(log, position.next_offset, log.end - position.next_offset)


def judge_waiting(writers: WritersFacts) -> Iterator[Finding]:
    """Whether requests are taken."""
    waiting = sum(writers.waiting.values())
    where = _partitions(writers.waiting)
    if waiting and not writers.members:
        yield Finding(
            Severity.WARNING,
            writers.topic,
            "waiting requests",
            expected=f"a member of the group {writers.group} that takes them",
            found=f"{waiting} requests in {where}, and no writer",
            mend="clients get no answer; run `foldlog writers`, or a process of the application",
        )
    elif waiting > APPENDS_IN_FLIGHT:
        yield Finding(
            Severity.WARNING,
            writers.topic,
            "waiting requests",
            expected=f"at most {APPENDS_IN_FLIGHT} requests not taken yet",
            found=f"{waiting} in {where}, with {len(writers.members)} writers",
            mend="the writers do not keep up, or one is stuck: look at their logs, run more of "
            "them, up to the number of partitions",
        )


def _is_fight(rivalry: Rivalry) -> bool:
    few = rivalry.events < EVENTS_PER_CLAIM * rivalry.claims
    return rivalry.claims >= FIGHT_CLAIMS and few


def _fight(log: LogFacts, rivalry: Rivalry) -> Finding:
    who = ", ".join(sorted(rivalry.by))
    alone = len(rivalry.by) == 1
    return _finding(
        log,
        Severity.WARNING,
        "many claims",
        expected="a claim now and then, and many events after it",
        found=f"{rivalry.claims} claims within {rivalry.seconds:.0f} s, {rivalry.events} events "
        f"between them, by {who}",
        mend="it loses its claim again and again: look for foreign records here, and for "
        "delivery errors in its log"
        if alone
        else "these processes take the partition from each other: let all of them be of one "
        "release and reach the request topic, so that their group decides",
    )


def _another_log(log: LogFacts, *, expected: str, found: str) -> Finding:
    return _finding(
        log,
        Severity.ERROR,
        "checkpoint",
        expected=f"the checkpoint in PostgreSQL to be of this log: {expected}",
        found=found,
        mend="the topic was truncated or made again, or the database is another's: writers "
        "stop; restore the topic, or use an empty database and replay",
    )


def _behind(log: LogFacts, next_offset: int, records: int) -> Finding:
    return _finding(
        log,
        Severity.NOTE,
        "checkpoint",
        expected=f"a checkpoint at most {FAR_BEHIND} records behind the log's end",
        found=f"offset {next_offset}, {records} records behind",
        mend="the next writer reads these first, which delays it; while one writes, look in its "
        "log for why its checkpoints are not stored",
    )


def _are_named(members: Sequence[Member]) -> bool:
    """Whether client ids tell processes: an application may have given the client its own."""
    return bool(members) and all(each.client_id.startswith(NAMED) for each in members)


def _member(members: Sequence[Member], claim: Claim) -> Member | None:
    """The member that claimed: its client id ends with its host and process."""
    return next((each for each in members if each.client_id.endswith(f" {claim.by}")), None)


def _described(claim: Claim) -> str:
    at = "" if claim.at is None else f" of {claim.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"epoch {claim.epoch}, claimed at offset {claim.offset} by {claim.by}{at}"


def _partitions(waiting: Mapping[int, int]) -> str:
    some = [str(partition) for partition, number in sorted(waiting.items()) if number]
    return f"partition {some[0]}" if len(some) == 1 else f"partitions {', '.join(some)}"


def _finding(
    log: LogFacts, severity: Severity, subject: str, *, expected: str, found: str, mend: str
) -> Finding:
    return Finding(severity, log.topic, subject, expected, found, mend, partition=log.partition)
