"""A session: what a writer sends to one partition from a claim on, and the proof that it stands.

The partition's own offsets are the proof that nobody else wrote since the claim: the claim was
acknowledged at offset *c*, so record *i* of the session must be acknowledged at exactly *c* + *i*.
Anything else is doubt. A session in doubt acknowledges nothing more; what was in flight is known
only to the log.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

R = TypeVar("R")


class Sent(NamedTuple, Generic[R]):
    """An append that was sent whole, and waits for its acknowledgements."""

    request: R
    version: int
    """Its stream's version after it."""
    events: int
    last_sequence: int


class Session(Generic[R]):
    """The records sent after one claim, and which of them are known to be in the log.

    ``completed`` is called for each append whose records, and all sent before them, stand where
    they must; ``doubted`` once, with the reason, when that can no longer be said.
    """

    __slots__ = (
        "_completed",
        "_doubted",
        "acknowledged",
        "claim_offset",
        "committed",
        "epoch",
        "in_flight",
        "next_sequence",
        "outstanding",
        "reason",
        "writer",
    )

    def __init__(
        self,
        *,
        epoch: int,
        writer: bytes,
        claim_offset: int,
        completed: Callable[[Sent[R]], None],
        doubted: Callable[[str], None],
    ) -> None:
        self.epoch = epoch
        self.writer = writer
        self.claim_offset = claim_offset
        self.next_sequence = 1
        self.acknowledged = 0
        """Sequence number of the last record acknowledged in its place."""
        self.committed = 0
        """Sequence number of the last record of the last append acknowledged whole."""
        self.outstanding = 0
        """Records handed to the client whose reports have not come."""
        self.in_flight: deque[Sent[R]] = deque()
        self.reason: str | None = None
        self._completed = completed
        self._doubted = doubted

    @property
    def serving(self) -> bool:
        """Whether appends may be sent."""
        return self.reason is None

    def offset_of(self, sequence: int) -> int:
        """Where the record with this sequence number stands, or the session is dead."""
        return self.claim_offset + sequence

    def acknowledge(self, offsets: Sequence[int | None]) -> None:
        """The next reports: these records stand at these offsets; None: a report without one."""
        self.outstanding -= len(offsets)
        if self.reason is not None:
            return
        due = first = self.offset_of(self.acknowledged + 1)
        for offset in offsets:
            if offset != due:
                break
            due += 1
        self._advance(due - first)
        if due - first < len(offsets):
            self.doubt(
                f"record {self.acknowledged + 1} of the session at offset {offsets[due - first]}, "
                f"not at {due}: somebody else writes to this partition"
            )

    def _advance(self, records: int) -> None:
        """So many more records stand where they must."""
        self.acknowledged += records
        in_flight = self.in_flight
        while in_flight and in_flight[0].last_sequence <= self.acknowledged:
            sent = in_flight.popleft()
            self.committed = sent.last_sequence
            self._completed(sent)

    def fail(self, reason: str) -> R | None:
        """A report of failure; gives whose record it was, if this is what ends the session."""
        self.outstanding -= 1
        if self.reason is not None:
            return None
        self.doubt(reason)
        return self.in_flight[0].request if self.in_flight else None

    def doubt(self, reason: str) -> None:
        """Stop acknowledging; what is in flight is unknown."""
        if self.reason is None:
            self.reason = reason
            self._doubted(reason)
