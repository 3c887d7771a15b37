"""Writers that fail in every way, in memory: what they answer is what the log says."""

from dataclasses import replace
from typing import Any

import hypothesis.strategies as st
from confluent_kafka import KafkaError
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from eventstore.errors import (
    ConcurrencyError,
    DeliveryFailed,
    UnknownOutcome,
    VersionAhead,
)
from eventstore.kafka.header import NO_APPEND, Header
from eventstore.kafka.requests import AppendRequest, Question, question_of_head
from eventstore.postgres.checkpoints import LookUp, Tip
from eventstore.store import ANY, NO_STREAM, Append, Appended, ExpectedVersion
from tests.bank import Account, MoneyDeposited
from tests.bank_store import deposit
from tests.writer_model import KEY, Database, Fate, Log, Process

STREAMS = ("a", "b")
FATES = st.lists(st.sampled_from(Fate), min_size=1, max_size=6)
WHO = st.integers(0, 1)
NOT_FINAL = (UnknownOutcome, VersionAhead, DeliveryFailed)


class Writers(RuleBasedStateMachine):
    """Two processes write to one partition; each of them may fail at any step."""

    @initialize(
        limit=st.sampled_from([1, 1, 100]),
        far=st.sampled_from([1, 1_000]),
        at_once=st.sampled_from([1, 3, 1_000]),
        few=st.sampled_from([0, 1, 100]),
    )
    def begin(self, limit: int, far: int, at_once: int, few: int) -> None:
        self.log, self.database, self.limit = Log(), Database(), limit
        self.far, self.at_once, self.few = far, at_once, few
        self.backup = self.database
        self.processes = [self.process(), self.process()]
        self.by_process: list[list[AppendRequest]] = [[], []]
        self.requests: list[AppendRequest] = []
        self.heads_asked: list[tuple[Question[Tip], int]] = []

    def process(self) -> Process:
        return Process(
            self.log,
            self.database,
            limit=self.limit,
            far=self.far,
            at_once=self.at_once,
            few=self.few,
        )

    @rule(
        who=WHO,
        stream=st.sampled_from(STREAMS),
        count=st.integers(1, 3),
        expected=st.sampled_from([ANY, NO_STREAM, "head", "below", "above"]),
        first_try=st.booleans(),
    )
    def submit(self, who: int, stream: str, count: int, expected: Any, *, first_try: bool) -> None:
        versions = {"head": 0, "below": -1, "above": 1}
        wanted: ExpectedVersion = expected
        if expected in versions:
            wanted = max(0, self.version_of(stream) + versions[expected])
        events = [MoneyDeposited(amount=1)] * count
        append = Append(Account.topic, stream, events, wanted, first_try=first_try)
        self.put(who, append)

    @rule(who=WHO, stream=st.sampled_from(STREAMS), count=st.integers(2, 4))
    def submit_pipelined(self, who: int, stream: str, count: int) -> None:
        version = self.version_of(stream)
        for number in range(count):
            self.put(
                who,
                Append(
                    Account.topic,
                    stream,
                    [MoneyDeposited(amount=1)],
                    version + number,
                    first_try=True,
                ),
            )

    def put(self, who: int, append: Append) -> None:
        request = self.processes[who].submit(append)
        self.by_process[who].append(request)
        self.requests.append(request)

    @rule(who=WHO, number=st.integers(0, 1_000))
    def repeat(self, who: int, number: int) -> None:
        """The id of a first try is known to its caller only with its answer."""
        known = [each for each in self.requests if each.needs_id or each.future.done()]
        if known:
            append = known[number % len(known)].append
            assert isinstance(append, Append)
            self.put(who, replace(append, first_try=False))

    @rule(who=WHO, stream=st.sampled_from(STREAMS))
    def ask(self, who: int, stream: str) -> None:
        process = self.processes[who]
        if process.partition.serving:
            question = question_of_head(LookUp(KEY.topic, 0, stream, NO_APPEND))
            process.ask(question)
            acknowledged = [
                request.future.result().version
                for request in self.by_process[who]
                if request.append.stream == stream
                and request.future.done()
                and request.future.exception() is None
            ]
            self.heads_asked.append((question, max(acknowledged, default=0)))

    @rule(who=WHO)
    def claim(self, who: int) -> None:
        self.processes[who].claim()

    @rule(who=WHO)
    def look_up(self, who: int) -> None:
        self.processes[who].look_up()

    @rule(who=WHO)
    def serve(self, who: int) -> None:
        self.processes[who].serve()

    @rule(who=WHO, records=st.integers(1, 4))
    def deliver(self, who: int, records: int) -> None:
        self.processes[who].deliver(records)

    @rule(who=WHO, records=st.integers(1, 9))
    def go_well(self, who: int, records: int) -> None:
        process = self.processes[who]
        process.claim()
        process.deliver(1)
        process.look_up()
        process.serve()
        process.deliver(records)

    @rule(
        who=WHO, stream=st.sampled_from(STREAMS), count=st.integers(1, 3), first_try=st.booleans()
    )
    def append(self, who: int, stream: str, count: int, *, first_try: bool) -> None:
        self.put(who, deposit(stream, amounts=[1] * count, first_try=first_try))
        self.go_well(who, 9)

    @rule(who=WHO)
    def checkpoint(self, who: int) -> None:
        self.processes[who].checkpoint()

    @rule(who=WHO, stored=st.booleans(), heard=st.booleans())
    def store(self, who: int, *, stored: bool, heard: bool) -> None:
        self.processes[who].store(stored=stored, heard=heard)

    @rule(who=WHO)
    def store_well(self, who: int) -> None:
        self.processes[who].checkpoint()
        self.processes[who].store()

    @rule(who=WHO, fates=FATES, refused=st.booleans())
    def break_producer(self, who: int, fates: list[Fate], *, refused: bool) -> None:
        code = KafkaError.MSG_SIZE_TOO_LARGE if refused else KafkaError._MSG_TIMED_OUT
        self.processes[who].break_producer(code, fates)

    @rule(number=st.integers(0, 5))
    def land(self, number: int) -> None:
        self.log.land(number)

    @rule()
    def write_as_a_stranger(self) -> None:
        self.log.add(b"a", None)

    @rule(who=WHO, fates=FATES)
    def crash(self, who: int, fates: list[Fate]) -> None:
        self.processes[who].crash(fates)
        self.processes[who] = self.process()
        self.by_process[who] = []

    def version_of(self, stream: str) -> int:
        """As of the log, whoever knows it."""
        versions = [each[-1][2].version for each in self.log.appends() if each[0][1] == stream]
        return max(versions, default=0)

    def teardown(self) -> None:
        if not hasattr(self, "log"):
            return
        for process in self.processes:
            process.drain()
        appends = self.checked_appends()
        for request in self.requests:
            if request.future.done():
                self.check(request, appends.get(request.id))
        for request in (*self.by_process[0], *self.by_process[1]):
            assert request.future.done(), "somebody waits for ever"
        for question, least in self.heads_asked:
            if question.future.done():
                tip = question.future.result()
                assert (tip.version if tip else 0) >= least

    def checked_appends(self) -> dict[bytes, list[tuple[int, str, Header]]]:
        """The valid appends by id; none twice, and each stream's versions are 1, 2, 3, …"""
        found: dict[bytes, list[tuple[int, str, Header]]] = {}
        versions: dict[str, int] = {}
        for append in self.log.appends():
            _, stream, first = append[0]
            assert first.append not in found, "an append is in the log twice"
            found[first.append] = append
            for _, _, header in append:
                assert header.version == versions.get(stream, 0) + 1
                versions[stream] = header.version
        return found

    def check(self, request: AppendRequest, valid: list[tuple[int, str, Header]] | None) -> None:
        error = request.future.exception()
        if error is None:
            answer: Appended = request.future.result()
            assert valid is not None, "it was answered, and is not in the log"
            offset, stream, header = valid[-1]
            assert (answer.stream, answer.version) == (stream, header.version)
            assert answer.positions[-1].offset == offset
            assert len(answer.positions) == len(valid)
        elif isinstance(error, ConcurrencyError):
            assert valid is None, "it was refused for good, and is in the log"
        else:
            assert isinstance(error, NOT_FINAL), error


Writers.TestCase.settings = settings(
    max_examples=500,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestWritersAnswerWhatTheLogSays = Writers.TestCase


class WritersOverABackup(Writers):
    """The same, where the database may be put back to an older state."""

    @rule()
    def back_up(self) -> None:
        self.backup = self.database.copy()

    @rule()
    def restore(self) -> None:
        self.database.put_back(self.backup)


WritersOverABackup.TestCase.settings = Writers.TestCase.settings
TestADatabaseThatWentBackChangesNoAnswer = WritersOverABackup.TestCase
