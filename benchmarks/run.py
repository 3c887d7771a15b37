"""Measures everything side by side, prints two tables, and writes ``build/bench.json``.

See `benchmarks/README.md` for how to read them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Final, TypeAlias

from rich.console import Console
from rich.table import Table

from benchmarks import against_floors, against_peer, failover, latency
from benchmarks.cores import upper_half
from benchmarks.measured import QUICK, Figure, Measured, Sizes, as_json
from benchmarks.servers import Servers
from foldlog import migrations
from foldlog.embedded import Stack

OUTPUT: Final = Path(__file__).parent.parent / "build" / "bench.json"

Found: TypeAlias = Sequence[Measured] | Sequence[Figure]

PARTS: Final[Mapping[str, Callable[[Servers, Sizes], Found]]] = {
    "catch_up_row_vs_floor": lambda servers, sizes: [against_floors.catch_up_row(servers, sizes)],
    "append_bulk_vs_floor": lambda servers, sizes: [against_floors.append_bulk(servers, sizes)],
    "append_single_vs_floor": lambda servers, sizes: [against_floors.append_single(servers, sizes)],
    "append_vs_pyeventsourcing": against_peer.append,
    "edit_owner_vs_pyeventsourcing": against_peer.edit_owner,
    "edit_elsewhere_vs_pyeventsourcing": against_peer.edit_elsewhere,
    "latency_owner": latency.owner,
    "latency_elsewhere": latency.elsewhere,
    "failover": failover.failover,
}
"""What can be asked for by name, in the order in which it runs."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="which of them; all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see it work")
    parser.add_argument(
        "--anywhere", action="store_true", help="servers on all processors, not on half of them"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON goes")
    parser.add_argument("--kafka", help="an address, instead of a server of its own")
    parser.add_argument("--postgres", help="a URL, instead of a server of its own")
    return parser.parse_args()


def measure(names: Sequence[str], sizes: Sizes, servers: Servers) -> list[Measured | Figure]:
    """Run what is named; says what it is doing."""
    measured: list[Measured | Figure] = []
    for name in names or PARTS:
        started = time.perf_counter()
        measured += PARTS[name](servers, sizes)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return measured


def pairs_table(measured: Sequence[Measured]) -> Table:
    """The table of what was measured on two sides."""
    table = Table(title="Ours against another: medians (lowest to highest round)")
    for column in ("pair", "unit", "ours", "other", "ratio", "target", "client's share", "equal"):
        table.add_column(column, overflow="fold")
    for one in measured:
        table.add_row(
            one.name,
            one.unit,
            _spread(one.ours),
            _spread(one.reference),
            f"{one.ratio:.2f}",
            "" if one.target is None else f"{one.target:.2f}",
            "" if one.share is None else f"{one.share:.0%}",
            one.equal,
        )
    return table


def figures_table(figures: Sequence[Figure]) -> Table:
    """The table of figures that have targets of their own."""
    table = Table(title="Latency and failover: lower is better")
    for column in ("figure", "unit", "ours", "target", "bare client", "note"):
        table.add_column(column, overflow="fold")
    for one in figures:
        values = (one.ours, one.target, one.reference)
        shown = ["" if each is None else f"{each:,.3g}" for each in values]
        table.add_row(one.name, one.unit, *shown, one.note)
    return table


def _spread(figures: Sequence[float]) -> str:
    digits = 0 if min(figures) > 100 else 3
    median, low, high = statistics.median(figures), min(figures), max(figures)
    return f"{median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def show(measured: Sequence[Measured | Figure]) -> None:
    """Print the tables, and what is durable on each side."""
    console = Console(width=180)
    pairs = [one for one in measured if isinstance(one, Measured)]
    figures = [one for one in measured if isinstance(one, Figure)]
    if pairs:
        console.print(pairs_table(pairs))
    if figures:
        console.print(figures_table(figures))
    for durable in dict.fromkeys(one.durable for one in pairs):
        names = ", ".join(one.name for one in pairs if one.durable == durable)
        console.print(f"durable in {names}:\n  ours: {durable.ours}\n  other: {durable.reference}")


def write(measured: Sequence[Measured | Figure], output: Path) -> None:
    """Write name to unit, ours, reference and ratio; a ratio is higher-is-better."""
    output.parent.mkdir(parents=True, exist_ok=True)
    found = {one.name: as_json(one) for one in measured}
    output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure on given servers as they are, or on warm embedded ones with PostgreSQL's fsync on."""
    asked = arguments()
    sizes = QUICK if asked.quick else Sizes()
    if asked.kafka and asked.postgres:
        measured = measure(asked.parts, sizes, Servers(asked.kafka, asked.postgres))
    else:
        with ExitStack() as opened:
            with nullcontext() if asked.anywhere else upper_half():
                stack = opened.enter_context(Stack(say=print))
            migrations.upgrade(stack.postgres)
            servers = Servers(stack.kafka, stack.postgres)
            print("warming up", flush=True)
            latency.warm_up(servers, sizes)
            measured = measure(asked.parts, sizes, servers)
    show(measured)
    write(measured, asked.output)


if __name__ == "__main__":
    main()
