"""What a writer remembers of one partition: heads and append ids, bounded, over PostgreSQL.

Memory holds what the last checkpoint does not: only what stands below it may be forgotten, and
is then looked up. What was never forgotten since the log's start needs no look-up at all.
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from eventstore.defaults import HEADS_CACHED
from eventstore.kafka.header import NO_OFFSET, Header
from eventstore.postgres.checkpoints import Applied, AppliedRow, Tip, TipRow

LOGGER: Final = logging.getLogger("eventstore.kafka")


def share_of(partitions: int) -> int:
    """How many heads, and how many append ids, one of so many partitions keeps in memory."""
    return max(1, HEADS_CACHED // partitions)


class Heads:
    """Heads and append ids of one partition, as of a prefix of its log.

    ``checkpoint`` is the offset of the checkpoint beneath: 0 where there is none. ``limit`` bounds
    each of both, as soon as checkpoints allow; at least 1.
    """

    def __init__(self, checkpoint: int = 0, limit: int = HEADS_CACHED) -> None:
        self.limit = limit
        self.checkpoint = checkpoint
        self.tips: OrderedDict[str, TipRow] = OrderedDict()
        self.applied: OrderedDict[bytes, AppliedRow] = OrderedDict()
        self.tips_whole = checkpoint == 0
        """No head stands in PostgreSQL alone."""
        self.applied_whole = checkpoint == 0
        """No append id stands in PostgreSQL alone."""
        self.fresh_tips: dict[str, TipRow] = {}
        self.fresh_applied: dict[bytes, AppliedRow] = {}

    def tip(self, stream: str) -> Tip | None:
        """The stream's head, if it is in memory."""
        row = self.tips.get(stream)
        return None if row is None else Tip(*row)

    def answer(self, append: bytes) -> Applied | None:
        """What the append id led to, if it is in memory."""
        row = self.applied.get(append)
        return None if row is None else Applied(*row)

    @property
    def crowded(self) -> bool:
        """Whether it has outgrown its limit, above a checkpoint that may have moved since."""
        return len(self.tips) > self.limit or len(self.applied) > self.limit

    def note(
        self,
        stream: str,
        append: bytes,
        version: int,
        count: int,
        last_offset: int,
        *,
        offsets: tuple[int, ...] | None = None,
    ) -> None:
        """Take note of an append that became valid; ``offsets`` if they are not side by side."""
        known = self.tips.get(stream)
        if version == count:
            first_offset = offsets[0] if offsets else last_offset - count + 1
        else:
            first_offset = known[2] if known else NO_OFFSET
        # Plain tuples: two hundred thousand named ones take the collector a tenth of a second.
        tip = (version, append, first_offset, last_offset)
        applied = (stream, version, count, last_offset, offsets)
        self.tips[stream] = self.fresh_tips[stream] = tip
        self.tips.move_to_end(stream)
        self.applied[append] = self.fresh_applied[append] = applied

    def load(self, tips: Mapping[str, TipRow]) -> None:
        """Take all heads that stand beneath the checkpoint, the oldest first."""
        self.tips.update(tips)
        self.tips_whole = True

    def note_append(self, append: Sequence[tuple[int, bytes, Header]]) -> None:
        """Take note of an append read from the log: (offset, key, header) of each event."""
        offset, key, header = append[-1]
        stream, before = key.decode(), header.version - header.count
        known = self.tip(stream)
        if known is None:
            if before and self.tips_whole:
                _alarm(stream, offset, 0, before)
        elif before != known.version and offset > known.last_offset:
            _alarm(stream, offset, known.version, before)
        scattered = append[0][0] != offset - header.count + 1
        offsets = tuple([each[0] for each in append]) if scattered else None
        self.note(stream, header.append, header.version, header.count, offset, offsets=offsets)

    def keep(self, stream: str, append: bytes, tip: Tip | None, applied: Applied | None) -> None:
        """Keep what was looked up; what memory already holds is newer, and wins."""
        if tip is not None:
            known = Tip(*self.tips.setdefault(stream, tip.row()))
            if known.first_offset == NO_OFFSET:
                self.tips[stream] = known._replace(first_offset=tip.first_offset).row()
            self.tips.move_to_end(stream)
        if applied is not None:
            self.applied.setdefault(append, applied.row())
            self.applied.move_to_end(append)
        self._forget()

    def begins(self, stream: str, first_offset: int) -> None:
        """Keep where a stream in memory begins, which never changes, so as to ask only once."""
        known = self.tip(stream)
        if known is not None and known.first_offset == NO_OFFSET:
            self.tips[stream] = known._replace(first_offset=first_offset).row()

    def take_fresh(self) -> tuple[dict[str, TipRow], dict[bytes, AppliedRow]]:
        """What the next checkpoint must store, given away once."""
        taken = self.fresh_tips, self.fresh_applied
        self.fresh_tips, self.fresh_applied = {}, {}
        return taken

    def give_back(self, tips: dict[str, TipRow], applied: dict[bytes, AppliedRow]) -> None:
        """A checkpoint failed: its rows go into the next one, but for what is newer."""
        self.fresh_tips = {**tips, **self.fresh_tips}
        self.fresh_applied = {**applied, **self.fresh_applied}

    def checkpointed(self, offset: int) -> None:
        """A checkpoint up to ``offset`` is committed: what is below it may be forgotten."""
        self.checkpoint = offset
        self._forget()

    def _forget(self) -> None:
        """Forget the oldest over the limit, but for what no checkpoint holds yet."""
        while len(self.tips) > self.limit and self._oldest_tip() < self.checkpoint:
            self.tips.popitem(last=False)
            self.tips_whole = False
        while len(self.applied) > self.limit and self._oldest_applied() < self.checkpoint:
            self.applied.popitem(last=False)
            self.applied_whole = False

    def _oldest_tip(self) -> int:
        return next(iter(self.tips.values()))[3]

    def _oldest_applied(self) -> int:
        return next(iter(self.applied.values()))[3]


def _alarm(stream: str, offset: int, known: int, before: int) -> None:
    LOGGER.error(
        "expected version %d of stream %r in its append up to offset %d; found version %d: no "
        "writer of this library writes such",
        known + 1,
        stream,
        offset,
        before + 1,
    )
