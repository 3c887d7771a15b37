"""Times edits, alike for both sides."""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.payments import Payment, names, payment, payments


class Edited(NamedTuple):
    """What an account holds in the end."""

    version: int
    balance: int


def edit_all(
    job: Mapping[str, Any],
    edit: Callable[[str, Payment], None],
    found: Callable[[str], Edited],
) -> dict[str, Any]:
    """Warm up on the first few accounts, edit each of the others once, then some by chance.

    Returns:
        ``cold`` and ``value``, edits per second of the two parts; ``found``, what the accounts
        hold in the end, to be compared.
    """
    everybody, warm, edits = names(job["prefix"], job["accounts"]), job["warm"], job["edits"]
    for n, name in enumerate(everybody[:warm]):
        edit(name, payment(n))
    known = everybody[warm:]
    todo = list(payments(known, edits))
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    for name, paid in todo[: len(known)]:
        edit(name, paid)
    between = time.perf_counter()
    for name, paid in todo[len(known) :]:
        edit(name, paid)
    ended = time.perf_counter()
    return {
        "cold": len(known) / (between - started),
        "value": edits / (ended - between),
        "found": [found(name) for name in everybody],
    }
