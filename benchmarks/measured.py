"""What a measurement gave, how much is measured, and how one side of it is run.

Each side runs in a process of its own, by turns, so that neither finds the other's memory or
threads, and both meet the same weather. What others left to be written is on disk before.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent
ACKNOWLEDGED: Final = "records acknowledged by every replica in sync (here one), not yet on disk"
FLUSHED: Final = "records on disk before they are acknowledged (flush.messages=1)"
HEADS: Final = "; heads and append ids each second"
COMMITTED: Final = "rows committed with synchronous_commit=off"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how often."""

    rounds: int = 3
    bulk: int = 15_000
    """Appends of ten events."""
    single: int = 3_000
    """Appends of one event."""
    catch_up: int = 60_000
    """Appends of ten events, on a tenth as many streams."""
    accounts: int = 300
    """Accounts of ten events each, a sixth of them for warming up."""
    edits: int = 1_000
    """Edits of accounts by chance."""
    saves: int = 2_000
    """Saves of ten events by the peer."""
    latency_seconds: float = 5.0
    """How long appends are sent at an even rate."""
    quiet_seconds: float = 1.5
    """How long appends run before and after a writer is ended."""
    writers: int = 4
    """How many are restarted one after the other."""


QUICK: Final = Sizes(
    rounds=1,
    bulk=400,
    single=200,
    catch_up=200,
    accounts=60,
    edits=50,
    saves=50,
    latency_seconds=0.5,
    quiet_seconds=0.2,
    writers=2,
)
"""Enough to see that everything works; the figures mean nothing."""


class Durable(NamedTuple):
    """What is durable on each side when it counts as done."""

    ours: str
    reference: str


@dataclass(slots=True)
class Measured:
    """What a pair gave: one figure for each round."""

    name: str
    unit: str
    target: float | None
    """The ratio that is wanted; None: it is shown for comparison."""
    durable: Durable
    lower_is_better: bool = False
    ours: list[float] = field(default_factory=list[float])
    reference: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])
    """The client alone: as many records, bare consumed or produced; where that is measured."""
    equal: str = ""
    """What was found equal on both sides."""

    @property
    def ratio(self) -> float:
        """Ours to the reference by their medians; higher is better."""
        ours, reference = statistics.median(self.ours), statistics.median(self.reference)
        return reference / ours if self.lower_is_better else ours / reference

    @property
    def share(self) -> float | None:
        """How much of the reference's time the client alone takes."""
        if not self.bare:
            return None
        bare, reference = statistics.median(self.bare), statistics.median(self.reference)
        return bare / reference if self.lower_is_better else reference / bare


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that has a target of its own, in its own unit; lower is better."""

    name: str
    unit: str
    ours: float
    target: float | None = None
    reference: float | None = None
    """The same of the bare client, in the same run; where there is such a thing."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The reference to ours, or else the target to ours; higher is better."""
        beside = self.target if self.reference is None else self.reference
        return beside / self.ours if beside and self.ours else None


def run_side(side: str, script: str, **job: Any) -> dict[str, Any]:
    """Run one side once; what it printed.

    Raises:
        RuntimeError: It failed; the message ends with what it wrote to stderr.
    """
    os.sync()
    command = [sys.executable, str(HERE / side / f"{script}.py"), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{side}/{script}.py failed:\n{done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed


def as_json(measured: Measured | Figure) -> Mapping[str, float | str | None]:
    """Unit, ours, reference and ratio; a ratio is higher-is-better."""
    if isinstance(measured, Figure):
        return {
            "unit": measured.unit,
            "ours": measured.ours,
            "reference": measured.reference,
            "target": measured.target,
            "ratio": measured.ratio,
        }
    return {
        "unit": measured.unit,
        "ours": statistics.median(measured.ours),
        "reference": statistics.median(measured.reference),
        "ratio": measured.ratio,
    }
