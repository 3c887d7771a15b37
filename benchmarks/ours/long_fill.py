"""Fills one partition: many streams of ten events, appended whole, and some spread over all of it.

It is also the writer whose memory is looked at: one process appends everything.
"""

import gc
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, Final

from benchmarks import bank
from benchmarks.ours.opened import Parts
from benchmarks.processes import resident
from eventstore.store import Append, Appended, EventStore

TENTHS: Final = 10
EVENTS: Final = 10
"""Events of a stream."""


def spread_streams(events: int) -> list[str]:
    """The streams whose ten events are spread: one in each tenth of the partition."""
    return [f"spread-{number}" for number in range(max(1, min(1_000, events // 500)))]


def tenth(topic: str, number: int, events: int) -> Iterator[Append]:
    """The appends of one tenth: streams of ten events each, and one event of each spread one."""
    spread = spread_streams(events)
    whole = (events // TENTHS - len(spread)) // EVENTS
    every = whole // len(spread)
    for at in range(whole):
        stream, first = number * whole + at, (number * whole + at) * EVENTS
        made = [bank.event(first + i, i + 1) for i in range(EVENTS)]
        yield Append(topic, f"account-{stream}", made, 0, first_try=True)
        if at % every == 0 and at // every < len(spread):
            event = bank.event(first, number + 1)
            yield Append(topic, spread[at // every], [event], number, first_try=True)


def append_all(store: EventStore, appends: Iterator[Append]) -> int:
    """Append all, 512 in flight; the number of events."""
    futures: deque[Future[Appended]] = deque()
    events = 0
    for append in appends:
        events += len(append.events)
        futures.append(store.submit(append))
        while futures and futures[0].done():
            futures.popleft().result()
    for future in futures:
        future.result()
    return events


def main() -> None:
    """Run one job; show progress, and print the writer's memory after each tenth."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    memory: list[int] = []
    events, started = 0, time.perf_counter()
    gc.freeze()
    with Parts(job).store() as store:
        for number in range(TENTHS):
            before, began = events, time.perf_counter()
            events += append_all(store, tenth(job["topic"], number, job["events"]))
            rate = (events - before) / (time.perf_counter() - began)
            memory.append(resident(os.getpid()))
            print(
                f"  {(number + 1) / TENTHS:.0%}: {events:,} events, {rate:,.0f}/s, the writer "
                f"holds {memory[-1] / 1e6:,.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    seconds = time.perf_counter() - started
    print(json.dumps({"events": events, "seconds": seconds, "memory": memory}))


if __name__ == "__main__":
    main()
