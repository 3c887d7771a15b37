"""Measures on ten million events in a million streams, in one partition.

They are appended once, into a folder that is used again; remove it (``make clean``) to begin
anew. Prints a table, and writes ``build/bench-long.json``.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.measured import HERE, Figure, as_json, run_side
from benchmarks.run import figures_table
from benchmarks.servers import Servers
from foldlog import migrations
from foldlog.embedded import Stack

BUILD: Final = HERE.parent / "build"
TOPIC: Final = "long"
GETS: Final = 100
QUIET_SECONDS: Final = 3.0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which of them; all")
    parser.add_argument("--events", type=int, default=10_000_000, help="how many events")
    parser.add_argument("--data", type=Path, default=BUILD / "long", help="where they are kept")
    parser.add_argument("--kafka", help="an address, to measure there and keep nothing")
    parser.add_argument("--postgres", help="a URL, as well")
    parser.add_argument("--output", type=Path, default=BUILD / "bench-long.json", help="the JSON")
    return parser.parse_args()


def fill(job: dict[str, Any]) -> dict[str, Any]:
    """Append the events to one partition; what is known of them and of their writer."""
    print(f"appending {job['events']:,} events to one partition", flush=True)
    command = [sys.executable, str(HERE / "ours" / "long_fill.py"), json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def filled(data: Path, job: dict[str, Any]) -> dict[str, Any]:
    """What is known of the events in the folder, which are appended if they are not there."""
    told = data / "filled.json"
    if told.exists():
        found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        print(f"using the {found['events']:,} events in {data}")
        return found
    found = fill(job)
    told.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def begin_anew_if_other(data: Path, events: int) -> None:
    """Remove a folder whose events are fewer or more than asked for, or were never all there."""
    told = data / "filled.json"
    if data.exists():
        found = json.loads(told.read_text(encoding="utf-8"))["events"] if told.exists() else 0
        if found != events:
            print(f"removing {data}: it holds {found:,} whole events")
            shutil.rmtree(data)


def memory(found: dict[str, Any]) -> Figure:
    """How much more the writer held after all events than after half of them."""
    held = [each / 1e6 for each in found["memory"]]
    tenths, rate = ", ".join(f"{each:.0f}" for each in held), found["events"] / found["seconds"]
    return Figure(
        "long_memory_growth",
        "MB",
        held[-1] - held[len(held) // 2 - 1],
        10.0,
        note=f"the writer's memory after each tenth, MB: {tenths}; {rate:,.0f} events/s",
    )


def get(job: dict[str, Any]) -> Figure:
    """A stream of ten events spread over the partition, with no state of its shape stored."""
    milliseconds = run_side("ours", "long_get", **job, gets=GETS)["milliseconds"]
    return Figure(
        "long_get",
        "ms",
        statistics.median(milliseconds[1:]),
        100.0,
        note=f"longest of {len(milliseconds) - 1}: {max(milliseconds[1:]):.0f} ms; the first, "
        f"which connects: {milliseconds[0]:.0f} ms",
    )


def failover(job: dict[str, Any]) -> Figure:
    """The longest stall of any append after the partition's writer was killed."""
    found = run_side("ours", "long_failover", **job, quiet_seconds=QUIET_SECONDS)
    failed = sum(found["failed"].values())
    note = f"{found['appends']:,} appends at 100/s, {failed} failed"
    return Figure("long_failover_killed", "s", found["seconds"], 17.0, note=note)


PARTS: Final[Mapping[str, Callable[[dict[str, Any], dict[str, Any]], Figure]]] = {
    "memory": lambda _, found: memory(found),
    "get": lambda job, _: get(job),
    "failover": lambda job, _: failover(job),
}
"""What can be asked for by name."""


def measure(names: Sequence[str], job: dict[str, Any], found: dict[str, Any]) -> list[Figure]:
    """What is named; says what it is doing."""
    figures: list[Figure] = []
    for name in names or PARTS:
        figures.append(PARTS[name](job, found))
        print(f"{figures[-1].name}: {figures[-1].ours:,.3g} {figures[-1].unit}", flush=True)
    return figures


def main() -> None:
    """Append the events, unless they are there, and measure."""
    asked = arguments()
    job = {"topic": TOPIC, "partitions": 1, "events": asked.events}
    if asked.kafka and asked.postgres:
        servers = Servers(asked.kafka, asked.postgres)
        job["topic"] = servers.topic("long", partitions=1)
        with servers.database() as postgres:
            job |= {"kafka": asked.kafka, "postgres": postgres}
            figures = measure(asked.parts, job, fill(job))
    else:
        begin_anew_if_other(asked.data, asked.events)
        with Stack(asked.data, say=print) as stack:
            migrations.upgrade(stack.postgres)
            job |= {"kafka": stack.kafka, "postgres": stack.postgres}
            figures = measure(asked.parts, job, filled(asked.data, job))
    Console(width=180).print(figures_table(figures))
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    written = {one.name: as_json(one) for one in figures}
    asked.output.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
