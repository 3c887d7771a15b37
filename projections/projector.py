"""The projector: reads, applies, and commits rows and positions together, exactly once.

For each batch of one partition, in one transaction:

1. *move* the position, by comparing first: anything but one row means that we were fenced;
2. *apply* the events to the read model;
3. *commit*, and know that it was a commit.

After anything else than a known commit the position is *settled*: read again, locked, so that a
commit whose outcome is unknown has one. What is held in memory changes only then. A batch that
fails is read again append by append; the partition whose append fails again stops before it,
and the others go on.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from eventstore._failpoints import reached
from eventstore.collector import uncollected
from eventstore.errors import LogError
from eventstore.events import Event
from eventstore.log import LogPosition
from eventstore.store import Recorded
from projections import defaults, positions
from projections._session import Session, is_passing
from projections.appliers import Applier, applier
from projections.errors import LogChanged, ProjectorFenced, Stop, TransactionEnded
from projections.generations import Generation
from projections.log import Batch, Log, TopicPartition
from projections.positions import Stored
from projections.projection import AnyProjection, SqlProjection

LOGGER: Final = logging.getLogger("projections")

_Apply: TypeAlias = Callable[[Sequence[Recorded[Event]]], None]


class Projector:
    """Feeds one generation from the partitions it has claimed; for one thread."""

    def __init__(
        self,
        projection: AnyProjection,
        generation: Generation,
        *,
        postgres: str,
        log: Log,
        check_topics: Callable[[], object] = lambda: None,
    ) -> None:
        self._projection, self.generation, self._log = projection, generation, log
        self._check_topics = check_topics
        self._owner: Final = positions.new_owner()
        self._session = Session(postgres, self._owner)
        self._connection = 0
        self._applier: Applier
        self._refresh()
        self._held: dict[TopicPartition, Stored] = {}
        self._moved_on = False
        self._seen = time.monotonic()
        self.stops: list[Stop] = []
        """Partitions that stand before an event that could not be applied."""
        self.fenced: dict[TopicPartition, ProjectorFenced] = {}
        """Partitions that another projector claimed."""

    @property
    def held(self) -> Mapping[TopicPartition, LogPosition]:
        """The partitions that it feeds, and where each stands: as committed."""
        return {key: stored.position for key, stored in self._held.items()}

    def claim(self, partitions: Iterable[TopicPartition]) -> None:
        """Take these partitions and start to read them, in place of what was held.

        Raises:
            TopicError: A topic is not the one that was recorded.
            LogChanged: The log does not hold the event that was applied last.
        """
        self._check_topics()
        self._held = {}
        for key in sorted(partitions):
            stored = positions.claim(self._session.raw, self.generation, key, self._owner)
            self._held[key] = stored
            self._check_last(stored)
            self.fenced.pop(key, None)
        self._reassign()

    def _check_last(self, stored: Stored) -> None:
        if stored.last is None:
            return
        offset, expected = stored.last
        found = self._log.event_id_at(*stored.key, offset)
        if found != expected:
            raise LogChanged(
                self._projection.name, *stored.key, offset=offset, expected=expected, found=found
            )

    def step(self) -> int:
        """Read once and apply what came; returns how many records were passed."""
        if self._moved_on:
            self._reassign()
        before = sum(position.next_offset for position in self.held.values())
        with uncollected():
            self._read_and_take()
        self._show_life()
        return max(0, sum(position.next_offset for position in self.held.values()) - before)

    def _read_and_take(self) -> None:
        for batch in self._read(self._batch_events()):
            if (batch.topic, batch.partition) in self._held:
                self._take(batch)
            if self._moved_on:
                break  # the reader no longer stands where these batches were read

    def _batch_events(self) -> int:
        is_sql = isinstance(self._projection, SqlProjection)
        return defaults.BATCH_EVENTS_SQL if is_sql else defaults.BATCH_EVENTS

    def behind(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        """The held partitions that have not been read up to these ends.

        An append that is still incomplete at the end holds the position, but not the reader.
        """
        # What was read ahead and dropped is not applied, though the reader has met the end.
        met = set[TopicPartition]() if self._moved_on else self._log.at_end()
        return [
            key
            for key, stored in self._held.items()
            if key not in met and stored.position.next_offset < ends.get(key, 0)
        ]

    def release(self) -> None:
        """Give up what is held, so that another projector can take it at once."""
        self._session.revive()
        positions.release(self._session.raw, self.generation, self._owner, self._held)
        self._held = {}

    def close(self) -> None:
        """Close the connection. What is held is not released, and counts as silent."""
        self._session.close()

    def _read(self, events: int) -> Sequence[Batch]:
        try:
            return self._log.read(events=events, timeout=defaults.READ_SECONDS)
        except LogError as error:
            key = (str(getattr(error, "topic", "")), int(getattr(error, "partition", -1)))
            if key not in self._held:
                raise
            offset = getattr(error, "offset", self._held[key].position.next_offset)
            self._stop(Stop(*key, int(offset), "", error))
            return []

    def _take(self, batch: Batch) -> None:
        if self._attempt(batch, self._apply) is not None:
            self._carefully(batch)

    def _apply(self, recorded: Sequence[Recorded[Event]]) -> None:
        self._applier.apply(recorded)  # another one after a reconnect

    def _attempt(self, batch: Batch, apply: _Apply) -> Exception | None:
        """Commit a batch; None: it is applied, or no longer ours. Passing errors are retried."""
        failure: Exception | None = None
        for attempt in range(defaults.RETRIES):
            try:
                self._commit(batch, apply)
            except Exception as error:  # noqa: BLE001 - user code may raise anything
                failure = error
            else:
                return None
            if self._settle(batch):
                if isinstance(failure, TransactionEnded):
                    raise failure  # the position moved, with who knows what
                return None
            if not is_passing(failure):
                break
            LOGGER.warning("%s: trying a batch again: %s", self._projection.name, failure)
            time.sleep(min(0.01 * 2**attempt, 1.0))
        return failure

    def _commit(self, batch: Batch, apply: _Apply) -> None:
        held = self._held[batch.topic, batch.partition]
        with self._session.transaction():
            moved = positions.move(self._session.raw, self.generation, held, batch)
            if moved is None:
                raise ProjectorFenced(self._projection.name, batch.topic, batch.partition, None)
            reached("after_move")
            if batch.recorded:
                apply(batch.recorded)
            reached("after_apply")
        reached("after_commit")
        self._held[batch.topic, batch.partition] = moved

    def _settle(self, batch: Batch) -> bool:
        """Read the position again, locked; whether there is nothing left to do for the batch."""
        self._session.revive()
        self._refresh()
        key = (batch.topic, batch.partition)
        held = self._held[key]
        stored = positions.read_locked(self._session.raw, self.generation, key)
        self._session.raw.rollback()
        if stored.owner_epoch != held.owner_epoch:
            self.fenced[key] = ProjectorFenced(self._projection.name, *key, stored.owner)
            LOGGER.warning("%s", self.fenced[key])
            self._drop(key)
            return True
        self._held[key] = stored
        if stored.position.next_offset == held.position.next_offset:
            return False
        if stored.position != batch.position:
            self._moved_on = True
        return True

    def _refresh(self) -> None:
        """Prepare for the session's connection, if it is a new one."""
        if self._connection != self._session.opened:
            self._applier = applier(self._session, self._projection, self.generation)
            self._session.raw.rollback()
            self._connection = self._session.opened

    def _carefully(self, batch: Batch) -> None:
        """Read the batch again append by append; stop before the one that fails."""
        key = (batch.topic, batch.partition)
        self._moved_on = True
        self._log.assign({key: self._held[key].position})
        end = batch.position.next_offset
        while key in self._held and self._held[key].position.next_offset < end:
            for small in self._read(1):
                self._take_append(small)

    def _take_append(self, batch: Batch) -> None:
        at: list[Recorded[Event]] = []

        def one_by_one(recorded: Sequence[Recorded[Event]]) -> None:
            for one in recorded:
                at[:] = [one]
                with self._session.savepoint():
                    self._applier.apply([one])

        cause = self._attempt(batch, one_by_one)
        if cause is not None:
            failed = at[0] if at else None
            offset, event_id = (failed.offset, failed.id) if failed else (-1, "")
            self._stop(Stop(batch.topic, batch.partition, offset, event_id, cause))

    def _stop(self, stop: Stop) -> None:
        LOGGER.error("%s stopped at %s", self._projection.name, stop)
        self.stops.append(stop)
        key = (stop.topic, stop.partition)
        positions.release(self._session.raw, self.generation, self._owner, [key])
        self._drop(key)

    def _drop(self, key: TopicPartition) -> None:
        del self._held[key]
        self._moved_on = True

    def _reassign(self) -> None:
        """Have the reader read what is held, from where each position stands."""
        self._log.assign(self.held)
        self._moved_on = False

    def _show_life(self) -> None:
        now = time.monotonic()
        if now - self._seen < defaults.HEARTBEAT_SECONDS:
            return
        self._seen = now
        self._session.revive()
        self._refresh()
        try:
            positions.seen(self._session.raw, self.generation, self._owner)
        except Exception as error:
            if not is_passing(error):
                raise
            LOGGER.warning("%s: no sign of life given: %s", self._projection.name, error)
            if not self._session.raw.closed:
                self._session.raw.rollback()
