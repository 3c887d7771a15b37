"""Ours against pyeventsourcing on the same PostgreSQL: edits one by one, and bulk appends.

Beside each pair stands one more, against pyeventsourcing at its fastest: with its function in the
database, which takes no table lock, its cache of aggregates, and four threads for saves.
"""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.against_floors import append_job
from benchmarks.checks import Unequal
from benchmarks.measured import ACKNOWLEDGED, FLUSHED, HEADS, Durable, Measured, Sizes, run_side
from benchmarks.processes import writers
from benchmarks.servers import PARTITIONS, Servers

THEIRS: Final = "rows committed with fsync on and synchronous_commit=on"
PEER: Final = "vs_pyeventsourcing"
THREADS: Final = 4
PEERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "": {"fastest": False, "threads": 1},
    "_fastest": {"fastest": True, "threads": THREADS},
}
"""As it is shipped, and at its fastest."""


def append(servers: Servers, sizes: Sizes) -> list[Measured]:
    """Ten-event appends, 512 in flight, against ten-event saves."""
    acknowledged, flushed = servers.topic("append"), servers.flushed_topic("append_flushed")
    name, durable = f"append_{PEER}", Durable(ACKNOWLEDGED + HEADS, THEIRS)
    found = {end: _a_second(name + end, "events", durable) for end in PEERS}
    found[""].target = 12.0
    on_disk = _a_second(f"append_flushed_{PEER}", "events", Durable(FLUSHED + HEADS, THEIRS))
    with servers.database() as ours:
        for number in range(sizes.rounds):
            job = {"prefix": f"account-{number}-", "events": 10, "warm": sizes.saves // 10}
            for end, peer in PEERS.items():
                with servers.database() as theirs:
                    saved = run_side(
                        "peer", "append", postgres=theirs, appends=sizes.saves, **job, **peer
                    )
                _check_saved(saved["events"], sizes.saves * 10)
                found[end].reference.append(saved["value"])
            on_disk.reference = found[""].reference
            bulk = {**job, "appends": sizes.bulk, "streams": sizes.bulk, "warm": sizes.bulk // 10}
            value = append_job(servers, ours, acknowledged, "append_bulk", bulk)
            for measured in found.values():
                measured.ours.append(value)
            bulk |= {"appends": sizes.saves, "streams": sizes.saves, "warm": sizes.saves // 10}
            on_disk.ours.append(append_job(servers, ours, flushed, "append_bulk", bulk))
    return [*found.values(), on_disk]


def edit_owner(servers: Servers, sizes: Sizes) -> list[Measured]:
    """Load, decide, save, one after the other, from the process that owns the partitions."""
    flushed = servers.flushed_topic("edit_flushed")
    found = _edits("edit_owner", servers.topic("edit"), servers, sizes, flushed=flushed)
    found[0].target = 1.5
    return found


def edit_elsewhere(servers: Servers, sizes: Sizes) -> list[Measured]:
    """The same from a process that owns nothing: each save is a request to the writer."""
    topic = servers.topic("edit_elsewhere")
    found = _edits("edit_elsewhere", topic, servers, sizes, role="client")
    found[0].target = 0.5
    return found


def _edits(
    name: str,
    topic: str,
    servers: Servers,
    sizes: Sizes,
    *,
    role: str = "writer",
    flushed: str | None = None,
) -> list[Measured]:
    """Edits per second: of accounts that the process has edited before; then, of those it has not.

    The other process, for a client, is `foldlog writers`.
    """
    both, on_disk = Durable(ACKNOWLEDGED + HEADS, THEIRS), Durable(FLUSHED + HEADS, THEIRS)
    rows = {end: _a_second(f"{name}_{PEER}{end}", "edits", both) for end in PEERS}
    cold = _a_second(f"{name}_cold_{PEER}", "edits", both)
    disk = _a_second(f"{name}_flushed_{PEER}", "edits", on_disk)
    sized = {"accounts": sizes.accounts, "warm": sizes.accounts // 6, "edits": sizes.edits}
    with servers.database() as postgres:
        for number in range(sizes.rounds):
            job = {**sized, "prefix": f"round-{number}-"}
            mine = _edit(servers, postgres, {**job, "topic": topic}, role)
            for end, measured in rows.items():
                their = _peer_edits(servers, {**job, **PEERS[end], "threads": 1}, mine["found"])
                measured.ours.append(mine["value"])
                measured.reference.append(their["value"])
                if not end:
                    cold.ours.append(mine["cold"])
                    cold.reference.append(their["cold"])
            if flushed is not None:
                value = _edit(servers, postgres, {**job, "topic": flushed}, role)["value"]
                disk.ours.append(value)
    disk.reference = rows[""].reference
    found = [*rows.values(), cold, *([disk] if flushed else [])]
    for measured in found:
        measured.equal = f"{sizes.accounts:,} balances"
    return found


def _edit(servers: Servers, postgres: str, job: Mapping[str, Any], role: str) -> dict[str, Any]:
    where = {"kafka": servers.kafka, "postgres": postgres, "partitions": PARTITIONS, **job}
    run_side("ours", "open_accounts", **where, role="writer")
    with writers(servers.kafka, postgres, job["topic"], 1 if role == "client" else 0):
        return run_side("ours", "edit", **where, role=role)


def _peer_edits(servers: Servers, job: Mapping[str, Any], found: Any) -> dict[str, Any]:
    with servers.database() as postgres:
        their = run_side("peer", "edit", postgres=postgres, **job)
    if their["found"] != found:
        raise Unequal("the accounts of the two sides do not hold the same")
    return their


def _check_saved(found: int, expected: int) -> None:
    if found != expected:
        raise Unequal(f"expected {expected:,} events saved; found {found:,}")


def _a_second(name: str, what: str, durable: Durable) -> Measured:
    return Measured(name, f"{what}/s", None, durable)
