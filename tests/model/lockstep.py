"""The real writer and the model's, step by step: what one does, the other must do too.

After each step both logs hold the same records, both writers remember the same, both databases
hold the same, and what the real writer answered, refused or sent is what the model's would.
"""

from collections.abc import Callable, Sequence
from random import Random

from eventstore.errors import ConcurrencyError
from eventstore.kafka.checkpointer import Stored as Outcome
from eventstore.kafka.partition import Phase
from eventstore.kafka.requests import AppendRequest
from eventstore.kafka.rule import ReaderRule
from eventstore.store import Appended
from tests.model.database import Found, Stored, empty, store
from tests.model.ingredients import Ingredient
from tests.model.log import Command, Head, Log, Record
from tests.model.real import (
    Claims,
    RealWriter,
    append_of,
    applied_of,
    heads_of,
    number_of,
    remembered,
)
from tests.model.world import may_store
from tests.model.writer import Answer, Protocol, Report, Writer
from tests.writer_model import Database, Process
from tests.writer_model import Log as RealLog


class Side:
    """One writer, as it is and as it is modelled."""

    def __init__(self, real: RealWriter) -> None:
        self.real = real
        self.model: Writer | None = None
        self.pending: list[tuple[int, AppendRequest]] = []
        self.found: dict[int, Found] = {}
        """What was looked up, by command."""
        self.stored: Stored | None = None
        """The checkpoint that is on its way."""


