"""One event at a time at the store port: known streams, partitions that are owned."""

import json
import statistics
import sys
import time
from typing import Any

from benchmarks import bank
from benchmarks.ours.opened import Parts


def main() -> None:
    """Run one job; print the median in milliseconds."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    appends = list(
        bank.appends(
            job["topic"], job["prefix"], appends=job["appends"], events=1, streams=job["streams"]
        )
    )
    milliseconds: list[float] = []
    with Parts(job).store() as store:
        for append in appends:
            started = time.perf_counter()
            store.submit(append).result()
            milliseconds.append((time.perf_counter() - started) * 1000)
    print(json.dumps({"value": statistics.median(milliseconds[job["warm"] :])}))


if __name__ == "__main__":
    main()
