"""The reader's rule: which records of a partition are events, by the records alone.

Every reader of the log (writer, projector, rebuild, tools) applies this one function, so all
agree on what happened without talking to each other:

1. A *claim* of the next epoch makes its writer the current one; any other claim is dead. A
   *seal* by the current writer, next in sequence, ends the partition for ever.
2. An *event* is live if the current writer sent it and its sequence number is the next. An
   append's events are collected from index 0 and become valid together, at the last one. A live
   event with another index than the next breaks its append: the sequence goes on, what was
   collected is dropped. Every other event is dead and leaves what is being collected alone.
3. A record without our header is *foreign*: dead.
"""

import enum
from collections import Counter
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from eventstore.kafka.header import Header, Kind
from eventstore.log import LOG_START, NO_WRITER, SEALED, LogPosition

R = TypeVar("R")

# Plain ints: looking up a member of an enum costs more than the rest of the comparison.
EVENT: Final = int(Kind.EVENT)
CLAIM: Final = int(Kind.CLAIM)
SEAL: Final = int(Kind.SEAL)

NO_ONE: Final = b""
"""In the place of a writer id before the first claim: no record carries it."""


class Dead(enum.StrEnum):
    """Why a record is skipped."""

    FOREIGN = "foreign"
    """It has no header of ours."""
    STALE_CLAIM = "stale claim"
    """A claim of another epoch than the next: somebody was quicker."""
    STALE_SEAL = "stale seal"
    """A seal by another than the current writer, or out of sequence."""
    STALE_WRITER = "stale writer"
    """An event of a writer that is not the current one."""
    OUT_OF_SEQUENCE = "out of sequence"
    """An event of the current writer whose number is not the next."""
    INCOMPLETE = "incomplete"
    """An event of an append that was cut short by a claim or a seal."""
    BROKEN = "broken"
    """An event of an append whose indexes are not 0, 1, 2, …: an alarm, no writer does this."""
    SEALED = "sealed"
    """It stands after the seal."""


class ReaderRule(Generic[R]):
    """The rule's state on one partition; the records of that partition go through it in order."""

    __slots__ = (
        "_append",
        "_collected",
        "_count",
        "_epoch",
        "_first_offset",
        "_next_offset",
        "_sequence",
        "_writer",
        "dead",
    )

    def __init__(self, position: LogPosition = LOG_START) -> None:
        self._next_offset, self._epoch, writer, self._sequence = position
        self._writer = writer if self._epoch else NO_ONE
        self._collected: list[R] = []
        self._first_offset = 0
        self._append = b""
        self._count = 0
        self.dead: Counter[Dead] = Counter()
        """Records skipped since this object was made, per reason."""

    @property
    def position(self) -> LogPosition:
        """Where a reader must start to go on from here, losing and repeating nothing.

        The next offset, or that of the first record of the append being collected, with the
        epoch, the writer and the next sequence number as of there.
        """
        offset = self._first_offset if self._collected else self._next_offset
        writer = self._writer or NO_WRITER
        return LogPosition(offset, self._epoch, writer, self._sequence - len(self._collected))

    @property
    def next_offset(self) -> int:
        """The offset after the last record that was read."""
        return self._next_offset

    @property
    def sealed(self) -> bool:
        """Whether the partition was sealed: nothing after is ever live."""
        return self._sequence == SEALED

    @property
    def collecting(self) -> int:
        """How many events of an append that is not complete yet have been read."""
        return len(self._collected)

    def read(self, offset: int, header: Header, record: R) -> Sequence[R]:
        """Take the record at ``offset``; return the append that became valid by it, in order.

        Mostly that is nothing or one whole append. The header must be of a known layout and
        kind, as `header_of` sees to.
        """
        self._next_offset = offset + 1
        _, kind, index, count, epoch, sequence, _, _, _, writer, append, _ = header
        if kind != EVENT:
            if kind == CLAIM:
                self._claim(epoch, writer)
            else:
                self._seal(epoch, writer, sequence)
            return ()
        if sequence != self._sequence or epoch != self._epoch or writer != self._writer:
            self._count_dead(epoch, writer)
            return ()
        self._sequence = sequence + 1
        collected = self._collected
        if index == len(collected):
            if not index:
                if count == 1:
                    return (record,)
                if count:
                    self._start(offset, append, count, record)
                    return ()
            elif append == self._append and count == self._count:
                collected.append(record)
                if index + 1 < count:
                    return ()
                self._collected = []
                return collected
        return self._break(offset, header, record)

    def foreign(self, offset: int) -> None:
        """Take a record without our header."""
        self._next_offset = offset + 1
        self.dead[Dead.FOREIGN] += 1

    def skip_to(self, offset: int) -> None:
        """Nothing stands before ``offset``: the log's end, or past the marks of a transaction."""
        self._next_offset = max(self._next_offset, offset)

    def _start(self, offset: int, append: bytes, count: int, record: R) -> None:
        self._first_offset, self._append, self._count = offset, append, count
        self._collected = [record]

    def _break(self, offset: int, header: Header, record: R) -> Sequence[R]:
        self._drop(Dead.BROKEN)
        if header.index == 0 and header.count:
            if header.count == 1:
                return (record,)
            self._start(offset, header.append, header.count, record)
        else:
            self.dead[Dead.BROKEN] += 1
        return ()

    def _claim(self, epoch: int, writer: bytes) -> None:
        if self.sealed:
            self.dead[Dead.SEALED] += 1
        elif epoch != self._epoch + 1:
            self.dead[Dead.STALE_CLAIM] += 1
        else:
            self._drop(Dead.INCOMPLETE)
            self._epoch, self._writer, self._sequence = epoch, writer, 1

    def _seal(self, epoch: int, writer: bytes, sequence: int) -> None:
        if self.sealed:
            self.dead[Dead.SEALED] += 1
        elif (epoch, writer, sequence) != (self._epoch, self._writer, self._sequence):
            self.dead[Dead.STALE_SEAL] += 1
        else:
            self._drop(Dead.INCOMPLETE)
            self._sequence = SEALED

    def _drop(self, why: Dead) -> None:
        if self._collected:
            self.dead[why] += len(self._collected)
            self._collected = []

    def _count_dead(self, epoch: int, writer: bytes) -> None:
        if self.sealed:
            self.dead[Dead.SEALED] += 1
        elif epoch != self._epoch or writer != self._writer:
            self.dead[Dead.STALE_WRITER] += 1
        else:
            self.dead[Dead.OUT_OF_SEQUENCE] += 1
