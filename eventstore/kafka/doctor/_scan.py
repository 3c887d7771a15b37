"""What the records of one partition tell, taken one after the other; memory stays flat.

The reader's rule needs its state where it begins, and a bare offset has none. It is known at the
log's start, at a checkpoint, and at an event that proves itself: one that stands exactly as many
records after its writer's claim as its sequence number says. Until the first of these only what
needs no rule is counted: foreign records and claims.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol, TypeAlias

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from eventstore.errors import UnknownRecord
from eventstore.kafka.doctor.facts import (
    Claim,
    Incomplete,
    LogFacts,
    Rivalry,
    Schema,
    Stranger,
)
from eventstore.kafka.header import Header, Kind
from eventstore.kafka.messages import header_of
from eventstore.kafka.records import BY
from eventstore.kafka.rule import ReaderRule
from eventstore.kafka.schemas import SchemaTable
from eventstore.log import LOG_START, LogPosition

STRANGERS: Final = 5
"""Foreign records of a partition that are shown."""
PROOFS: Final = 20
"""Events of a partition that are asked to prove themselves; each asks for one record."""
MINUTE: Final = 60.0
"""Seconds; claims within such a time are counted together."""
KEY_SHOWN: Final = 40
"""Characters of a foreign record's key that are shown."""

Record: TypeAlias = tuple[int, Header]
Prove = Callable[[int, int, bytes], Claim | None]
"""The claim at this offset, if it is the one of this epoch and writer id."""


class Scan(Protocol):
    """Takes the records of one partition in order, up to ``end``."""

    next_offset: int
    """The offset after the last record that was taken."""
    end: int

    def take(self, message: Message) -> None:
        """Take the next record."""
        ...


class _Latest:
    """How old the youngest of some records is, by their timestamps."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._is_known = True

    def take(self, message: Message) -> None:
        """Take one of the records."""
        at = _written(message)
        self._is_known = self._is_known and at is not None
        if at is not None:
            self._at = max(at, self._at or at)

    def age(self) -> timedelta | None:
        """Until now; None: one of them does not say when it was written, or there is none."""
        return datetime.now(UTC) - self._at if self._is_known and self._at else None


class _Claimed(NamedTuple):
    seconds: float
    by: str
    events: int
    """How many valid ones there had been."""


class PartitionScan:
    """Counts what stands in one partition of events, from ``first`` to ``end``.

    ``known`` is a position that is stored of this partition, if any; ``prove`` asks the log.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        start: int,
        first: int,
        end: int,
        known: LogPosition | None,
        prove: Prove,
    ) -> None:
        self.topic: Final = topic
        self.partition: Final = partition
        self.start: Final = start
        self.first: Final = first
        self.end = end
        self.next_offset = first
        self._known = known
        self._prove = prove
        self._proofs = 0
        self._rule: ReaderRule[Record] | None = None if first else ReaderRule(LOG_START)
        self._ruled_from: int | None = None if first else 0
        self._events = 0
        self._foreign = 0
        self._strangers: list[Stranger] = []
        self._latest_foreign = _Latest()
        self._unknown: str | None = None
        self._claim: Claim | None = None
        self._recent: deque[_Claimed] = deque()
        self._rivalry: Rivalry | None = None
        self._schemas: dict[bytes, Schema] = {}

    def take(self, message: Message) -> None:
        """Take the next record."""
        offset = message.offset() or 0
        if offset < self.next_offset or offset >= self.end:
            return
        self.next_offset = offset + 1
        if self._unknown is not None:
            return
        try:
            header = header_of(message)
        except UnknownRecord as error:
            self._unknown = str(error)
            return
        if header is None:
            self._take_foreign(offset, message)
            return
        rule = self._rule or self._begin(offset, header)
        if rule is not None:
            for at, valid in rule.read(offset, header, (offset, header)):
                self._count(at, valid.fingerprint)
        if header.kind == Kind.CLAIM:
            self._take_claim(header, message)

    def facts(self) -> LogFacts:
        """What was taken so far."""
        rule = self._rule
        position = None if rule is None or self._unknown is not None else rule.position
        incomplete = None
        if rule is not None and rule.collecting:
            incomplete = Incomplete(rule.position.next_offset, rule.collecting)
        return LogFacts(
            self.topic,
            self.partition,
            start=self.start,
            first=self.first,
            end=self.end,
            ruled_from=self._ruled_from,
            events=self._events,
            dead={} if rule is None else dict(rule.dead),
            foreign=self._foreign,
            strangers=tuple(self._strangers),
            foreign_age=self._latest_foreign.age(),
            unknown=self._unknown,
            claim=self._claim,
            rivalry=self._rivalry,
            schemas=self._schemas,
            incomplete=incomplete,
            position=position,
        )

    def _begin(self, offset: int, header: Header) -> ReaderRule[Record] | None:
        """The rule as of this record, if its state is known here."""
        known = self._known
        if known is not None and offset >= known.next_offset >= self.first:
            self._claim = self._claim_of(known)
            self._rule, self._ruled_from = ReaderRule(known), known.next_offset
        elif header.kind == Kind.EVENT and header.index == 0 and self._proofs < PROOFS:
            self._proofs += 1
            position = LogPosition(offset, header.epoch, header.writer, header.sequence)
            self._claim = self._claim_of(position)
            if self._claim is not None:
                self._rule, self._ruled_from = ReaderRule(position), offset
        return self._rule

    def _claim_of(self, position: LogPosition) -> Claim | None:
        """The claim of the writer as of a position, if it stands where it must."""
        claim = position.next_offset - position.next_sequence
        if position.next_sequence < 1 or claim < self.start:
            return None
        return self._prove(claim, position.epoch, position.writer)

    def _count(self, offset: int, fingerprint: bytes) -> None:
        self._events += 1
        before = self._schemas.get(fingerprint)
        events, first = (0, offset) if before is None else before
        self._schemas[fingerprint] = Schema(events + 1, first)

    def _take_foreign(self, offset: int, message: Message) -> None:
        self._foreign += 1
        self._latest_foreign.take(message)
        if self._rule is not None:
            self._rule.foreign(offset)
        if len(self._strangers) < STRANGERS:
            self._strangers.append(_stranger(offset, message))

    def _take_claim(self, header: Header, message: Message) -> None:
        claim = claim_in(message, header)
        rule = self._rule
        if rule is not None and _accepted(rule.position, header):
            self._claim = claim
        seconds, by = header.time / 1_000_000, claim.by
        recent = self._recent
        recent.append(_Claimed(seconds, by, self._events))
        while abs(seconds - recent[0].seconds) > MINUTE:
            recent.popleft()
        if self._rivalry is None or len(recent) > self._rivalry.claims:
            first = recent[0]
            self._rivalry = Rivalry(
                len(recent),
                seconds - first.seconds,
                self._events - first.events,
                frozenset(each.by for each in recent),
            )


