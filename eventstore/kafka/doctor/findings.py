"""What an examination found: each finding says what was expected, what is, and what mends it."""

import enum
from dataclasses import dataclass

from eventstore.kafka.rule import Dead


class Severity(enum.StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """Events could be lost or were, or writers or readers stop."""
    WARNING = "warning"
    """It works, but less well or less safely than meant."""
    NOTE = "note"
    """Good to know; nothing has to be done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, or is worth knowing."""

    severity: Severity
    topic: str
    subject: str
    """What it is about, in a word or two: one of those on the page of the command."""
    expected: str
    found: str
    mend: str
    """What to do, in a sentence."""
    command: str | None = None
    """The command of Kafka's own tools that does it; None: no single command does."""
    setting: str | None = None
    """The name of the topic's or broker's setting; None: it is not about one."""
    partition: int | None = None
    """None: it is about the whole topic."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that could not be looked at, and why."""

    topic: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class PartitionRead:
    """How much of one partition of events was read, and what it held."""

    topic: str
    partition: int
    first_offset: int
    """The first offset that was read."""
    records: int
    events: int
    """Valid ones, by the reader's rule."""
    dead: dict[Dead, int]
    """Records that every reader skips, per reason."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that one examination found, the worst first."""

    findings: tuple[Finding, ...]
    unchecked: tuple[Unchecked, ...]
    read: tuple[PartitionRead, ...]

    def worst(self) -> Severity | None:
        """The severity of the worst finding; None: there is none."""
        return self.findings[0].severity if self.findings else None


ORDER = tuple(Severity)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """The worst first, then by topic and partition."""
    return tuple(
        sorted(findings, key=lambda each: (ORDER.index(each.severity), each.topic, _place(each)))
    )


def _place(finding: Finding) -> tuple[int, str]:
    return -1 if finding.partition is None else finding.partition, finding.subject
