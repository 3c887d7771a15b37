"""Loads streams of ten events that are spread over the whole partition, each for the first time.

No state of this shape is stored, as after a deployment that has changed it; and this process owns
nothing and remembers nothing.
"""

import json
import sys
import time
from typing import Any

from benchmarks import bank
from benchmarks.ours.long_fill import EVENTS, spread_streams
from benchmarks.ours.opened import application


def main() -> None:
    """Run one job; print the milliseconds of each ``get``, the first of which connects."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    found: list[float] = []
    with application({**job, "role": "client"}) as app:
        accounts = app.repository(bank.Account)
        for stream in spread_streams(job["events"])[: job["gets"]]:
            started = time.perf_counter()
            account = accounts.get(stream)
            found.append((time.perf_counter() - started) * 1000)
            if account.version != EVENTS:
                raise RuntimeError(f"expected {EVENTS} events of {stream}; found {account!r}")
    print(json.dumps({"milliseconds": found}))


if __name__ == "__main__":
    main()
