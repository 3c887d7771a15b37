"""Readers that lack one ingredient of the reader's rule."""

from collections.abc import Sequence

from eventstore.kafka.header import Header, Kind
from eventstore.kafka.rule import ReaderRule
from eventstore.log import LOG_START, LogPosition
from tests.model.ingredients import Ingredient
from tests.model.log import Record, Rule

Read = tuple[int, Record]
Append = Sequence[Read]


class TheRule(ReaderRule[Read]):
    """The real one."""


class WithoutSequence(TheRule):
    """Any event of the current writer is live."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        return super().read(offset, header._replace(sequence=self._sequence), record)


class WithoutWriter(TheRule):
    """Any event of the current epoch, next in sequence, is live."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        if header.kind == Kind.EVENT:
            header = header._replace(writer=self._writer)
        return super().read(offset, header, record)


class WithoutEpoch(TheRule):
    """Any event of the current writer, next in sequence, is live."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        if header.kind == Kind.EVENT:
            header = header._replace(epoch=self.position.epoch)
        return super().read(offset, header, record)


class WithoutWriterAndEpoch(TheRule):
    """Any event next in sequence is live."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        if header.kind == Kind.EVENT:
            header = header._replace(epoch=self.position.epoch, writer=self._writer)
        return super().read(offset, header, record)


class WithoutClaims(TheRule):
    """Nobody claims: every event is live."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        header = header._replace(
            epoch=self.position.epoch, writer=self._writer, sequence=self._sequence
        )
        return super().read(offset, header, record)


class AnyEpoch(TheRule):
    """The last claim is accepted, whatever its epoch."""

    def _claim(self, epoch: int, writer: bytes) -> None:
        self._epoch: int = epoch - 1
        super()._claim(epoch, writer)


class AnyLaterEpoch(TheRule):
    """A claim of any later epoch is accepted."""

    def _claim(self, epoch: int, writer: bytes) -> None:
        if epoch > self.position.epoch:
            self._epoch = epoch - 1
        super()._claim(epoch, writer)


class ClaimWaits(TheRule):
    """A claim is dead while an append is being collected."""

    def _claim(self, epoch: int, writer: bytes) -> None:
        if not self.collecting:
            super()._claim(epoch, writer)


class WithoutIndexAndCount(TheRule):
    """Each event becomes valid by itself."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        if header.kind == Kind.EVENT:
            header = header._replace(index=0, count=1)
        return super().read(offset, header, record)


class PositionAnywhere(TheRule):
    """A position is where the reader stands, also inside an append."""

    @property
    def position(self) -> LogPosition:
        return LogPosition(self._next_offset, super().position.epoch, self._writer, self._sequence)


class BareOffset(TheRule):
    """A reader goes on from an offset alone, and waits for a claim of any epoch."""

    def __init__(self, position: LogPosition = LOG_START) -> None:
        super().__init__(LOG_START._replace(next_offset=position.next_offset))
        self._waits = position.next_offset > 0

    def _claim(self, epoch: int, writer: bytes) -> None:
        if self._waits:
            self._waits, self._epoch = False, epoch - 1
        super()._claim(epoch, writer)


class BareOffsetAndNextWriter(BareOffset):
    """A reader goes on from an offset alone, and takes the next event's writer for the current."""

    def read(self, offset: int, header: Header, record: Read) -> Append:
        if self._waits and header.kind == Kind.EVENT and header.index == 0:
            self._waits = False
            self._epoch, self._writer = header.epoch, header.writer
            self._sequence = header.sequence
        return super().read(offset, header, record)


RULES: dict[frozenset[Ingredient], Rule] = {
    frozenset({Ingredient.CLAIM}): WithoutClaims,
    frozenset({Ingredient.SEQUENCE}): WithoutSequence,
    frozenset({Ingredient.WRITER}): WithoutWriter,
    frozenset({Ingredient.EPOCH}): WithoutEpoch,
    frozenset({Ingredient.WRITER, Ingredient.EPOCH}): WithoutWriterAndEpoch,
    frozenset({Ingredient.NEXT_EPOCH}): AnyEpoch,
    frozenset({Ingredient.EXACTLY_NEXT_EPOCH}): AnyLaterEpoch,
    frozenset({Ingredient.CLAIM_ENDS_APPEND}): ClaimWaits,
    frozenset({Ingredient.INDEX_AND_COUNT}): WithoutIndexAndCount,
    frozenset({Ingredient.POSITION_BETWEEN_APPENDS}): PositionAnywhere,
    frozenset({Ingredient.POSITION_HAS_WRITER}): BareOffset,
    frozenset({Ingredient.POSITION_OF_CURRENT_WRITER}): BareOffsetAndNextWriter,
}
