"""Catching up: to the ends of the log as they are when it begins, and no further.

A position whose owner was seen within `OWNER_SEEN_SECONDS` is waited for, not taken. If it does
not move for a while, what is left before the end is read without applying it: an append that
is still incomplete holds a position for as long as it likes.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from eventstore.errors import OffsetGone
from eventstore.log import LogPosition
from projections import defaults, positions
from projections._setting import Setting, raise_stops
from projections.generations import Generation
from projections.log import Log, TopicPartition
from projections.positions import Stored
from projections.progress import Listener, Meter
from projections.projector import Projector

_LOOK_SECONDS: Final = 0.2
_STILL_SECONDS: Final = 2.0


def catch_up(setting: Setting, generation: Generation, listener: Listener | None = None) -> None:
    """Bring a generation to the log's ends, in one process or by waiting for another.

    Raises:
        ProjectionStopped: Some events could not be applied; everything else was.
        OffsetGone: The log ends before a position: it is not the log that was followed.
    """
    with setting.projector(generation) as (projector, log):
        with setting.connect() as db:
            before = positions.read(db, generation)
        ends = setting.ends(log)
        _check_held(before, ends)
        waiting = _Waiting(setting, generation, ends)
        while waiting.left:
            stored = waiting.look()
            free = [key for key in waiting.left if not stored[key].is_owned]
            if free:
                projector.claim(free)
                to_ends(projector, ends, listener)
                waiting.left -= set(free) - set(projector.fenced)
                projector.release()
            elif waiting.left:
                waiting.wait(log)
        raise_stops(projector)


def _check_held(
    before: Mapping[TopicPartition, Stored], ends: Mapping[TopicPartition, int]
) -> None:
    """A position, read before the ends were asked for, cannot be beyond them."""
    for key, stored in before.items():
        if stored.position.next_offset > ends[key]:
            raise OffsetGone(*key, stored.position.next_offset, f"an end at {ends[key]}")


def to_ends(
    projector: Projector,
    ends: Mapping[TopicPartition, int],
    listener: Listener | None = None,
    *,
    until: Callable[[], bool] = lambda: False,
) -> int:
    """Step until every held partition has reached its end; returns the records passed."""
    meter = Meter(projector.generation, projector.held, ends, listener)
    passed = 0
    meter.tell(projector.held)
    while projector.behind(ends) and not until():
        passed += projector.step()
        meter.tell(projector.held)
    return passed


class _Waiting:
    """The partitions that have not reached their ends yet, by us or by others."""

    def __init__(
        self, setting: Setting, generation: Generation, ends: Mapping[TopicPartition, int]
    ) -> None:
        self._setting, self._generation, self._ends = setting, generation, ends
        self.left = set(setting.keys)
        self._stored: Mapping[TopicPartition, Stored] = {}
        self._moved = time.monotonic()

    def look(self) -> Mapping[TopicPartition, Stored]:
        """Read the positions; those that have reached their ends are left no more."""
        with self._setting.connect() as db:
            stored = positions.read(db, self._generation)
        if _offsets(stored) != _offsets(self._stored):
            self._moved = time.monotonic()
        self._stored = stored
        self.left = {key for key in self.left if stored[key].position.next_offset < self._ends[key]}
        return stored

    def wait(self, log: Log) -> None:
        """Give the owners time; when nothing moves, see whether anything is left at all."""
        time.sleep(_LOOK_SECONDS)
        if time.monotonic() - self._moved > _STILL_SECONDS:
            self.left -= _without_events(
                log, {key: self._stored[key].position for key in self.left}
            )
            self._moved = time.monotonic()


def _offsets(stored: Mapping[TopicPartition, Stored]) -> dict[TopicPartition, int]:
    return {key: one.position.next_offset for key, one in stored.items()}


def _without_events(log: Log, where: Mapping[TopicPartition, LogPosition]) -> set[TopicPartition]:
    """The partitions that have no valid event between a position and the end."""
    log.assign(where)
    undecided, empty = set(where), set[TopicPartition]()
    deadline = time.monotonic() + defaults.OWNER_SEEN_SECONDS
    while undecided and time.monotonic() < deadline:
        for batch in log.read(events=defaults.BATCH_EVENTS, timeout=defaults.READ_SECONDS):
            if batch.last is not None:
                undecided.discard((batch.topic, batch.partition))
        met = undecided & log.at_end()
        empty |= met
        undecided -= met
    return empty
