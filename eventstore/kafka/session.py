"""A session: what a writer sends to one partition from a claim on, and the proof that it stands.

The partition's own offsets are the proof that nobody else wrote since the claim: the claim was
acknowledged at offset *c*, so record *i* of the session must be acknowledged at exactly *c* + *i*.
Anything else is doubt. A session in doubt acknowledges nothing more; what was in flight is known
only to the log.
"""

from collections import deque
from collections.abc import Callable
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

    def acknowledge(self, offset: int | None) -> None:
        """The next report: the record stands at ``offset``; None: the report has no offset."""
        self.outstanding -= 1
        if self.reason is not None:
            return
        sequence = self.acknowledged + 1
        if offset != self.claim_offset + sequence:
            self.doubt(
                f"record {sequence} of the session at offset {offset}, not at "
                f"{self.claim_offset + sequence}: somebody else writes to this partition"
            )
            return
        self.acknowledged = sequence
        sent = self.in_flight[0]
        if sequence == sent.last_sequence:
            self.in_flight.popleft()
            self.committed = sequence
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
