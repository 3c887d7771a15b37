"""The pairs: what is ours, what is its floor, how large, how often, and what must be equal.

Each side runs in a process of its own, by turns, so that neither finds the other's memory or
threads, and both meet the same weather.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import checks
from benchmarks.servers import PARTITIONS, Servers

HERE: Final = Path(__file__).parent
ACKNOWLEDGED: Final = "records acknowledged by every replica in sync (here one), not yet on disk"
COMMITTED: Final = "rows committed with synchronous_commit=off"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured, and how often."""

    rounds: int = 5
    bulk: int = 20_000
    """Appends of ten events."""
    single: int = 3_000
    """Appends of one event."""
    catch_up: int = 100_000
    """Appends of ten events, on a tenth as many streams."""
    catch_up_rounds: int = 3


QUICK: Final = Sizes(rounds=1, bulk=400, single=200, catch_up=200, catch_up_rounds=1)
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
    target: float
    durable: Durable
    lower_is_better: bool = False
    ours: list[float] = field(default_factory=list[float])
    reference: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])
    """The client alone: as many records, bare consumed or produced."""
    equal: str = ""
    """What was found equal on both sides."""

    @property
    def ratio(self) -> float:
        """Ours to the reference by their medians; higher is better."""
        ours, reference = statistics.median(self.ours), statistics.median(self.reference)
        return reference / ours if self.lower_is_better else ours / reference

    @property
    def share(self) -> float:
        """How much of the reference's time the client alone takes."""
        bare, reference = statistics.median(self.bare), statistics.median(self.reference)
        return bare / reference if self.lower_is_better else reference / bare


def catch_up_row(servers: Servers, sizes: Sizes) -> Measured:
    """A row projection from the log's start to its end, against the same by hand."""
    measured = Measured(
        "catch_up_row_vs_floor",
        "events/s",
        0.6,
        Durable(f"{COMMITTED}, the log's positions with them", f"{COMMITTED}, no positions"),
    )
    topic, floor_job = servers.topic("catch_up"), servers.floor_job()
    with servers.database() as filled:
        _append(servers, filled, topic, sizes.catch_up, streams=sizes.catch_up // 10)
    events = sizes.catch_up * 10
    rows = 0
    for _ in range(sizes.catch_up_rounds):
        with servers.database() as ours, servers.database() as floor:
            found = _run("floors", "catch_up_row", **floor_job, topic=topic, postgres=floor)
            measured.reference.append(found["value"])
            measured.bare.append(found["bare"])
            job = {"kafka": servers.kafka, "partitions": PARTITIONS, "topic": topic}
            found = _run("ours", "catch_up_row", **job, postgres=ours, events=events)
            measured.ours.append(found["value"])
            rows = checks.equal_rows(ours, floor)
    measured.equal = f"{rows:,} rows of {events:,} events"
    return measured


def append_bulk(servers: Servers, sizes: Sizes) -> Measured:
    """Ten-event appends, 512 in flight, against encoding and producing the same events."""
    durable = Durable(f"{ACKNOWLEDGED}; heads and append ids each second", ACKNOWLEDGED)
    measured = Measured("append_bulk_vs_floor", "events/s", 0.5, durable)
    ours, floor, bare = map(servers.topic, ("bulk_ours", "bulk_floor", "bulk_bare"))
    floor_job = {**servers.floor_job(), "bare_topic": bare, "in_flight": 512}
    same = {"appends": sizes.bulk, "events": 10, "streams": sizes.bulk // 5}
    with servers.database() as postgres:
        for number in range(sizes.rounds):
            job = {**same, "prefix": f"account-{number}-", "warm": sizes.bulk // 10}
            found = _run("floors", "append_bulk", **floor_job, **job, topic=floor)
            measured.reference.append(found["value"])
            measured.bare.append(found["bare"])
            measured.ours.append(_append_job(servers, postgres, ours, "append_bulk", job))
    measured.equal = f"{checks.equal_records(servers.kafka, ours, floor, PARTITIONS):,} records"
    return measured


def append_single(servers: Servers, sizes: Sizes) -> Measured:
    """One event at a time, against a bare produce and its delivery report; the median of each."""
    durable = Durable(f"{ACKNOWLEDGED}; heads and append ids each second", ACKNOWLEDGED)
    measured = Measured("append_single_vs_floor", "ms, p50", 0.33, durable, lower_is_better=True)
    ours, floor = map(servers.topic, ("single_ours", "single_floor"))
    floor_job = servers.floor_job()
    with servers.database() as postgres:
        for number in range(sizes.rounds):
            job = {
                "prefix": f"account-{number}-",
                "appends": sizes.single,
                "streams": 100,
                "warm": min(500, sizes.single // 2),
            }
            found = _run("floors", "append_single", **floor_job, **job, topic=floor)
            measured.reference.append(found["value"])
            measured.ours.append(_append_job(servers, postgres, ours, "append_single", job))
    measured.bare = measured.reference
    measured.equal = f"{checks.equal_records(servers.kafka, ours, floor, PARTITIONS):,} records"
    return measured


PAIRS: Final[Mapping[str, Callable[[Servers, Sizes], Measured]]] = {
    "catch_up_row_vs_floor": catch_up_row,
    "append_bulk_vs_floor": append_bulk,
    "append_single_vs_floor": append_single,
}


def _append(servers: Servers, postgres: str, topic: str, appends: int, *, streams: int) -> None:
    """Fill a topic by appending to it."""
    job = {"prefix": "account-", "appends": appends, "events": 10, "streams": streams, "warm": 0}
    _append_job(servers, postgres, topic, "append_bulk", job)


def _append_job(
    servers: Servers, postgres: str, topic: str, script: str, job: Mapping[str, Any]
) -> float:
    where = {"kafka": servers.kafka, "postgres": postgres, "topic": topic}
    return float(_run("ours", script, **where, partitions=PARTITIONS, **job)["value"])


def _run(side: str, script: str, **job: Any) -> dict[str, Any]:
    """Run one side once; what it printed.

    Raises:
        RuntimeError: It failed; the message ends with what it wrote to stderr.
    """
    command = [sys.executable, str(HERE / side / f"{script}.py"), json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{side}/{script}.py failed:\n{done.stderr}")
    printed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return printed
