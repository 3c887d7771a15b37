"""Judges what stands in a partition of events: lost, foreign, dead and unreadable records."""

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

from eventstore.kafka._commands import who_may_write
from eventstore.kafka.decoder import event_name
from eventstore.kafka.doctor.facts import LogFacts, Stranger, Wanted
from eventstore.kafka.doctor.findings import Finding, Severity
from eventstore.kafka.rule import Dead
from eventstore.kafka.schemas import SCHEMAS_TOPIC, SchemaTable

RECENT: Final = timedelta(days=7)
"""How long an intrusion is a warning: after that, nothing is left to be done about it."""
NO_WRITER_DOES_THIS: Final = frozenset({Dead.BROKEN})
LATE: Final = frozenset({Dead.SEALED, Dead.STALE_SEAL})
MEANING: Final = {
    Dead.STALE_CLAIM: "claims of processes that were not the quickest",
    Dead.STALE_SEAL: "seals by others than the current writer",
    Dead.STALE_WRITER: "events of writers that had lost the partition",
    Dead.OUT_OF_SEQUENCE: "events after one of the same writer that never arrived",
    Dead.INCOMPLETE: "events of appends that a claim cut short",
    Dead.BROKEN: "events of appends that are not in order",
    Dead.SEALED: "records after the seal",
}


def judge_log(facts: LogFacts, wanted: Wanted) -> Iterator[Finding]:
    """What one partition holds that it should not, or no longer holds."""
    if facts.start > 0:
        yield _finding(
            facts,
            Severity.ERROR,
            "lost events",
            expected="a log that begins at offset 0",
            found=f"it begins at offset {facts.start}: what stood before was deleted",
            mend="restore the topic from a backup; mend its retention before that",
        )
    if facts.unknown is not None:
        yield _finding(
            facts,
            Severity.ERROR,
            "unknown record",
            expected="records of this release",
            found=facts.unknown,
            mend="no reader passes it; upgrade this application",
        )
    if facts.foreign:
        yield _foreign(facts, wanted)
    yield from _dead(facts)
    if facts.incomplete is not None:
        offset, events = facts.incomplete
        yield _finding(
            facts,
            Severity.NOTE,
            "incomplete append",
            expected="a log that ends with a whole append",
            found=f"{events} events of one from offset {offset} on, which is not whole",
            mend="it is being written, or its writer ended; then the next claim makes it dead: "
            "nothing has to be done",
        )


def judge_schemas(
    facts: LogFacts, table: SchemaTable, known_events: Collection[str]
) -> Iterator[Finding]:
    """Whether each valid event can be decoded by this application."""
    for fingerprint, (events, first_offset) in facts.schemas.items():
        schema = table.by_fingerprint(fingerprint)
        if schema is None:
            yield _finding(
                facts,
                Severity.ERROR,
                "unknown schema",
                expected=f"the schema {fingerprint.hex()}… in {SCHEMAS_TOPIC}",
                found=f"none, but {events} events of it, the first at offset {first_offset}",
                mend=f"readers stop there; restore {SCHEMAS_TOPIC} from a backup: registered again "
                "it would get another id than these events name",
            )
        elif (name := event_name(schema)) not in known_events:
            yield _finding(
                facts,
                Severity.ERROR,
                "unknown event",
                expected=f"events named {', '.join(sorted(known_events))}",
                found=f"{events} named {name}, the first at offset {first_offset}",
                mend="readers stop there; add a class with this stored name to the aggregate's "
                "union",
            )


def judge_schemas_start(start: int) -> Iterator[Finding]:
    """Whether the schemas topic still holds its first schema."""
    if start > 0:
        yield Finding(
            Severity.ERROR,
            SCHEMAS_TOPIC,
            "lost schemas",
            expected="a topic that begins at offset 0",
            found=f"it begins at offset {start}: what stood before was deleted",
            mend="no process can start; restore the topic from a backup; mend its retention "
            "before that",
            partition=0,
        )


def judge_schemas_topic(
    ignored: int, first: int | None, wanted: Wanted, age: timedelta | None
) -> Iterator[Finding]:
    """Records of the schemas topic that are no schemas; ``age`` is that of the youngest."""
    if ignored:
        yield Finding(
            _intrusion(age),
            SCHEMAS_TOPIC,
            "foreign records",
            expected="schemas only, each under its SHA-256",
            found=f"{ignored} other records, the first at offset {first}",
            mend="they are ignored; let only writers write there. This lists who may",
            command=who_may_write(wanted.bootstrap, SCHEMAS_TOPIC),
            partition=0,
        )


def _foreign(facts: LogFacts, wanted: Wanted) -> Finding:
    shown = "; ".join(map(_described, facts.strangers))
    more = "" if facts.foreign <= len(facts.strangers) else "; …"
    return _finding(
        facts,
        _intrusion(facts.foreign_age),
        "foreign records",
        expected="records of writers only",
        found=f"{facts.foreign} without our header: {shown}{more}",
        mend="each one costs the writer its claim; let only writers hold the permission Write. "
        "This lists who does",
        command=who_may_write(wanted.bootstrap, facts.topic),
    )


def _intrusion(age: timedelta | None) -> Severity:
    """Nothing takes a record out of a log again, so it is told for ever, but less loudly."""
    return Severity.NOTE if age is not None and age > RECENT else Severity.WARNING


def _described(stranger: Stranger) -> str:
    """What names the intruder; the value is not looked at."""
    at = "" if stranger.at is None else f" of {stranger.at:%Y-%m-%d %H:%M:%S} UTC"
    headers = f", headers {', '.join(stranger.headers)}" if stranger.headers else ", no headers"
    return f"offset {stranger.offset}{at}, key {stranger.key}{headers}"


def _dead(facts: LogFacts) -> Iterator[Finding]:
    for reason, meaning in MEANING.items():
        count = facts.dead.get(reason, 0)
        if not count:
            continue
        if reason in NO_WRITER_DOES_THIS:
            severity = Severity.ERROR
            mend = "no writer of this library writes such: find who else writes our header"
        elif reason in LATE:
            severity = Severity.WARNING
            mend = "find the process that still writes here, and stop it"
        else:
            severity = Severity.NOTE
            mend = "every reader skips them: nothing has to be done"
        yield _finding(
            facts,
            severity,
            "dead records",
            expected="none, or few",
            found=f"{count} {reason.value}: {meaning}",
            mend=mend,
        )


def _finding(
    facts: LogFacts,
    severity: Severity,
    subject: str,
    *,
    expected: str,
    found: str,
    mend: str,
    command: str | None = None,
) -> Finding:
    return Finding(
        severity,
        facts.topic,
        subject,
        expected,
        found,
        mend,
        command,
        partition=facts.partition,
    )
