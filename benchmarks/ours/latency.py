"""Single events at half of the highest rate: the latency of each append from when it was due."""

import gc
import json
import sys
import time
from concurrent.futures import Future
from typing import Any, Final

from benchmarks import bank
from benchmarks.open_loop import Latencies
from benchmarks.ours.append_bulk import run
from benchmarks.ours.opened import application
from eventstore.store import Append, Appended, EventStore

STREAMS: Final = 1_000
WARM: Final = 2 * STREAMS


def highest_rate(store: EventStore, job: dict[str, Any]) -> float:
    """Appends a second, 512 in flight."""
    appends = _appends(job, "rate-", WARM + job["single"])
    run(store, appends[:WARM])
    return (len(appends) - WARM) / run(store, appends[WARM:])


def latencies(store: EventStore, job: dict[str, Any], rate: float) -> Latencies:
    """The latency of each of a second's ``rate`` appends, for so many seconds."""
    appends = _appends(job, "even-", int(WARM + rate * job["seconds"]))
    run(store, appends[:WARM])
    appends = appends[WARM:]
    found = Latencies(rate, len(appends))
    failed: list[BaseException] = []
    gc.collect()
    gc.freeze()

    def send(number: int) -> None:
        def answered(future: Future[Appended]) -> None:
            found.answered(number)
            if (error := future.exception()) is not None:
                failed.append(error)

        # No future is kept: the collector would have to look at all of them.
        store.submit(appends[number]).add_done_callback(answered)

    found.send_evenly(send)
    found.wait()
    if failed:
        raise failed[0]
    return found


def _appends(job: dict[str, Any], prefix: str, number: int) -> list[Append]:
    made = bank.appends(job["topic"], prefix, appends=number, events=1, streams=STREAMS)
    return list(made)


def main() -> None:
    """Run one job; print the rate, and the latencies in milliseconds."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    with application(job) as app:
        rate = highest_rate(app.store, job) / 2
        time.sleep(0.5)
        found = latencies(app.store, job, rate)
    print(json.dumps({"rate": rate, **found.milliseconds()}))


if __name__ == "__main__":
    main()
