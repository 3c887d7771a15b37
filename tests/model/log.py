"""The log of the model: what was written, what the reader's rule makes of it, and what must hold.

Logs form a tree: a log is its parent and one record more. So equal logs are one object, each is
read once, by the real `ReaderRule`, and is checked once, whatever the writers did meanwhile.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, TypeAlias

from eventstore.kafka.header import LAYOUT, NO_APPEND, NO_OFFSET, Header, Kind
from eventstore.kafka.rule import ReaderRule
from eventstore.log import LogPosition


class Command(NamedTuple):
    """What a client wants appended; its append id is its place in the list of commands."""

    stream: int
    events: int
    expected: int | None
    """The expected version; None: any."""
    again: int | None = None
    """It is another attempt, under the append id of the command at this place."""

    def told(self) -> str:
        """As in: 2 to a at version 1."""
        where = f"{self.events} to {'ab'[self.stream]}"
        if self.expected is not None:
            where += f" at version {self.expected}"
        return where if self.again is None else f"{where} under the id of {self.again}"


def ids_of(commands: Sequence[Command]) -> tuple[int, ...]:
    """The append ids of the commands."""
    return tuple([at if each.again is None else each.again for at, each in enumerate(commands)])


class Record(NamedTuple):
    """A record on its way or in the log: small numbers, from which its header is made."""

    writer: int
    epoch: int
    sequence: int
    """0: a claim."""
    stream: int = 0
    command: int = 0
    at: int = 0
    """Its index in the append."""
    events: int = 0
    version: int = 0
    previous: int = NO_OFFSET


NOTHING = Record(writer=2**32, epoch=0, sequence=1)
"""In the place of a record that was lost: every reader passes over it."""


class Head(NamedTuple):
    """A stream's version, and the offset of its last event."""

    version: int
    last_offset: int


NO_HEAD = Head(0, NO_OFFSET)

Applied: TypeAlias = Head
"""What an append id led to: its stream's version after it, and the offset of its last event."""

Rule: TypeAlias = type[ReaderRule[tuple[int, Record]]]
Valid: TypeAlias = tuple[tuple[int, Record], ...]
"""What became valid at once: offsets and records."""


def writer_id(claim: int) -> bytes:
    """The writer id of the claim of this number."""
    return claim.to_bytes(8, "big")


@cache
def header_of(record: Record) -> Header:
    """The record's header, as a writer makes it."""
    claim = record.sequence == 0
    return Header(
        LAYOUT,
        Kind.CLAIM if claim else Kind.EVENT,
        record.at,
        record.events,
        record.epoch,
        record.sequence,
        record.version,
        0,
        record.previous,
        writer_id(record.writer),
        NO_APPEND if claim else (record.command + 1).to_bytes(16, "big"),
        bytes(8),
    )


