"""The port to the log: what projectors and rebuilds need of a reader.

Filled by `eventstore.kafka.reader.LogReader`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from eventstore.events import Event
from eventstore.log import LogPosition
from eventstore.store import Recorded

TopicPartition: TypeAlias = tuple[str, int]


class Batch(Protocol):
    """What was read of one partition: whole appends, and only valid ones."""

    @property
    def topic(self) -> str:
        """The topic's name."""
        ...

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...

    @property
    def recorded(self) -> list[Recorded[Event]]:
        """The events, in order; empty where only records passed that are skipped."""
        ...

    @property
    def position(self) -> LogPosition:
        """Where the reader stands after this batch."""
        ...

    @property
    def last(self) -> tuple[int, str] | None:
        """Offset and id of the last valid event that passed, also when it was skipped."""
        ...


class Log(Protocol):
    """A reader of the log by position, for one thread."""

    def assign(self, positions: Mapping[TopicPartition, LogPosition]) -> None:
        """Read from these positions on; replaces what was assigned."""
        ...

    def seek(self, topic: str, partition: int, position: LogPosition) -> None:
        """Forget what is buffered of the partition, and go on there."""
        ...

    def read(self, *, events: int, timeout: float) -> Sequence[Batch]:
        """About ``events`` records, in one batch for each partition that moved.

        Empty when nothing came within ``timeout`` seconds.
        """
        ...

    def ends(self, topic: str) -> Mapping[int, int]:
        """The end offset of each partition now, asked from the leader."""
        ...

    def at_end(self) -> set[TopicPartition]:
        """The partitions whose end was met since they were assigned or sought."""
        ...

    def event_id_at(self, topic: str, partition: int, offset: int) -> str | None:
        """The id of the event at this offset; None: there is no event."""
        ...

    def close(self) -> None:
        """Give back what the reader holds."""
        ...


LogFactory: TypeAlias = Callable[
    [Mapping[str, Sequence[type[Event]]], Sequence[type[Event]] | None], Log
]
"""Opens a reader of topics (each with its event classes) that decodes only the given events
(None: all)."""