class Lockstep:
    """Two writers of one partition, each twice; a step that cannot be taken changes nothing."""

    def __init__(
        self,
        seed: int,
        commands: Sequence[Command],
        *,
        limit: int,
        few: int = 0,
        without: frozenset[Ingredient] = frozenset(),
    ) -> None:
        self.random = Random(seed)
        self.commands, self.limit, self.few = tuple(commands), limit, few
        self.protocol = Protocol(self.commands, without, few=min(few, limit))
        self.log = Log(self.commands, ReaderRule[tuple[int, Record]])
        self.database = empty(self.protocol.streams, len(commands))
        self.real_log, self.real_database = RealLog(), Database()
        self.backup = self.database, self.real_database.copy()
        self.under_way: list[tuple[Record, ...]] = []
        self.claims = Claims()
        self.asked: set[int] = set()
        self.first_tries: dict[int, AppendRequest] = {}
        self.sides = [self._side(), self._side()]
        self.answers = 0
        """How many answers were compared."""

    def walk(self, steps: int) -> None:
        """Take so many steps at random, and compare after each."""
        often: list[Callable[[Side], None]] = [
            self.submit,
            self.claim,
            self.land,
            self.tell,
            self.serve,
            self.look_up,
        ]
        seldom: list[Callable[[Side], None]] = [
            self.checkpoint,
            self.store,
            self.land_late,
            self.go_back,
        ]
        faults: list[Callable[[Side], None]] = [self.lose_producer, self.crash]
        well: list[Callable[[Side], None]] = [self.go_well]
        for _ in range(steps):
            side = self.random.choice(self.sides)
            kinds = [often, seldom, faults, well]
            (kind,) = self.random.choices(kinds, [20, 6, 1, 4])
            self.random.choice(kind)(side)
            self.compare()

    def go_well(self, side: Side) -> None:
        """What a writer does when nothing comes in between."""
        self.submit(side)
        for step in (self.claim, self.look_up, self.serve):
            step(side)
            self.compare()
            while len(side.real.apart) and self.random.random() < 0.9:
                self.land(side)
                self.tell(side)
                self.compare()  # else what was forgotten may be back before that is seen
        self.serve(side)
        self.checkpoint(side)

    # the clients

    def submit(self, side: Side) -> None:
        """The id of a first try is known to nobody else, before it is answered."""
        number = self.random.randrange(len(self.commands))
        first = self.first_tries.get(number)
        if first is not None and not first.needs_id and not first.future.done():
            return
        first_try = number not in self.asked and self.random.random() < 0.5
        self.asked.add(number)
        request = side.real.submit(append_of(number, self.commands[number], first_try=first_try))
        if first_try:
            self.first_tries[number] = request
        side.pending.append((number, request))

    # the writers

    def claim(self, side: Side) -> None:
        partition = side.real.partition
        if partition.phase is not Phase.IDLE or not partition.waiting:
            return
        side.model = self.protocol.claim(len(self.claims), self.log, self.database)
        side.real.claim()
        assert partition.claiming is not None
        self.claims.add(partition.claiming)

    def tell(self, side: Side) -> None:
        if not side.real.apart.landed:
            return
        record = self.claims.record(b"a", side.real.tell())
        model = side.model
        if model is None or record.writer != model.id:
            return  # its session is over
        report = self.protocol.next_report(model)
        assert report is not None
        if not model.serving:
            self._becomes(
                side, self.protocol.confirm(model, report.offset, self.log, self.database)
            )
            return
        answer = self.protocol.acknowledge(model, report)
        self._becomes(side, answer and answer.writer)
        if answer is not None and answer.applied is not None:
            self._answered(side, model.sent[0].request, answer.applied)

    def _answered(self, side: Side, number: int, applied: Head) -> None:
        """All who waited for it got this answer."""
        waited = [request for each, request in side.pending if each == number]
        done = [request for request in waited if request.future.done()]
        assert done
        for request in done:
            self._same_answer(request, applied)
        side.pending = [each for each in side.pending if each[1] not in done]

    def _same_answer(self, request: AppendRequest, applied: Head) -> None:
        answer = request.future.result()
        assert isinstance(answer, Appended)
        assert Head(answer.version, answer.positions[-1].offset) == applied
        self.answers += 1

    def serve(self, side: Side) -> None:
        """Decide what waits; with what was looked up, or without."""
        real = side.real
        sent_before = len(real.apart.queue)
        found, side.found = side.found, {}
        before = side.model
        real.serve()
        if before is None or not before.serving:
            return
        side.model = self._kept(before, found)
        sent = [self.claims.record(*each[:2]) for each in list(real.apart.queue)[sent_before:]]
        for number in dict.fromkeys(record.command for record in sent):
            answer = self._ask(side, number, found)
            assert answer is not None
            assert answer.writer.sent[-1].request == number
        model = side.model
        assert model is not None
        assert list(model.channel[len(model.channel) - len(sent) :]) == sent
        for number, request in side.pending:
            if request.future.done():
                self._decided(side, number, request, found)
        side.pending = [each for each in side.pending if not each[1].future.done()]
        if not real.partition.serving:
            assert any(not self.protocol.counts(before, each) for each in found.values())
            self._becomes(side, None)
        elif side.model.memory.heads_whole:
            self._nothing_is_left(side)

    def _kept(self, model: Writer, looked_up: dict[int, Found]) -> Writer:
        """What was looked up is kept also where the append itself must wait."""
        for number, found in looked_up.items():
            if self.protocol.counts(model, found):
                stream = self.commands[number].stream
                model = model._replace(memory=self.protocol.kept(model.memory, found, stream))
        return model

    def _ask(self, side: Side, number: int, found: dict[int, Found]) -> Answer | None:
        assert side.model is not None
        first_try = any(not request.needs_id for each, request in side.pending if each == number)
        asking = side.model._replace(found=found.get(number))
        answer = self.protocol.ask(asking, number, first_try=first_try)
        if answer is not None:
            side.model = answer.writer._replace(found=None)
        return answer

    def _decided(
        self, side: Side, number: int, request: AppendRequest, found: dict[int, Found]
    ) -> None:
        error = request.future.exception()
        if error is None:
            answer = self._ask(side, number, found)
            assert answer is not None
            assert answer.applied is not None
            self._same_answer(request, answer.applied)
        elif isinstance(error, ConcurrencyError):
            answer = self._ask(side, number, found)
            assert answer is not None
            assert answer.refused
            self.answers += 1

    def _nothing_is_left(self, side: Side) -> None:
        """What the real writer lets wait, the model's cannot answer either."""
        assert side.model is not None
        if side.model.memory.applied_whole:
            for number, _ in side.pending:
                assert self.protocol.ask(side.model, number, first_try=False) is None

    def lose_producer(self, side: Side) -> None:
        side.real.lose_producer()
        self._becomes(side, None)

    def crash(self, side: Side) -> None:
        side.real.crash(side.real.apart.fates)
        self._becomes(side, None)
        self.sides[self.sides.index(side)] = self._side()

    def _becomes(self, side: Side, model: Writer | None) -> None:
        if model is None and side.model is not None and side.model.channel:
            self.under_way.append(side.model.channel)
        side.model = model

    def _side(self) -> Side:
        return Side(RealWriter(self.real_log, self.real_database, limit=self.limit, few=self.few))

    # records under way

    def land(self, side: Side) -> None:
        if side.real.apart.queue:
            side.real.apart.land()
            record = self.claims.record(*self.real_log.records[-1][1:])
            model = side.model
            if model is not None and record.writer == model.id:
                assert model.channel[0] == record
                report = Report(record.sequence, len(self.log))
                side.model = model._replace(
                    channel=model.channel[1:], reports=(*model.reports, report)
                )
                self.log = self.log.add(record)
            else:
                self._lands_late(record)

    def land_late(self, _: Side) -> None:
        stranded = [self.claims.record(*each) for each in self.real_log.under_way]
        heads = {channel[0] for channel in self.under_way}
        may_land = [at for at, record in enumerate(stranded) if record in heads]
        if may_land:
            at = self.random.choice(may_land)
            self.real_log.land(at)
            self._lands_late(stranded[at])

    def _lands_late(self, record: Record) -> None:
        (channel,) = [each for each in self.under_way if each[0] == record]
        self.under_way.remove(channel)
        if channel[1:]:
            self.under_way.append(channel[1:])
        self.log = self.log.add(record)

    # the database

    def look_up(self, side: Side) -> None:
        real, model = side.real, side.model
        if model is None or not model.serving or real.found is not None:
            return
        looked_up = real.looked_up()
        side.found = {}
        for request in (*real.partition.asking, *real.partition.waiting):
            number, look_up = number_of(request.id), real.partition.look_up_of(request)
            if any(self.protocol.unknown(model, number, first_try=not request.needs_id)):
                assert look_up in looked_up
                found = self.protocol.look_up(model, number, self.database).found
                assert found is not None
                side.found[number] = found

    def checkpoint(self, side: Side) -> None:
        real, model = side.real, side.model
        if model is None or not model.serving or real.partition.checkpointing:
            return
        expected = self.protocol.checkpoint(model, self.log)
        real.checkpoint()
        sent = real.under_way
        if sent is None:
            assert expected is None
            return
        stored = Stored(
            model.id,
            sent.epoch,
            sent.expected,
            self.claims.position(sent.position),
            heads_of(sent.heads),
            applied_of(sent.appends, len(self.commands)),
        )
        if expected is not None:  # it may store once more what stands below, after a doubt
            assert stored[:4] == expected[:4]
        side.stored = stored

    def store(self, side: Side) -> None:
        stored, side.stored = side.stored, None
        if stored is None or side.real.found is not None:
            side.stored = stored
            return
        arrives, heard = self.random.random() < 0.8, self.random.random() < 0.8
        side.real.store(stored=arrives, heard=heard)
        fenced = side.real.told[-1][1] is Outcome.FENCED
        side.real.hear_of_checkpoints()
        allowed = may_store(self.database, stored, frozenset())
        if arrives and allowed:
            self.database = store(self.database, stored)
        if not (arrives and heard):
            return
        assert fenced is not allowed
        model = side.model
        if model is not None and model.id == stored.writer:
            memory = model.memory._replace(checkpoint=stored.position.next_offset)
            self._becomes(side, model._replace(memory=memory) if allowed else None)

    def go_back(self, _: Side) -> None:
        if self.random.random() < 0.5:
            self.backup = self.database, self.real_database.copy()
        else:
            self.database = self.backup[0]
            self.real_database.put_back(self.backup[1])

    # what must be the same

    def compare(self) -> None:
        records = [self.claims.record(*read[1:]) for read in self.real_log.records]
        assert list(self.log.records) == records
        assert self.log.violation is None
        assert self.database.position == self.claims.position(self.real_database.position)
        assert self.database.heads == heads_of(self.real_database.heads)[: self.protocol.streams]
        for side in self.sides:
            partition = side.real.partition
            model = side.model
            assert partition.serving is (model is not None and model.serving)
            if model is not None and model.serving:
                side.model = self._forgot(side.real, model)
                assert tuple(side.model.memory) == remembered(partition.heads, len(self.commands))

    def _forgot(self, real: Process, model: Writer) -> Writer:
        """What the real writer has forgotten, the model's may forget."""
        heads = real.partition.heads
        for stream, known in enumerate(heads_of(heads.tips)):
            if known is None and model.memory.heads[stream] is not None:
                forgetful = self.protocol.forget_head(model, stream)
                assert forgetful is not None
                model = forgetful
        for number, applied in enumerate(applied_of(heads.applied, len(self.commands))):
            if applied is None and model.memory.applied[number] is not None:
                forgetful = self.protocol.forget_id(model, number)
                assert forgetful is not None
                model = forgetful
        return model
