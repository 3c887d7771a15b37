"""A writer of the model: what one process knows of the partition, and its steps.

A writer is here from its claim until it drops its session; what remains of it then are records
under way. What it was asked and could not answer is not kept: any client may ask anything again.
The proof by contiguous offsets is the real `Session`'s.
"""

from typing import NamedTuple

from eventstore.kafka.session import Sent, Session
from eventstore.log import LOG_START, LogPosition
from tests.model.database import Database, Found, Heads, Memory, Stored
from tests.model.ingredients import Ingredient
from tests.model.log import NO_HEAD, Applied, Command, Head, Log, Record, ids_of, writer_id


class Report(NamedTuple):
    """What a writer is told of a record: where it stands."""

    sequence: int
    offset: int


class Writer(NamedTuple):
    """One process, from its claim on."""

    id: int
    epoch: int
    serving: bool
    channel: tuple[Record, ...]
    """Records sent that are not in the log yet."""
    reports: tuple[Report, ...]
    """Records in the log that it has not heard of."""
    claim_offset: int
    """-1: not known."""
    sequence: int
    """Of the next record."""
    acknowledged: int
    sent: tuple[Sent[int], ...]
    """Appends in flight, by their commands' numbers."""
    begin: LogPosition
    """The checkpoint from which it read the log before it claimed."""
    memory: Memory
    loaded: Heads | None = None
    """All heads beneath that checkpoint, if they were few."""
    found: Found | None = None
    """What was looked up last; it may be used at any time, or never."""
    rebased: bool = False
    """Without `NEW_EPOCH`: the next report says where the session begins."""

    @property
    def committed(self) -> int:
        """Sequence number of the last record of the last append acknowledged whole."""
        if self.sent:
            return self.sent[0].last_sequence - self.sent[0].events
        return self.sequence - 1

    @property
    def position(self) -> LogPosition:
        """One past the last append acknowledged whole, or past the claim."""
        next_offset = self.claim_offset + self.committed + 1
        return LogPosition(next_offset, self.epoch, writer_id(self.id), self.committed + 1)


class Answer(NamedTuple):
    """What a command led to at a writer."""

    writer: Writer
    applied: Applied | None = None
    """It is in the log: the answer."""
    refused: bool = False
    """It is refused for good."""


