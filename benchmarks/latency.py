"""Latency of appends at half of the highest rate, from the owner and from elsewhere."""

from benchmarks.measured import Figure, Sizes, run_side
from benchmarks.processes import writers
from benchmarks.servers import PARTITIONS, Servers

TARGETS = {"p50": 3.0, "p99": 30.0}


def owner(servers: Servers, sizes: Sizes) -> list[Figure]:
    """From the process that owns the partitions."""
    return _figures("owner", servers, sizes, "writer")


def elsewhere(servers: Servers, sizes: Sizes) -> list[Figure]:
    """From a process that owns nothing: each append is a request to the writer."""
    return _figures("elsewhere", servers, sizes, "client")


def _figures(name: str, servers: Servers, sizes: Sizes, role: str) -> list[Figure]:
    topic, bare_topic = servers.topic(f"latency_{name}"), servers.topic(f"latency_{name}_bare")
    seconds = sizes.latency_seconds
    job = {"kafka": servers.kafka, "topic": topic, "partitions": PARTITIONS, "seconds": seconds}
    with servers.database() as postgres:
        job |= {"postgres": postgres, "role": role, "single": sizes.single * 10}
        with writers(servers.kafka, postgres, topic, 1 if role == "client" else 0):
            ours = run_side("ours", "latency", **job)
    rate = ours["rate"]
    floor_job = {**servers.floor_job(), "topic": bare_topic, "rate": rate, "seconds": seconds}
    bare = run_side("floors", "latency", **floor_job)
    return [
        Figure(
            f"append_{name}_{percentile}",
            "ms",
            ours[percentile],
            target if name == "owner" else None,
            bare[percentile],
            f"at {rate:,.0f} appends/s, half of the highest rate; beside it the bare produce",
        )
        for percentile, target in TARGETS.items()
    ]
