"""Latency of appends at half of the highest rate, from the owner and from elsewhere."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from benchmarks.measured import Figure, Sizes, run_side
from benchmarks.processes import writers
from benchmarks.servers import PARTITIONS, Servers

TARGETS: Final = {"p50": 3.0, "p99": 30.0}
WARM_ROUNDS: Final = 2

Round: TypeAlias = tuple[dict[str, Any], dict[str, Any]]
"""What our side printed, and the bare client."""


def owner(servers: Servers, sizes: Sizes) -> list[Figure]:
    """From the process that owns the partitions."""
    return _figures("owner", servers, sizes, "writer")


def elsewhere(servers: Servers, sizes: Sizes) -> list[Figure]:
    """From a process that owns nothing: each append is a request to the writer."""
    return _figures("elsewhere", servers, sizes, "client")


def warm_up(servers: Servers, sizes: Sizes) -> None:
    """Append and produce for a while, unmeasured, on servers that have just started.

    Until Java has compiled what the broker runs, single appends take five times as long: figures
    would tell how long the servers have run.
    """
    _rounds("warm_up", servers, sizes, "writer", WARM_ROUNDS)


def _figures(name: str, servers: Servers, sizes: Sizes, role: str) -> list[Figure]:
    rounds = _rounds(name, servers, sizes, role, sizes.rounds)
    rate = statistics.median(ours["rate"] for ours, _ in rounds)
    targets = TARGETS if name == "owner" else dict.fromkeys(TARGETS)
    return [
        _figure(f"append_{name}_{percentile}", percentile, rounds, rate, target)
        for percentile, target in targets.items()
    ]


def _rounds(name: str, servers: Servers, sizes: Sizes, role: str, number: int) -> list[Round]:
    sized = {"single": sizes.single * 10, "seconds": sizes.latency_seconds}
    with servers.database() as postgres:
        job = {"postgres": postgres, "role": role, **sized}
        return [_round(name, servers, job) for _ in range(number)]


def _round(name: str, servers: Servers, job: Mapping[str, Any]) -> Round:
    where = {"kafka": servers.kafka, "partitions": PARTITIONS}
    topic, bare_topic = servers.topic(f"latency_{name}"), servers.topic(f"latency_{name}_bare")
    with writers(servers.kafka, job["postgres"], topic, 1 if job["role"] == "client" else 0):
        ours = run_side("ours", "latency", **where, **job, topic=topic)
    asked = {"topic": bare_topic, "rate": ours["rate"], "seconds": job["seconds"]}
    return ours, run_side("floors", "latency", **servers.floor_job(), **asked)


def _figure(
    name: str, percentile: str, rounds: Sequence[Round], rate: float, target: float | None
) -> Figure:
    ours = [each[percentile] for each, _ in rounds]
    bare = [each[percentile] for _, each in rounds]
    return Figure(
        name,
        "ms",
        statistics.median(ours),
        target,
        statistics.median(bare),
        f"{min(ours):.3g} to {max(ours):.3g}, beside {min(bare):.3g} to {max(bare):.3g}; at about "
        f"{rate:,.0f} appends/s, half of the highest rate",
    )
