"""Where a reader of a partition's log stands: what checkpoints and projections store."""

from typing import Final, NamedTuple

NO_WRITER: Final = bytes(8)
"""In the place of a writer id where there is none: before the first claim."""

SEALED: Final = -1
"""The next sequence number of a sealed partition: no record can carry it."""


class LogPosition(NamedTuple):
    """Where a reader of a partition stands, between appends: all that it needs to go on."""

    next_offset: int
    epoch: int
    """The current writer's term there; 0 before the first claim."""
    writer: bytes
    """The current writer's id."""
    next_sequence: int
    """The sequence number of the current writer's next event."""


LOG_START: Final = LogPosition(0, 0, NO_WRITER, 1)
"""Where every reader of a partition begins."""
