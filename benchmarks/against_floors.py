"""Ours against floors by hand: how large, how often, and what must be equal."""

from collections.abc import Mapping
from typing import Any

from benchmarks import checks
from benchmarks.measured import (
    ACKNOWLEDGED,
    COMMITTED,
    HEADS,
    Durable,
    Measured,
    Sizes,
    run_side,
)
from benchmarks.servers import PARTITIONS, Servers


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
    for _ in range(sizes.rounds):
        with servers.database() as ours, servers.database() as floor:
            found = run_side("floors", "catch_up_row", **floor_job, topic=topic, postgres=floor)
            measured.reference.append(found["value"])
            measured.bare.append(found["bare"])
            job = {"kafka": servers.kafka, "partitions": PARTITIONS, "topic": topic}
            found = run_side("ours", "catch_up_row", **job, postgres=ours, events=events)
            measured.ours.append(found["value"])
            rows = checks.equal_rows(ours, floor)
    measured.equal = f"{rows:,} rows of {events:,} events"
    return measured


def append_bulk(servers: Servers, sizes: Sizes) -> Measured:
    """Ten-event appends, 512 in flight, against encoding and producing the same events."""
    durable = Durable(ACKNOWLEDGED + HEADS, ACKNOWLEDGED)
    measured = Measured("append_bulk_vs_floor", "events/s", 0.5, durable)
    ours, floor, bare = map(servers.topic, ("bulk_ours", "bulk_floor", "bulk_bare"))
    floor_job = {**servers.floor_job(), "bare_topic": bare, "in_flight": 512}
    same = {"appends": sizes.bulk, "events": 10, "streams": sizes.bulk // 5}
    with servers.database() as postgres:
        for number in range(sizes.rounds):
            job = {**same, "prefix": f"account-{number}-", "warm": sizes.bulk // 10}
            found = run_side("floors", "append_bulk", **floor_job, **job, topic=floor)
            measured.reference.append(found["value"])
            measured.bare.append(found["bare"])
            measured.ours.append(append_job(servers, postgres, ours, "append_bulk", job))
    measured.equal = f"{checks.equal_records(servers.kafka, ours, floor, PARTITIONS):,} records"
    return measured


def append_single(servers: Servers, sizes: Sizes) -> Measured:
    """One event at a time, against a bare produce and its delivery report; the median of each."""
    durable = Durable(ACKNOWLEDGED + HEADS, ACKNOWLEDGED)
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
            found = run_side("floors", "append_single", **floor_job, **job, topic=floor)
            measured.reference.append(found["value"])
            measured.ours.append(append_job(servers, postgres, ours, "append_single", job))
    measured.bare = measured.reference
    measured.equal = f"{checks.equal_records(servers.kafka, ours, floor, PARTITIONS):,} records"
    return measured


def _append(servers: Servers, postgres: str, topic: str, appends: int, *, streams: int) -> None:
    """Fill a topic by appending to it."""
    job = {"prefix": "account-", "appends": appends, "events": 10, "streams": streams, "warm": 0}
    append_job(servers, postgres, topic, "append_bulk", job)


def append_job(
    servers: Servers, postgres: str, topic: str, script: str, job: Mapping[str, Any]
) -> float:
    """Run one of our appending scripts; its figure."""
    where = {"kafka": servers.kafka, "postgres": postgres, "topic": topic}
    return float(run_side("ours", script, **where, partitions=PARTITIONS, **job)["value"])
