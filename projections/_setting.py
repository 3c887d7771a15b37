"""What a read model is kept with: its projection, its database and its log."""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.postgres.address import connect
from projections import generations, views
from projections.errors import ProjectionStopped
from projections.generations import Generation
from projections.log import Log, LogFactory, TopicPartition
from projections.projection import AnyProjection
from projections.projector import Projector


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a read model is kept with; the same for catching up, following and rebuilding."""

    projection: AnyProjection
    postgres: str
    """The database's address, which may hold a password: it is not in the repr."""
    log: LogFactory
    """Opens readers of the log."""
    partitions: Mapping[str, int]
    """Topic to its number of partitions, for the topics of the projection's aggregates."""
    check_topics: Callable[[], object]
    """Raises if a topic is not the one that was recorded."""
    read_schema: str
    """The PostgreSQL schema in which readers see the views."""

    def __repr__(self) -> str:
        return f"Setting({self.projection.name!r}, {dict(self.partitions)})"

    @property
    def keys(self) -> list[TopicPartition]:
        """All partitions of its topics."""
        return [
            (topic, partition)
            for topic, count in sorted(self.partitions.items())
            for partition in range(count)
        ]

    def connect(self) -> closing[Connection[TupleRow]]:
        """A connection for a short while: ``with setting.connect() as db``."""
        return closing(connect(self.postgres))

    def ends(self, log: Log) -> dict[TopicPartition, int]:
        """The end offset of each partition now."""
        return {
            (topic, partition): end
            for topic in sorted(self.partitions)
            for partition, end in log.ends(topic).items()
        }

    @contextmanager
    def reader(self) -> Generator[Log]:
        """A reader of the projection's topics and events."""
        topics = {one.topic: one.event_types for one in self.projection.aggregates}
        log = self.log(topics, self.projection.events)
        try:
            yield log
        finally:
            log.close()

    @contextmanager
    def projector(self, generation: Generation) -> Generator[tuple[Projector, Log]]:
        """A projector of a generation, with its reader; gives up at the end what it holds."""
        with self.reader() as log:
            made = Projector(
                self.projection,
                generation,
                postgres=self.postgres,
                log=log,
                check_topics=self.check_topics,
            )
            try:
                yield made, log
            finally:
                with suppress(psycopg.Error):
                    made.release()
                made.close()

    def prepare(self) -> Generation:
        """The live generation, which this code may feed; the first one is made here.

        Raises:
            ProjectionChanged: The live generation is of other code.
            ViewError: The views cannot be made.
        """
        with self.connect() as db:
            generations.lock(db, self.projection.name)
            live = generations.live(db, self.projection.name)
            if live is None:
                live = generations.create(db, self.projection, self.partitions, state="live")
                generations.build_indexes(db, self.projection, live)
                views.place(db, self.projection, live, self.read_schema)
            else:
                generations.check(db, self.projection, live, self.partitions)
            db.commit()
        return live


def raise_lost(projector: Projector) -> None:
    """Raise `ProjectionStopped` if any partition stopped, `ProjectorFenced` if one was taken."""
    raise_stops(projector)
    for fenced in projector.fenced.values():
        raise fenced


def raise_stops(projector: Projector) -> None:
    """Raise `ProjectionStopped` if any partition stopped."""
    if projector.stops:
        raise ProjectionStopped(projector.generation.projection, projector.stops)
