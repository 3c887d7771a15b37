"""What callers notice when writers are killed, stopped, and restarted one after the other."""

from typing import Any

from benchmarks.measured import Figure, Sizes, run_side
from benchmarks.servers import PARTITIONS, Servers


def failover(servers: Servers, sizes: Sizes) -> list[Figure]:
    """The longest stall of any append after a kill, after a stop, and in a rolling restart."""
    with servers.database() as postgres:
        found = run_side(
            "ours",
            "failover",
            kafka=servers.kafka,
            postgres=postgres,
            topic=servers.topic("failover"),
            partitions=PARTITIONS,
            writers=sizes.writers,
            quiet_seconds=sizes.quiet_seconds,
        )
    restarted = found["restarted"]
    failed = sum(restarted["failed"].values())
    return [
        _stall("failover_killed", found["killed"], 12.0),
        _stall("failover_stopped", found["stopped"], 1.0),
        _stall("rolling_restart_stall", restarted, None),
        Figure("rolling_restart_failed", "appends", failed, 0.0, note=_told(restarted)),
    ]


def _stall(name: str, found: dict[str, Any], target: float | None) -> Figure:
    return Figure(name, "s", found["seconds"], target, note=_told(found))


def _told(found: dict[str, Any]) -> str:
    failed = ", ".join(f"{number} {error}" for error, number in found["failed"].items())
    return f"of {found['appends']:,} appends at 100/s failed: {failed or 'none'}"
