"""Sends at an even rate, whatever becomes of what was sent before.

A latency counts from when a send was due, not from when it was made: who waits for a slow answer
before sending the next one would leave out all that is late because of it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

SPIN_SECONDS: Final = 0.0002
"""Sleeping shorter than this takes longer than it says."""
ANSWER_SECONDS: Final = 60.0


class Latencies:
    """When each send was due, and how long after that it was answered."""

    def __init__(self, rate: float, sends: int) -> None:
        self._rate = rate
        self._start = 0.0
        self._late = [0.0] * sends
        self._left = sends
        self._all = threading.Event()

    def send_evenly(self, send: Callable[[int], None]) -> None:
        """Call ``send`` with 0, 1, 2, … when each is due, or as soon as possible after."""
        clock, sleep = time.perf_counter, time.sleep
        self._start = start = clock()
        for number in range(len(self._late)):
            due = start + number / self._rate
            while (ahead := due - clock()) > 0:
                sleep(max(ahead, SPIN_SECONDS))
            send(number)

    def answered(self, number: int) -> None:
        """The answer to this send has come; called from one thread."""
        self._late[number] = time.perf_counter() - self._start - number / self._rate
        self._left -= 1
        if not self._left:
            self._all.set()

    def wait(self) -> None:
        """Wait until all are answered.

        Raises:
            TimeoutError: An answer does not come.
        """
        if not self._all.wait(ANSWER_SECONDS):
            raise TimeoutError(f"{self._left} of {len(self._late)} were not answered")

    def milliseconds(self) -> Mapping[str, float]:
        """The latencies: half of them, and all but a hundredth, are at most so long."""
        ordered = sorted(self._late)
        return {
            "p50": ordered[len(ordered) // 2] * 1000,
            "p99": ordered[len(ordered) * 99 // 100] * 1000,
        }
