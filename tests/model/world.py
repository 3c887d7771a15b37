"""The world of the model: a log, writers, records under way, a database, and all that may happen.

Any number of things may be delayed for ever: a record, a report, a request, a checkpoint. So a
lost acknowledgement and a crash are one step: a writer drops its session, and all that is left
of it is under way.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from eventstore.kafka.rule import ReaderRule
from eventstore.postgres.checkpoints import Checkpoint, PartitionKey
from tests.model.bounds import Bounds
from tests.model.database import Database, Found, Stored, empty, store
from tests.model.ingredients import Ingredient
from tests.model.log import Applied, Command, Log, Record, Rule
from tests.model.post import Post
from tests.model.writer import Protocol, Report, Writer

KEY = PartitionKey("accounts", "topic-id", 0)
LATER = Command(stream=0, events=1, expected=None)
"""What nobody asks for until a writer is to come back."""
LATER_WRITER = 1_000


class Told(NamedTuple):
    """What the clients of a command were told."""

    applied: Applied | None = None
    refused: bool = False
    asked: bool = False
    """It came to some writer."""


class State(NamedTuple):
    """Everything at one moment. Writers that hold no claim know nothing, and are not in it."""

    log: Log
    writers: tuple[Writer, ...]
    under_way: tuple[tuple[Record, ...], ...]
    """Records of sessions that were dropped, and repeated ones: each lands, or never does."""
    told: tuple[Told, ...]
    claims: int
    faults: int
    database: Database
    stored: tuple[Database, ...]
    """What the database was before, to go back to."""
    checkpoints: tuple[Stored, ...]
    """Checkpoints on their way."""
    looked_up: frozenset[Found]
    """What was looked up in sessions that are over; a later one may still come to use it."""
    checkpoints_left: int
    restores: int
    losses: int
    doubts: int
    post: Post = Post()
    """Requests and replies."""


Step: TypeAlias = tuple[str, State]


class World:
    """The first state, and for each state what may happen next."""

    def __init__(
        self,
        bounds: Bounds,
        without: frozenset[Ingredient] = frozenset(),
        rule: Rule = ReaderRule[tuple[int, Record]],
        *,
        live: bool = True,
    ) -> None:
        self.bounds = bounds
        commands = (*bounds.commands, LATER)
        self.protocol = Protocol(commands, without, few=bounds.few)
        self._log = Log(commands, rule)
        self._live = live
        self._came_back: set[tuple[Log, Database]] = set()
        self._has = self.protocol.has

    def begin(self) -> State:
        bounds = self.bounds
        database = empty(self.protocol.streams, len(self.protocol.commands))
        return State(
            log=self._log,
            writers=(),
            under_way=(),
            told=(Told(),) * len(bounds.commands),
            claims=0,
            faults=bounds.faults,
            database=database,
            stored=(database,) if bounds.restores else (),
            checkpoints=(),
            looked_up=frozenset(),
            checkpoints_left=bounds.checkpoints,
            restores=bounds.restores,
            losses=bounds.losses,
            doubts=bounds.doubts,
        )

    def violation(self, state: State) -> str | None:
        """What is wrong, if anything."""
        if state.log.violation is not None:
            return state.log.violation
        for number, told in enumerate(state.told):
            applied = state.log.applied[self.protocol.ids[number]]
            if told.applied is not None and told.applied != applied:
                return "an append was acknowledged, and is not valid as it was answered"
            if told.refused and number in state.log.valid_commands:
                return "an append was refused for good, and is valid"
        quiet = state.log, state.database
        if self._live and quiet not in self._came_back:
            self._came_back.add(quiet)
            if not self._comes_back(*quiet):
                return "no writer can come back"
        return None

    def _comes_back(self, log: Log, database: Database) -> bool:
        """Nothing goes wrong any more, and nothing lands late: a new append is served."""
        protocol = self.protocol
        writer: Writer | None = protocol.claim(LATER_WRITER, log, database)
        assert writer is not None
        if not writer.serving:
            log = log.tried(*writer.channel)
            writer = protocol.confirm(writer, len(log) - 1, log, database)
        if writer is None:
            return False
        number = len(protocol.commands) - 1
        writer = protocol.look_up(writer, number, database)
        asked = protocol.ask(writer, number, first_try=False)
        if asked is None or not asked.writer.sent:
            return False
        (record,) = asked.writer.channel[-1:]
        log = log.tried(record)
        told = protocol.acknowledge(asked.writer, Report(record.sequence, len(log) - 1))
        return told is not None and told.applied is not None and log.applied[number] == told.applied

    def steps(self, state: State) -> Iterator[Step]:
        """All that may happen next."""
        yield from self._claims(state)
        for writer in state.writers:
            yield from self._lands(state, writer)
            yield from self._is_told(state, writer)
            yield self.dropped(state, writer, "drops its session")
            if writer.serving:
                yield from self._is_asked(state, writer)
                yield from self._checkpoints(state, writer)
        yield from self._lands_late(state)
        yield from self._stores(state)
        yield from self._goes_back(state)
        yield from self._loses_claims(state)

    # the writers

    def _claims(self, state: State) -> Iterator[Step]:
        bounds = self.bounds
        if state.claims < bounds.claims and len(state.writers) < bounds.writers:
            writer = self.protocol.claim(state.claims, state.log, state.database)
            writers = (*state.writers, writer)
            yield (
                f"writer {writer.id} reads the log and claims epoch {writer.epoch}",
                state._replace(writers=writers, claims=state.claims + 1),
            )

    def _is_told(self, state: State, writer: Writer) -> Iterator[Step]:
        report = self.protocol.next_report(writer)
        if report is None:
            return
        what = f"is told that its record {report.sequence} stands at {report.offset}"
        if not writer.serving:
            serving = self.protocol.confirm(writer, report.offset, state.log, state.database)
            if serving is None:
                yield self.dropped(state, writer, f"{what}: its claim is not accepted")
            else:
                yield f"writer {writer.id} {what}, and serves", with_writer(state, serving)
            return
        answer = self.protocol.acknowledge(writer, report)
        if answer is None:
            yield self.dropped(state, writer, f"{what}: doubt")
            return
        after = with_writer(state, answer.writer)
        if answer.applied is not None:
            number = writer.sent[0].request
            what += f": append {number} is acknowledged"
            after = answered(after, number, applied=answer.applied)
        yield f"writer {writer.id} {what}", after

    def _is_asked(self, state: State, writer: Writer) -> Iterator[Step]:
        for number in self._local(state):
            for first_try in (False,) if self.asked(state, number) else (False, True):
                if first_try and writer.memory.applied_whole:
                    continue  # the same as a repeated one
                answer = self.protocol.ask(writer, number, first_try=first_try)
                if answer is None:
                    continue
                after = answered(
                    with_writer(state, answer.writer),
                    number,
                    applied=answer.applied,
                    refused=answer.refused,
                    asked=bool(self.bounds.checkpoints),  # else it makes no difference
                )
                what = "sends"
                if answer.writer.sent == writer.sent:
                    what = "keeps what was looked up for"
                if answer.refused:
                    what = "refuses"
                elif answer.applied is not None:
                    what = "repeats the answer of"
                yield f"writer {writer.id} {what} append {number}", after
        if state.doubts and writer.sent and not self._has(Ingredient.NEW_EPOCH):
            again = with_writer(state, self.protocol.send_again(writer))
            again = under_way(again, writer.channel)
            again = again._replace(doubts=state.doubts - 1)
            yield f"writer {writer.id} sends again what is in flight", again

    def _local(self, state: State) -> Iterable[int]:
        """The commands whose clients may be in a writer's own process."""
        return range(len(state.told))

    def asked(self, state: State, number: int) -> bool:
        """Whether the command's append id came to some writer."""
        ids = self.protocol.ids
        return any(told.asked and ids[at] == ids[number] for at, told in enumerate(state.told))

    def dropped(self, state: State, writer: Writer, why: str) -> Step:
        """Its session is over; what it has sent is under way."""
        writers = tuple([each for each in state.writers if each.id != writer.id])
        after = under_way(state._replace(writers=writers), writer.channel)
        if writer.found is not None:
            after = after._replace(looked_up=after.looked_up | {writer.found})
        return f"writer {writer.id} {why}", after

    # records under way

    def _lands(self, state: State, writer: Writer) -> Iterator[Step]:
        if not writer.channel:
            return
        record, *rest = writer.channel
        report = Report(record.sequence, len(state.log))
        landed = with_writer(
            state._replace(log=state.log.add(record)),
            writer._replace(channel=tuple(rest), reports=(*writer.reports, report)),
        )
        yield _landing(record, "lands", state), landed
        if not state.faults:
            return
        faulty = state._replace(faults=state.faults - 1)
        lost = with_writer(faulty, writer._replace(channel=tuple(rest)))
        yield _landing(record, "is lost", state), lost
        repeated = under_way(landed._replace(faults=state.faults - 1), (record,))
        yield _landing(record, "lands, and a copy is under way", state), repeated
        if rest:
            swapped = (rest[0], record, *rest[1:])
            yield (
                _landing(record, "is overtaken by the next", state),
                with_writer(faulty, writer._replace(channel=swapped)),
            )

    def _lands_late(self, state: State) -> Iterator[Step]:
        for at, channel in enumerate(state.under_way):
            record, *rest = channel
            others = (*state.under_way[:at], *state.under_way[at + 1 :])
            without = state._replace(under_way=others)
            left = under_way(without, tuple(rest))
            landed = left._replace(log=state.log.add(record))
            yield _landing(record, "lands late", state), landed
            if state.faults and rest:
                lost = left._replace(faults=state.faults - 1)
                yield _landing(record, "is lost under way", state), lost
                swapped = under_way(without, (rest[0], record, *rest[1:]))
                yield (
                    _landing(record, "is overtaken under way", state),
                    swapped._replace(faults=state.faults - 1),
                )
            if state.faults:
                repeated = under_way(landed, (record,))
                yield (
                    _landing(record, "lands late, and a copy is under way", state),
                    repeated._replace(faults=state.faults - 1),
                )

    def _loses_claims(self, state: State) -> Iterator[Step]:
        """As by compaction, to which all claims have one key; every session ends with it.

        Only while nobody was told anything: what was told and lost, no rule brings back.
        """
        if not state.losses or any(map(any, state.told)):
            return
        log = state.log.compacted()
        if log is not state.log:
            after = state._replace(log=log, losses=state.losses - 1)
            for writer in state.writers:
                after = self.dropped(after, writer, "")[1]
            yield "the log loses all claims but its last, and every session ends", after

    # the database

    def _checkpoints(self, state: State, writer: Writer) -> Iterator[Step]:
        if not self.bounds.checkpoints:
            return
        protocol = self.protocol
        one_is_sent = any(each.writer == writer.id for each in state.checkpoints)
        if state.checkpoints_left and not one_is_sent:
            stored = protocol.checkpoint(writer, state.log)
            if stored is not None:
                sent = state._replace(
                    checkpoints=tuple(sorted((*state.checkpoints, stored))),
                    checkpoints_left=state.checkpoints_left - 1,
                )
                if not self._has(Ingredient.CHECKPOINT_KNOWN):
                    sent = with_writer(sent, _committed(writer, stored))
                what = f"sends a checkpoint up to {stored.position.next_offset}"
                yield f"writer {writer.id} {what}", sent
        yield from self._looks_up(state, writer)
        if self.bounds.forgetting:
            yield from self._forgets(state, writer)

    def _looks_up(self, state: State, writer: Writer) -> Iterator[Step]:
        for number in range(len(state.told)):
            if any(self.protocol.unknown(writer, number, first_try=False)):
                asking = self.protocol.look_up(writer, number, state.database)
                if asking != writer:
                    yield f"writer {writer.id} looks up append {number}", with_writer(state, asking)
        for found in state.looked_up:
            if found != writer.found:
                late = with_writer(state, writer._replace(found=found))
                yield f"writer {writer.id} hears late of append {found.command}", late

    def _forgets(self, state: State, writer: Writer) -> Iterator[Step]:
        for stream in range(self.protocol.streams):
            forgetful = self.protocol.forget_head(writer, stream)
            if forgetful is not None:
                yield (
                    f"writer {writer.id} forgets the head of {stream}",
                    with_writer(state, forgetful),
                )
        for number in range(len(state.told)):
            forgetful = self.protocol.forget_id(writer, number)
            if forgetful is not None:
                yield f"writer {writer.id} forgets append {number}", with_writer(state, forgetful)

    def _stores(self, state: State) -> Iterator[Step]:
        """A checkpoint comes to the database; that is heard, or not; or it is lost."""
        for stored in state.checkpoints:
            left = tuple([each for each in state.checkpoints if each is not stored])
            without = state._replace(checkpoints=left)
            what = f"the checkpoint of writer {stored.writer} up to {stored.position.next_offset}"
            yield f"{what} is lost", without
            writer = next((each for each in state.writers if each.id == stored.writer), None)
            if not may_store(state.database, stored, self.protocol.without):
                if writer is not None:
                    yield self.dropped(without, writer, "hears that its checkpoint was fenced")
                continue
            after = without._replace(database=store(state.database, stored))
            if self.bounds.restores and after.database not in state.stored:
                after = after._replace(stored=(*state.stored, after.database))
            yield f"{what} is stored, and nobody hears of it", after
            if writer is not None:
                yield f"{what} is stored", with_writer(after, _committed(writer, stored))

    def _goes_back(self, state: State) -> Iterator[Step]:
        if state.restores:
            for earlier in state.stored:
                if earlier != state.database:
                    yield (
                        f"the database goes back to {earlier.position.next_offset}",
                        state._replace(database=earlier, restores=state.restores - 1),
                    )


