"""Searches the large worlds, and prints what was found: ``python -m tests.model --seconds 600``."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from tests.model.mutants import ANY_1, BELTS, DEEP, MUTANTS, NEW_1, NEXT_1, QUICK, Mutant
from tests.model.search import Explored, explore
from tests.model.worlds import world_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Search everything; 1: something was found that must not be."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="CPU seconds in all")
    parser.add_argument("--whole", action="store_true", help="the protocol alone, no mutants")
    given = parser.parse_args(arguments)
    left, wrong = float(given.seconds), 0
    print("The protocol: nothing may go wrong.\n")  # noqa: T201
    for bounds in QUICK:  # whole, however little time is given
        found = explore(world_of(bounds))
        left -= found.seconds
        wrong += not found.complete
        _show(bounds.told(), found)
    for number, bounds in enumerate(DEEP):
        found = explore(world_of(bounds), seconds=max(1.0, left / (len(DEEP) - number)))
        left -= found.seconds
        wrong += found.violation is not None
        _show(bounds.told(), found)
    if given.whole:
        return 1 if wrong else 0
    print("\nWithout an ingredient: the shortest way to what goes wrong.\n")  # noqa: T201
    for mutant in MUTANTS:
        wrong += _search(mutant)
    print("\nWithout a belt: nothing goes wrong, within the bounds.\n")  # noqa: T201
    for mutant in BELTS:
        commands = (ANY_1, ANY_1)
        if mutant.bounds.checkpoints or mutant.bounds.requests:
            commands = (NEW_1, NEXT_1)
        wrong += _search(replace(mutant, bounds=replace(mutant.bounds, commands=commands)))
    return 1 if wrong else 0


def _search(mutant: Mutant) -> bool:
    found = explore(mutant.world, seconds=60.0)
    _show(mutant.name, found)
    return found.violation != mutant.violation


def _show(what: str, found: Explored) -> None:
    outcome = found.violation or ("all of it" if found.complete else "not all of it")
    print(  # noqa: T201
        f"{what}: {found.states:,} states, {found.logs:,} logs, {found.depth} steps deep, "
        f"{found.seconds:.1f} s: {outcome}",
        flush=True,
    )
    for number, step in enumerate(found.trace, 1):
        print(f"    {number:2}. {step}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
