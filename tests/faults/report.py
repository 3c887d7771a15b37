"""The report of a proof, as a page of the docs: what was run, what was found, on what."""

import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from confluent_kafka import libversion

from tests.faults.campaign import Result

BEGINS: Final = "## The last run"
"""What stands above is written by hand, and stays; below, the report."""


@dataclass(frozen=True)
class Searched:
    """A search that another program made."""

    code: int
    output: str
    seconds: float


@dataclass
class Proof:
    """All that was run."""

    seconds: float
    campaign: float
    """Seconds of faults in each campaign."""
    seed: int
    kafka: str
    postgres: str
    mutants: list[tuple[str, Result | None]] = field(
        default_factory=list[tuple[str, Result | None]]
    )
    """Each ingredient that was taken away, with the campaign that told."""
    model: Searched | None = None
    hypothesis: list[Searched] = field(default_factory=list[Searched])
    campaigns: list[Result] = field(default_factory=list[Result])

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        searched = [*self.hypothesis, *([self.model] if self.model else [])]
        return (
            all(result is not None for _, result in self.mutants)
            and not any(each.code for each in searched)
            and not any(each.violations for each in self.campaigns)
        )


def write(proof: Proof, page: Path) -> None:
    """Put the report into the page, in the place of the last one."""
    before = page.read_text(encoding="utf-8").partition(BEGINS)[0] if page.exists() else ""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(before + report(proof), encoding="utf-8")


def report(proof: Proof) -> str:
    """What was run and found."""
    parts = [_ran(proof), _campaigns(proof.campaigns), _mutants(proof), _searches(proof)]
    return "\n".join([*parts, _faults(proof), _outcomes(proof)])


def _ran(proof: Proof) -> str:
    operations = sum(sum(each.outcomes.values()) for each in proof.campaigns)
    faults = sum(sum(each.faults.values()) for each in proof.campaigns)
    violations = sum(len(each.violations) for each in proof.campaigns)
    return f"""\
{BEGINS}

`python -m tests.proof --seconds {proof.seconds:.0f} --campaign {proof.campaign:.0f} \
--seed {proof.seed}`, on \
{datetime.now(UTC):%d %B %Y}: {len(proof.campaigns)} campaigns, {operations:,} operations, \
{faults:,} faults, **{violations} violations**.

Kafka {proof.kafka}, PostgreSQL {proof.postgres}, Python {platform.python_version()}, \
librdkafka {libversion()[0]}, {platform.system()} {platform.machine()}.
"""


def _campaigns(results: Iterable[Result]) -> str:
    def rows() -> Iterator[str]:
        for each in results:
            plan, events = each.plan, each.events
            acknowledged = sum(
                count
                for outcome, count in each.outcomes.items()
                if outcome in {"append ok", "execute ok"}
            )
            yield (
                f"| {plan.name} | {plan.seed} | {plan.brokers} | {each.processes} "
                f"| {sum(each.faults.values())} | {sum(each.outcomes.values()):,} "
                f"| {acknowledged:,} | {events:,} | {sum(each.dead.values()):,} "
                f"| {each.claims} | {len(each.violations)} |"
            )

    head = (
        "| campaign | seed | brokers | processes | faults | operations | acknowledged appends "
        "| valid events | dead records | claims | violations |"
    )
    return "\n".join([head, "|---|" + "---:|" * 10, *rows(), ""])


def _faults(proof: Proof) -> str:
    total: Counter[str] = Counter()
    for each in proof.campaigns:
        total.update(re.sub(r":.*", "", fault) for fault in each.faults.elements())
    rows = [f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(total.items())]
    return "\n".join(["### Faults", "", "| fault | times |", "|---|---:|", *rows, ""])


def _outcomes(proof: Proof) -> str:
    total: Counter[str] = Counter()
    for each in proof.campaigns:
        total.update(each.outcomes)
    rows = [f"| {name} | {count:,} |" for name, count in sorted(total.items())]
    told = "`killed`: its process was, before it was told anything."
    head = ["### Answers", "", told, "", "| operation and answer | times |", "|---|---:|"]
    return "\n".join([*head, *rows, ""])


def _mutants(proof: Proof) -> str:
    def rows() -> Iterator[str]:
        for name, result in proof.mutants:
            found = "**not found**" if result is None else ", ".join(_named(result.untrue))
            yield f"| {name.replace('_', ' ')} | {found} |"

    head = ["### What was taken away", "", "| without | found out by |", "|---|---|"]
    return "\n".join([*head, *rows(), ""])


def _searches(proof: Proof) -> str:
    passed = sum(each.code == 0 for each in proof.hypothesis)
    lines = ["### Models", ""]
    if proof.model is not None:
        states = sum(
            int(each.replace(",", ""))
            for each in re.findall(r"([\d,]+) states", proof.model.output)
        )
        lines.append(
            f"The [model of the protocol](model.md) was searched for {proof.model.seconds:.0f} s: "
            f"{states:,} states, exit code {proof.model.code}."
        )
    lines.append(
        f"Hypothesis drew new examples for {sum(each.seconds for each in proof.hypothesis):.0f} s; "
        f"nothing failed in {passed} of {len(proof.hypothesis)} runs."
    )
    return "\n".join([*lines, ""])


def _named(checks: Iterable[str]) -> list[str]:
    return sorted(each.replace("_", " ") for each in checks)
