"""Lag: how far a projection is behind the log, partition by partition."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import TupleRow

from projections import positions
from projections.generations import Generation
from projections.log import TopicPartition


@dataclass(frozen=True, slots=True)
class Lag:
    """Where a projection stands in one partition."""

    projection: str
    generation: int
    topic: str
    partition: int
    position: int
    """The next offset to apply."""
    end: int
    """The partition's end offset."""
    owner: str | None
    """The projector that feeds it: host, process, random digits; None: nobody does."""
    seen: float | None
    """Seconds since the owner was seen; None: it has none."""

    @property
    def records(self) -> int:
        """Records between position and end, dead and skipped ones included."""
        return max(0, self.end - self.position)


def lags(
    db: Connection[TupleRow], generation: Generation, ends: Mapping[TopicPartition, int]
) -> list[Lag]:
    """The lag of each partition, in order; ``ends`` are the end offsets now."""
    return [
        Lag(
            generation.projection,
            generation.number,
            *key,
            stored.position.next_offset,
            ends.get(key, stored.position.next_offset),
            stored.owner if stored.is_owned else None,
            stored.seen if stored.is_owned else None,
        )
        for key, stored in positions.read(db, generation).items()
    ]
