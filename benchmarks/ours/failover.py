"""What callers notice when writers are killed, stopped, and restarted one after the other.

The caller is a client: it appends at an even rate, to every partition in turn, while writers in
processes of their own come and go.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import murmur2

from benchmarks import bank
from benchmarks.ours.opened import application
from benchmarks.processes import WriterProcess, wait_for_members, writers
from eventstore.errors import EventStoreError
from eventstore.store import ANY, Append, Appended, EventStore

RATE: Final = 100.0
"""Appends a second."""
PATIENCE_SECONDS: Final = 60.0


class Answer(NamedTuple):
    """What became of one append."""

    due: float
    seconds: float
    """From when it was due to its answer."""
    error: str | None


class Load:
    """Appends at an even rate from a thread of its own, from ``with`` to its end."""

    def __init__(self, store: EventStore, topic: str, partitions: int) -> None:
        self._store = store
        self._topic = topic
        self._streams = streams(partitions)
        self._answers: list[Answer] = []
        self._waiting: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.settled()

    def settled(self) -> None:
        """Wait until all that has been sent is answered."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while self._waiting and time.perf_counter() < deadline:
            time.sleep(0.01)

    def answers(self, since: float) -> list[Answer]:
        """What became of those that were due since then, once each is answered."""
        now = time.perf_counter()
        deadline = now + PATIENCE_SECONDS
        while any(due < now for due in tuple(self._waiting.values())):
            if time.perf_counter() > deadline:
                raise RuntimeError("appends were not answered")
            time.sleep(0.01)
        return [each for each in self._answers if each.due >= since]

    def _run(self) -> None:
        number, start = 0, time.perf_counter()
        while not self._ended.is_set():
            due = start + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            self._append(number, due)
            number += 1

    def _append(self, number: int, due: float) -> None:
        stream = self._streams[number % len(self._streams)]
        self._waiting[number] = due
        append = Append(self._topic, stream, [bank.event(number, 2)], ANY)

        def answered(future: Future[Appended]) -> None:
            error = future.exception()
            told = None if error is None else type(error).__name__
            self._answers.append(Answer(due, time.perf_counter() - due, told))
            del self._waiting[number]

        try:
            self._store.submit(append).add_done_callback(answered)
        except EventStoreError as error:
            self._answers.append(Answer(due, time.perf_counter() - due, type(error).__name__))
            del self._waiting[number]


def streams(partitions: int) -> list[str]:
    """A stream of each partition."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < partitions:
        stream = f"account-{number}"
        found.setdefault(murmur2(stream.encode(), partitions), stream)
        number += 1
    return [found[partition] for partition in range(partitions)]


def longest(answers: list[Answer]) -> dict[str, Any]:
    """The longest stall, and how many appends failed, by error."""
    failed = Counter(each.error for each in answers if each.error is not None)
    return {
        "seconds": max(each.seconds for each in answers),
        "appends": len(answers),
        "failed": dict(failed),
    }


class Trial:
    """Writers that are ended under a load."""

    def __init__(self, job: dict[str, Any], running: list[WriterProcess], load: Load) -> None:
        self._where = (job["kafka"], job["postgres"], job["topic"])
        self._quiet = job["quiet_seconds"]
        self._running = running
        self._load = load

    def settle(self) -> None:
        """Let the group come to rest, and all that was due be answered."""
        wait_for_members(self._where[0], self._where[2], self._running)
        time.sleep(self._quiet)
        self._load.answers(time.perf_counter())

    def kill(self) -> dict[str, Any]:
        """End one writer by SIGKILL, and start another when all is well again."""
        self.settle()
        since = time.perf_counter()
        self._running.pop(0).kill()
        self.settle()
        found = longest(self._load.answers(since))
        self._start()
        return found

    def stop(self) -> dict[str, Any]:
        """End one writer by SIGTERM, and start another."""
        self.settle()
        since = time.perf_counter()
        self._running.pop(0).stop()
        self.settle()
        found = longest(self._load.answers(since))
        self._start()
        return found

    def restart_all(self) -> dict[str, Any]:
        """Stop each writer and start another in its place, one after the other."""
        self.settle()
        since = time.perf_counter()
        for _ in tuple(self._running):
            self._running.pop(0).stop()
            self._start()
            self.settle()
        return longest(self._load.answers(since))

    def _start(self) -> None:
        self._running.append(WriterProcess(*self._where))


@contextmanager
def under_load(job: dict[str, Any], store: EventStore, number: int) -> Generator[Trial]:
    """So many writers, each partition served, and a load on them."""
    topic, partitions = job["topic"], job["partitions"]
    with writers(job["kafka"], job["postgres"], topic, number) as running:
        for stream in streams(partitions):
            store.submit(Append(topic, stream, [bank.event(0, 2)], ANY)).result()
        with Load(store, topic, partitions) as load:
            yield Trial(job, running, load)


def main() -> None:
    """Run one job; print what callers noticed."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    with application({**job, "role": "client"}) as app:
        with under_load(job, app.store, 2) as trial:
            found = {"killed": trial.kill(), "stopped": trial.stop()}
        with under_load(job, app.store, job["writers"]) as trial:
            found["restarted"] = trial.restart_all()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
