"""Ten-event appends at the store port, 512 in flight: what `Repository.submit` stands on."""

import gc
import json
import sys
import time
from collections import deque
from concurrent.futures import Future
from typing import Any

from benchmarks import bank
from benchmarks.ours.opened import Parts
from eventstore.store import Append, Appended, EventStore


def run(store: EventStore, appends: list[Append]) -> float:
    """Append all; seconds until the last answer."""
    started = time.perf_counter()
    futures: deque[Future[Appended]] = deque()
    for append in appends:
        futures.append(store.submit(append))  # blocks while 512 are in flight
        while futures and futures[0].done():
            futures.popleft().result()
    for future in futures:
        future.result()
    return time.perf_counter() - started


def main() -> None:
    """Run one job; print events per second."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    appends = list(
        bank.appends(
            job["topic"],
            job["prefix"],
            appends=job["appends"],
            events=job["events"],
            streams=job["streams"],
        )
    )
    warm = job["warm"]
    gc.freeze()  # what was prepared is not the work that is measured
    with Parts(job).store() as store:
        run(store, appends[:warm])
        seconds = run(store, appends[warm:])
    print(json.dumps({"value": (len(appends) - warm) * job["events"] / seconds}))


if __name__ == "__main__":
    main()
