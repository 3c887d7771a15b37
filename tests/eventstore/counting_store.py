"""A store in memory that remembers what was read of it."""

from collections.abc import Iterator

from eventstore import Event, MemoryEventStore, Recorded


class CountingStore(MemoryEventStore):
    """``reads`` holds the version after which each read began."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    def read(self, topic: str, stream: str, *, after: int = 0) -> Iterator[Recorded[Event]]:
        self.reads.append(after)
        return super().read(topic, stream, after=after)
