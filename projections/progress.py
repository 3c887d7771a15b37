"""Progress: how far a catch-up or a rebuild has come, how fast, and how long it still takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from eventstore.log import LogPosition
from projections.generations import Generation
from projections.log import TopicPartition


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a catch-up or rebuild."""

    projection: str
    generation: int
    done: int
    """Records passed since it began."""
    total: int
    """Records between where it began and the ends of the log as they were then."""
    seconds: float
    """Seconds since it began."""

    @property
    def rate(self) -> float:
        """Records per second so far."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that it still takes at this rate; None: not known yet."""
        return (self.total - self.done) / self.rate if self.done else None


Listener: TypeAlias = Callable[[Progress], None]
"""Told after every batch, at the start and at the end."""


class Meter:
    """Measures from the positions held at the start to the ends aimed at."""

    def __init__(
        self,
        generation: Generation,
        start: Mapping[TopicPartition, LogPosition],
        ends: Mapping[TopicPartition, int],
        listener: Listener | None,
    ) -> None:
        self._names = (generation.projection, generation.number)
        self._ends, self._listener = ends, listener
        self._left = {key: self._distance(key, where) for key, where in start.items()}
        self._total = sum(self._left.values())
        self._began = time.monotonic()

    def tell(self, held: Mapping[TopicPartition, LogPosition]) -> None:
        """Tell the listener where things stand."""
        if self._listener is None:
            return
        for key, where in held.items():
            self._left[key] = self._distance(key, where)
        done = self._total - sum(self._left.values())
        seconds = time.monotonic() - self._began
        self._listener(Progress(*self._names, done, self._total, seconds))

    def _distance(self, key: TopicPartition, where: LogPosition) -> int:
        return max(0, self._ends.get(key, 0) - where.next_offset)
