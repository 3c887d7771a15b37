"""Runs the pairs side by side, prints a table, and writes it to ``build/bench.json``.

See `benchmarks/README.md` for how to read it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.pairs import PAIRS, QUICK, Measured, Sizes
from benchmarks.servers import Servers
from foldlog import migrations
from foldlog.embedded import Stack

OUTPUT = Path(__file__).parent.parent / "build" / "bench.json"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", choices=[[], *PAIRS], help="which pairs; all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only to see it work")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the JSON goes")
    parser.add_argument("--kafka", help="an address, instead of a server of its own")
    parser.add_argument("--postgres", help="a URL, instead of a server of its own")
    return parser.parse_args()


def measure(names: Sequence[str], sizes: Sizes, servers: Servers) -> list[Measured]:
    """Run the named pairs; says what it is doing."""
    measured: list[Measured] = []
    for name in names or PAIRS:
        started = time.perf_counter()
        measured.append(PAIRS[name](servers, sizes))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return measured


def shown(measured: Sequence[Measured]) -> Table:
    """The table."""
    table = Table(title="Ours against a floor by hand: medians (lowest to highest round)")
    for column in ("pair", "unit", "ours", "floor", "ratio", "target", "client's share", "equal"):
        table.add_column(column, overflow="fold")
    for one in measured:
        table.add_row(
            one.name,
            one.unit,
            _spread(one.ours),
            _spread(one.reference),
            f"{one.ratio:.2f}",
            f"{one.target:.2f}",
            f"{one.share:.0%}",
            one.equal,
        )
    return table


def _spread(figures: Sequence[float]) -> str:
    digits = 0 if min(figures) > 100 else 3
    median, low, high = statistics.median(figures), min(figures), max(figures)
    return f"{median:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def write(measured: Sequence[Measured], output: Path) -> None:
    """Write name to unit, ours, reference and ratio; a ratio is higher-is-better."""
    found = {
        one.name: {
            "unit": one.unit,
            "ours": statistics.median(one.ours),
            "reference": statistics.median(one.reference),
            "ratio": one.ratio,
        }
        for one in measured
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure on given servers, or on embedded ones with PostgreSQL's fsync on."""
    asked = arguments()
    sizes = QUICK if asked.quick else Sizes()
    if asked.kafka and asked.postgres:
        measured = measure(asked.pairs, sizes, Servers(asked.kafka, asked.postgres))
    else:
        with Stack(say=print) as stack:
            migrations.upgrade(stack.postgres)
            measured = measure(asked.pairs, sizes, Servers(stack.kafka, stack.postgres))
    console = Console(width=150)
    console.print(shown(measured))
    for one in measured:
        console.print(f"{one.name}: durable: ours: {one.durable.ours}")
        console.print(f"{one.name}: durable: floor: {one.durable.reference}")
    write(measured, asked.output)


if __name__ == "__main__":
    main()