def may_store(database: Database, stored: Stored, without: frozenset[Ingredient]) -> bool:
    """The row is where the checkpoint expects it, or where it may follow all the same."""
    row = database.position
    epoch = stored.epoch
    if Ingredient.CHECKPOINT_EPOCH in without:
        epoch = max(epoch, row.epoch)
    if Ingredient.CHECKPOINT_COMPARES in without:
        return row.epoch <= epoch
    if row.epoch <= epoch and row.next_offset == stored.expected:
        return True
    checkpoint = Checkpoint(KEY, epoch, stored.expected, stored.position, {}, {})
    return checkpoint.may_follow(row)


def _committed(writer: Writer, stored: Stored) -> Writer:
    memory = writer.memory._replace(checkpoint=stored.position.next_offset)
    return writer._replace(memory=memory)


def with_writer(state: State, writer: Writer) -> State:
    writers = tuple([writer if each.id == writer.id else each for each in state.writers])
    return state._replace(writers=writers)


def answered(
    state: State,
    number: int,
    *,
    applied: Applied | None = None,
    refused: bool = False,
    asked: bool = False,
) -> State:
    before = state.told[number]
    after = Told(applied or before.applied, refused or before.refused, asked or before.asked)
    if after == before:
        return state
    told = tuple([after if at == number else each for at, each in enumerate(state.told)])
    return state._replace(told=told)


def under_way(state: State, records: tuple[Record, ...]) -> State:
    if not records:
        return state
    return state._replace(under_way=tuple(sorted((*state.under_way, records))))


def _landing(record: Record, how: str, state: State) -> str:
    what = f"event {record.at + 1} of {record.events} of append {record.command}"
    if record.sequence == 0:
        what = f"the claim of epoch {record.epoch}"
    return f"{what} (writer {record.writer}, record {record.sequence}) {how}, at {len(state.log)}"