class Protocol:
    """The steps of a writer; without some ingredients, to see what they are good for."""

    def __init__(
        self, commands: tuple[Command, ...], without: frozenset[Ingredient], *, few: int = 0
    ) -> None:
        self.commands = commands
        self.ids = ids_of(commands)
        self.without = without
        self.few = few
        self.streams = 1 + max(command.stream for command in commands)
        self._nothing = Memory(0, (None,) * self.streams, (None,) * len(commands), True, True)

    def has(self, ingredient: Ingredient) -> bool:
        return ingredient not in self.without

    # 1. the claim

    def claim(self, number: int, log: Log, database: Database) -> Writer:
        """Read the log, and send a claim of the next epoch."""
        epoch = log.position.epoch + (1 if self.has(Ingredient.CLAIM_NEXT) else 2)
        begin, loaded = database.position, self._few_heads(database)
        writer = Writer(
            id=number,
            epoch=epoch,
            serving=False,
            channel=(Record(number, epoch, 0),),
            reports=(),
            claim_offset=-1,
            sequence=1,
            acknowledged=0,
            sent=(),
            begin=begin,
            memory=self._nothing,
            loaded=loaded,
        )
        if self.has(Ingredient.CLAIM):
            if self.has(Ingredient.READ_TO_CLAIM):
                return writer
            return writer._replace(memory=self._read(log, begin, loaded))
        return writer._replace(
            epoch=0,
            serving=True,
            channel=(),
            claim_offset=len(log) - 1,
            memory=self._read(log, begin, loaded),
            loaded=None,
        )

    def confirm(self, writer: Writer, offset: int, log: Log, database: Database) -> Writer | None:
        """Our claim stands at ``offset``: read up to it, then the checkpoint's row."""
        log = log.prefix(offset + 1)
        accepted = LogPosition(offset + 1, writer.epoch, writer_id(writer.id), 1)
        if log.position != accepted and self.has(Ingredient.CLAIM_ACCEPTED):
            return None
        begin, loaded, row = writer.begin, writer.loaded, database.position
        if self.has(Ingredient.CLAIM_MEETS_ROW):
            if row.epoch > writer.epoch or row.next_offset > offset + 1:
                return None
            if row.next_offset < begin.next_offset:
                begin, loaded = row, self._few_heads(database)
        if not self.has(Ingredient.LOADED_AT_ONCE):
            begin = row
        memory = writer.memory
        if self.has(Ingredient.READ_TO_CLAIM):
            memory = self._read(log, begin, loaded)
        if self.has(Ingredient.CLAIM_MEETS_ROW):
            memory = memory._replace(checkpoint=row.next_offset)
        return writer._replace(
            serving=True,
            claim_offset=offset,
            memory=memory,
            begin=LOG_START,
            loaded=None,
            reports=(),
        )

    def _few_heads(self, database: Database) -> Heads | None:
        """All heads that the database holds; None: there are none, or too many."""
        heads = database.heads
        if not 0 < sum(head is not None for head in heads) <= self.few:
            return None
        return heads if self.has(Ingredient.LOADED_WHOLE) else (None,) * len(heads)

    def _read(self, log: Log, begin: LogPosition, loaded: Heads | None) -> Memory:
        """Heads and append ids of what stands above a checkpoint, over what was loaded."""
        heads: list[Head | None] = [*(loaded or (None,) * self.streams)]
        applied: list[Applied | None] = [None] * len(self.commands)
        for append in log.read_from(begin)[0]:
            offset, record = append[-1]
            head = Head(record.version, offset)
            heads[record.stream] = applied[self.ids[record.command]] = head
        whole = begin.next_offset == 0
        return Memory(
            begin.next_offset, tuple(heads), tuple(applied), whole or loaded is not None, whole
        )

    # 2. decide and send

    def ask(self, writer: Writer, number: int, *, first_try: bool) -> Answer | None:
        """A command comes to a serving writer; None: it must wait, and nothing changes."""
        command, asked = self.commands[number], writer
        needs_head, needs_id = self.unknown(writer, number, first_try=first_try)
        found = writer.found if writer.found and writer.found.command == number else None
        unseen = False
        if needs_head or needs_id or (found and not self.has(Ingredient.LOOK_AGAIN)):
            if found is None or not self.counts(writer, found):
                return None
            unseen = found.applied is None and not self.has(Ingredient.LOOK_AGAIN)
            writer = writer._replace(memory=self.kept(writer.memory, found, command.stream))
        applied = writer.memory.applied[self.ids[number]]
        if applied is not None and self.has(Ingredient.DUPLICATE_CHECK) and not unseen:
            return Answer(writer, applied)
        if self.in_flight(writer, number) and self.has(Ingredient.IN_FLIGHT_CHECK) and not unseen:
            return None
        return self._decide(writer, number) or (Answer(writer) if writer != asked else None)

    def in_flight(self, writer: Writer, number: int) -> bool:
        """Whether the command's append id is."""
        return any(self.ids[sent.request] == self.ids[number] for sent in writer.sent)

    def unknown(self, writer: Writer, number: int, *, first_try: bool) -> tuple[bool, bool]:
        """Whether memory lacks the command's head, and whether it lacks its append id."""
        memory, stream = writer.memory, self.commands[number].stream
        head = (
            not memory.heads_whole
            and memory.heads[stream] is None
            and not any(self.commands[sent.request].stream == stream for sent in writer.sent)
            and self.has(Ingredient.LOOK_UP_HEAD)
        )
        append = (
            not first_try
            and not memory.applied_whole
            and memory.applied[self.ids[number]] is None
            and not self.in_flight(writer, number)
            and self.has(Ingredient.LOOK_UP_ID)
        )
        return head, append

    def look_up(self, writer: Writer, number: int, database: Database) -> Writer:
        """Ask the database for a command's head and append id; the answer is used later."""
        head, row = database.heads[self.commands[number].stream], database.position
        found = writer.found
        if found and found.command == number and not self.has(Ingredient.LOOK_UP_AT_ONCE):
            again = found._replace(next_offset=row.next_offset, epoch=row.epoch)
            return writer._replace(found=again)
        found = Found(number, row.next_offset, row.epoch, head, database.applied[self.ids[number]])
        return writer._replace(found=found)

    def counts(self, writer: Writer, found: Found) -> bool:
        """Whether what was looked up may be used now."""
        return (
            (found.epoch <= writer.epoch or not self.has(Ingredient.LOOK_UP_EPOCH))
            and (
                found.next_offset >= writer.memory.checkpoint
                or not self.has(Ingredient.LOOK_UP_NOT_BEHIND)
            )
            and (
                found.next_offset <= writer.position.next_offset
                or not self.has(Ingredient.LOOK_UP_NOT_AHEAD)
            )
        )

    def kept(self, memory: Memory, found: Found, stream: int) -> Memory:
        heads, applied = list(memory.heads), list(memory.applied)
        number = self.ids[found.command]
        if self.has(Ingredient.MEMORY_WINS):
            heads[stream] = heads[stream] or found.head
            applied[number] = applied[number] or found.applied
        else:
            heads[stream], applied[number] = found.head, found.applied
        return memory._replace(heads=tuple(heads), applied=tuple(applied))

    def _decide(self, writer: Writer, number: int) -> Answer | None:
        command = self.commands[number]
        committed = writer.memory.heads[command.stream] or NO_HEAD
        tail = self._tail(writer, command.stream) or committed
        expected = command.expected
        if expected is None or expected == tail.version:
            return Answer(self._send(writer, number, tail))
        limit = committed if self.has(Ingredient.COMMITTED_HEADS) else tail
        if expected < limit.version:
            return Answer(writer, refused=True)
        return None

    def lies_ahead(self, writer: Writer, number: int) -> bool:
        """The command's expected version is above the head with what is in flight."""
        command = self.commands[number]
        head = writer.memory.heads[command.stream] or NO_HEAD
        tail = self._tail(writer, command.stream) or head
        return command.expected is not None and command.expected > tail.version

    def _tail(self, writer: Writer, stream: int) -> Head | None:
        """The stream's head with what is in flight."""
        for sent in reversed(writer.sent):
            if self.commands[sent.request].stream == stream:
                return Head(sent.version, writer.claim_offset + sent.last_sequence)
        return None

    def _send(self, writer: Writer, number: int, tail: Head) -> Writer:
        command = self.commands[number]
        records: list[Record] = []
        previous = tail.last_offset
        for index in range(command.events):
            sequence = writer.sequence + index
            records.append(
                Record(
                    writer.id,
                    writer.epoch,
                    sequence,
                    command.stream,
                    number,
                    index,
                    command.events,
                    tail.version + index + 1,
                    previous,
                )
            )
            previous = writer.claim_offset + sequence
        last = writer.sequence + command.events - 1
        sent = Sent(number, tail.version + command.events, command.events, last)
        return writer._replace(
            channel=(*writer.channel, *records), sent=(*writer.sent, sent), sequence=last + 1
        )

    # 3. acknowledge

    def next_report(self, writer: Writer) -> Report | None:
        """The report that comes next: of the next record, whatever was reported before."""
        if not writer.reports:
            return None
        if not self.has(Ingredient.REPORTS_IN_ORDER):
            return writer.reports[0]
        due = writer.acknowledged + 1 if writer.serving else 0
        return next((each for each in writer.reports if each.sequence == due), None)

    def acknowledge(self, writer: Writer, report: Report) -> Answer | None:
        """A report came, which may complete an append; None: the session is in doubt."""
        completed: list[Sent[int]] = []
        doubts: list[str] = []
        claim_offset = writer.claim_offset
        if writer.rebased:
            claim_offset = report.offset - writer.acknowledged - 1
        writer = writer._replace(claim_offset=claim_offset, rebased=False)
        if not self.has(Ingredient.CONTIGUITY):
            claim_offset = report.offset - writer.acknowledged - 1
        session: Session[int] = Session(
            epoch=writer.epoch,
            writer=b"",
            claim_offset=claim_offset,
            completed=completed.append,
            doubted=doubts.append,
        )
        session.acknowledged = writer.acknowledged
        session.in_flight.extend(writer.sent)
        session.acknowledge([report.offset])
        if doubts:
            return None
        heard = writer._replace(
            acknowledged=session.acknowledged,
            sent=tuple(session.in_flight),
            reports=tuple(each for each in writer.reports if each != report),
        )
        if not completed:
            return Answer(heard)
        (sent,) = completed
        return self._completed(heard, sent, session.offset_of(sent.last_sequence))

    def _completed(self, writer: Writer, sent: Sent[int], last_offset: int) -> Answer:
        memory, head = writer.memory, Head(sent.version, last_offset)
        heads, applied = list(memory.heads), list(memory.applied)
        heads[self.commands[sent.request].stream] = applied[self.ids[sent.request]] = head
        memory = memory._replace(heads=tuple(heads), applied=tuple(applied))
        return Answer(writer._replace(memory=memory), head)

    # without `NEW_EPOCH`

    def send_again(self, writer: Writer) -> Writer:
        """Send what is in flight again, in the same epoch, and believe its reports."""
        again = writer._replace(
            channel=(), reports=(), sent=(), acknowledged=writer.sequence - 1, rebased=True
        )
        for sent in writer.sent:
            stream = self.commands[sent.request].stream
            before = self._tail(again, stream) or writer.memory.heads[stream] or NO_HEAD
            tail = Head(sent.version - sent.events, before.last_offset)
            again = self._send(again, sent.request, tail)
        return again

    # checkpoints, and what may be forgotten

    def checkpoint(self, writer: Writer, log: Log) -> Stored | None:
        """What the next checkpoint stores; None: nothing is new."""
        memory, position = writer.memory, writer.position
        if not self.has(Ingredient.CHECKPOINT_ACKNOWLEDGED):
            for sent in writer.sent:
                last_offset = writer.claim_offset + sent.last_sequence
                told = self._completed(writer._replace(memory=memory), sent, last_offset)
                memory = told.writer.memory
            last = writer.sequence - 1
            position = position._replace(
                next_offset=writer.claim_offset + last + 1, next_sequence=last + 1
            )
        if not self.has(Ingredient.CHECKPOINT_AT_ITS_PREFIX):
            position = position._replace(next_offset=len(log))
        if position.next_offset <= memory.checkpoint:
            return None
        least = memory.checkpoint
        heads = tuple([_fresh(each, least) for each in memory.heads])
        applied = tuple([_fresh(each, least) for each in memory.applied])
        if not any(heads) and not any(applied):
            return None
        return Stored(writer.id, writer.epoch, least, position, heads, applied)

    def forget_head(self, writer: Writer, stream: int) -> Writer | None:
        """Forget a stream's head; None: it must not be forgotten."""
        memory, head = writer.memory, writer.memory.heads[stream]
        if not self._may_forget(head, memory):
            return None
        heads = tuple([None if at == stream else each for at, each in enumerate(memory.heads)])
        return writer._replace(memory=memory._replace(heads=heads, heads_whole=False))

    def forget_id(self, writer: Writer, number: int) -> Writer | None:
        """Forget an append id; None: it must not be forgotten."""
        memory, applied = writer.memory, writer.memory.applied[number]
        if not self._may_forget(applied, memory):
            return None
        left = tuple([None if at == number else each for at, each in enumerate(memory.applied)])
        return writer._replace(memory=memory._replace(applied=left, applied_whole=False))

    def _may_forget(self, known: Head | None, memory: Memory) -> bool:
        if known is None:
            return False
        return known.last_offset < memory.checkpoint or not self.has(Ingredient.FORGET_BELOW)


def _fresh(known: Head | None, least: int) -> Head | None:
    return known if known is not None and known.last_offset >= least else None