class SchemasScan:
    """Learns the schemas topic; counts the records that it ignores."""

    def __init__(self, first: int, end: int) -> None:
        self.next_offset = first
        self.end = end
        self.table: Final = SchemaTable()
        self.ignored = 0
        self.first_ignored: int | None = None
        self._latest_ignored = _Latest()

    @property
    def ignored_age(self) -> timedelta | None:
        """How old the youngest of these is; None: that is not known."""
        return self._latest_ignored.age()

    def take(self, message: Message) -> None:
        """Take the next record."""
        offset = message.offset() or 0
        if offset < self.next_offset or offset >= self.end:
            return
        self.next_offset = offset + 1
        key = message.key()
        self.table.learn(offset, key, message.value())
        if key is None or self.table.by_sha256(key) is None:
            self.ignored += 1
            self._latest_ignored.take(message)
            if self.first_ignored is None:
                self.first_ignored = offset


def claim_in(message: Message, header: Header) -> Claim:
    """What this record claims; ``by`` names the writer id where it does not say who it was."""
    by = next((shown(value) for name, value in _headers(message) if name == BY and value), None)
    at = _moment(header.time / 1_000_000)
    return Claim(message.offset() or 0, header.epoch, by or f"writer {header.writer.hex()}", at)


def shown(key: bytes | None) -> str:
    """Bytes of a stranger as people can read them, bounded."""
    if key is None:
        return "none"
    text = key[: 4 * KEY_SHOWN].decode(errors="backslashreplace")
    printable = "".join(each if each.isprintable() else "�" for each in text)
    return printable if len(printable) <= KEY_SHOWN else printable[:KEY_SHOWN] + "…"


def _stranger(offset: int, message: Message) -> Stranger:
    names = tuple(shown(name.encode()) for name, _ in _headers(message)[:STRANGERS])
    return Stranger(offset, shown(message.key()), names, _written(message))


def _written(message: Message) -> datetime | None:
    kind, milliseconds = message.timestamp()
    return None if kind == TIMESTAMP_NOT_AVAILABLE else _moment(milliseconds / 1_000)


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    # The stubs allow a dict, as produce() does; what is read is always a list of pairs.
    found: list[tuple[str, bytes | None]] = message.headers() or []  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    return found


def _moment(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a stranger may say any time
        return None


def _accepted(position: LogPosition, claim: Header) -> bool:
    return (position.epoch, position.writer) == (claim.epoch, claim.writer)