class Log:
    """A partition's log, what is valid in it, and the first thing that is wrong with it."""

    __slots__ = (
        "_children",
        "_commands",
        "_ids",
        "_rule",
        "applied",
        "heads",
        "parent",
        "partial",
        "position",
        "records",
        "valid",
        "valid_commands",
        "violation",
    )

    def __init__(
        self,
        commands: Sequence[Command],
        rule: Rule,
        parent: "Log | None" = None,
        records: tuple[Record, ...] = (),
    ) -> None:
        self._commands, self._rule = commands, rule
        self._ids: tuple[int, ...] = parent._ids if parent is not None else ids_of(commands)
        self._children: dict[Record, Log] = {}
        self.parent, self.records = parent, records
        whole = self.read_from(rule().position)
        self.valid: tuple[Valid, ...] = whole[0]
        self.position: LogPosition = whole[1]
        self.heads: tuple[Head, ...] = tuple([NO_HEAD] * (1 + max(c.stream for c in commands)))
        self.applied: tuple[Applied | None, ...] = tuple([None] * len(commands))
        """By append id."""
        self.valid_commands: frozenset[int] = frozenset()
        self.partial: frozenset[int] = frozenset()
        """Append ids of which some events are valid, but not all."""
        self.violation: str | None = self._first_violation() if parent is not None else None

    def __len__(self) -> int:
        return len(self.records)

    def add(self, record: Record) -> "Log":
        """The log with one record more."""
        child = self._children.get(record)
        if child is None:
            child = self._children[record] = self.tried(record)
        return child

    def tried(self, record: Record) -> "Log":
        """The same, to be forgotten."""
        return Log(self._commands, self._rule, self, (*self.records, record))

    def compacted(self) -> "Log":
        """The log that has lost all claims but its last; the rest stands where it stood."""
        claims = [at for at, record in enumerate(self.records) if record.sequence == 0]
        log = self.prefix(0)
        for at, record in enumerate(self.records):
            log = log.add(NOTHING if at in claims[:-1] else record)
        return log

    def prefix(self, length: int) -> "Log":
        """The log when it had that many records."""
        log = self
        while len(log) > length and log.parent is not None:
            log = log.parent
        return log

    def ancestors(self) -> Iterator["Log"]:
        """Every prefix but itself, the longest first."""
        log = self.parent
        while log is not None:
            yield log
            log = log.parent

    def read_from(self, position: LogPosition) -> tuple[tuple[Valid, ...], LogPosition]:
        """What a reader that goes on from ``position`` finds valid, and where it then stands."""
        rule = self._rule(position)
        valid: list[Valid] = []
        for offset in range(position.next_offset, len(self.records)):
            record = self.records[offset]
            if append := rule.read(offset, header_of(record), (offset, record)):
                valid.append(tuple(append))
        return tuple(valid), rule.position

    # what must hold

    def _first_violation(self) -> str | None:
        parent = self.parent
        assert parent is not None
        self.heads, self.applied, self.partial = parent.heads, parent.applied, parent.partial
        self.valid_commands = parent.valid_commands
        known = len(parent.valid)
        if self.valid[:known] != parent.valid:
            return "what was valid in a prefix is not valid any more"
        for append in self.valid[known:]:
            for offset, record in append:
                if wrong := self._note(offset, record):
                    return wrong
        if self.partial and self.position.epoch != parent.position.epoch:
            return "a part of an append is valid, and its writer's term is over"
        return self._resumed()

    def _note(self, offset: int, record: Record) -> str | None:
        """Take note of a valid event."""
        stream, number = record.stream, self._ids[record.command]
        command, head = self._commands[record.command], self.heads[stream]
        if record.at == 0:
            self.valid_commands |= {record.command}
            if self.applied[number] is not None or number in self.partial:
                return "an append id is valid twice"
            if command.expected not in {None, head.version}:
                return "an append is valid whose expected version was not its stream's"
        if record.version != head.version + 1:
            return "a valid event's version is not its stream's next"
        if record.previous != head.last_offset and not self._moved(record, head):
            return "a valid event is not chained to its predecessor"
        heads = list(self.heads)
        heads[stream] = Head(record.version, offset)
        self.heads = tuple(heads)
        if record.at + 1 == command.events:
            applied = list(self.applied)
            applied[number] = heads[stream]
            self.applied, self.partial = tuple(applied), self.partial - {number}
        else:
            self.partial |= {number}
        return None

    def _moved(self, record: Record, head: Head) -> bool:
        """Somebody else's record moved the predecessor, of the same writer, while in flight."""
        if not NO_OFFSET < record.previous < head.last_offset:
            return False
        return self.records[head.last_offset].writer == record.writer

    def _resumed(self) -> str | None:
        """A reader that stopped at any prefix and goes on from its position reads the rest."""
        seen: set[LogPosition] = set()
        for log in self.ancestors():
            if log.position not in seen:
                seen.add(log.position)
                if self.read_from(log.position)[0] != self.valid[len(log.valid) :]:
                    return "a reader that stopped and went on reads something else"
        return None
