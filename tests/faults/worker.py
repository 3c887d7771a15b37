"""A process that uses the store and writes down what it asked and was told.

``python -m tests.faults.worker FILE``, with a `Task` as JSON in the file. It works until SIGTERM,
then closes its store and ends with 0; with 3 if its store failed.
"""

import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eventstore import Appended, Repository
from eventstore.errors import EventStoreError, StoreClosed
from eventstore.kafka import restorer
from eventstore.kafka.schemas import SchemaRegistry
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.store import KafkaEventStore
from eventstore.kafka.topics import Topics
from tests.bank import Account, MoneyDeposited
from tests.faults import sabotage
from tests.faults.history import NO_ANSWER, Journal, Kind
from tests.faults.task import Task, Wish, Wishes

ANSWER_SECONDS: Final = 100.0
"""Seconds after which an answer is given up; the store's own patience is far shorter."""
LOOK_SECONDS: Final = 0.2
PIPELINED: Final = 8
TOO_MANY: Final = 1_001
SIZES: Final = (1, 1, 1, 2, 3, 10)
WEIGHTS: Final[Mapping[str, int]] = {
    "numbered": 30,
    "any": 15,
    "pipelined": 12,
    "again": 14,
    "ahead": 2,
    "too large": 1,
    "execute": 12,
    "read": 6,
    "head": 4,
    "applied": 4,
}
DRAWN: Final = (tuple(WEIGHTS), tuple(WEIGHTS.values()))


class Worker:
    """The operations of one process, from several threads."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.stopping = threading.Event()
        self.failed = False
        self._journal = Journal(task.folder / f"history-{task.process}.jsonl")
        self._wishes = Wishes(task.folder)
        self._store = _open(task)
        self._accounts = Repository(self._store, Account)
        self._versions: dict[str, int] = {}
        """What this process knows of the streams; others may be ahead."""
        self._numbers = iter(range(sys.maxsize))
        self._operations: dict[str, Callable[[random.Random, str], None]] = {
            "numbered": self._numbered,
            "any": self._any,
            "pipelined": self._pipeline,
            "again": self._again,
            "ahead": self._ahead,
            "too large": self._too_large,
            "execute": self._command,
            "read": self._look,
            "head": self._look_at_head,
            "applied": self._look_at_append,
        }

    def run(self) -> None:
        """Work until told to stop, then close the store, mostly after the last answers."""
        threads = [
            threading.Thread(target=self._work, args=(random.Random(f"{self.task.seed} {number}"),))
            for number in range(self.task.threads)
        ]
        for thread in threads:
            thread.start()
        while not self.stopping.wait(LOOK_SECONDS):
            """A SIGTERM just after SIGCONT may go to a thread that wakes nobody."""
        if random.Random(self.task.seed).random() < 0.7:
            for thread in threads:
                thread.join()
        self._store.close()
        for thread in threads:
            thread.join()

    def resolve(self, file: Path) -> None:
        """Repeat what nobody was told the outcome of, then read all streams."""
        wishes = [Wish(**each) for each in json.loads(file.read_text())]
        appends = [wish for wish in wishes if wish.kind == "append"]
        for begin in range(0, len(appends), PIPELINED):
            self._await([self._submit(wish) for wish in appends[begin : begin + PIPELINED]])
        for wish in wishes:
            if wish.kind == "execute":
                self._execute(wish)
        for stream in self._streams():
            self._head(stream)
            self._read(stream, 0)
        self._store.close()

    def _work(self, draw: random.Random) -> None:
        while not self.stopping.is_set():
            self._operate(draw)
            time.sleep(draw.random() * self.task.pause_ms / 1_000)

    def _operate(self, draw: random.Random) -> None:
        """One operation, on a stream of all."""
        stream = draw.choice(self._streams())
        self._operations[draw.choices(*DRAWN)[0]](draw, stream)

    def _numbered(self, draw: random.Random, stream: str) -> None:
        known = self._versions.get(stream, 0)
        self._try_until_known(draw, Wish.new("append", stream, known, draw.choice(SIZES)))

    def _any(self, draw: random.Random, stream: str) -> None:
        self._try_until_known(draw, Wish.new("append", stream, None, draw.choice(SIZES)))

    def _again(self, draw: random.Random, _stream: str) -> None:
        """Anybody's append, old or new, as it was asked for first."""
        if wish := self._wishes.pick(draw):
            self._try(wish)

    def _ahead(self, draw: random.Random, stream: str) -> None:
        expected = self._versions.get(stream, 0) + draw.randint(1, 20)
        self._try(Wish.new("append", stream, expected, draw.choice(SIZES)))

    def _too_large(self, _draw: random.Random, stream: str) -> None:
        wish = Wish.new("append", stream, None, 1)
        self._try(replace(wish, amounts=wish.amounts * TOO_MANY))

    def _command(self, draw: random.Random, stream: str) -> None:
        self._try_until_known(draw, Wish.new("execute", stream, None, 1))

    def _look(self, draw: random.Random, stream: str) -> None:
        self._read(stream, draw.choice((0, *[max(0, self._versions.get(stream, 0) - 5)] * 9)))

    def _look_at_head(self, _draw: random.Random, stream: str) -> None:
        self._head(stream)

    def _look_at_append(self, draw: random.Random, _stream: str) -> None:
        if wish := self._wishes.pick(draw):
            self._applied(wish)

    def _streams(self) -> list[str]:
        return [f"account-{number}" for number in range(self.task.streams)]

    def _pipeline(self, draw: random.Random, stream: str) -> None:
        """Several at once, each expecting what the one before makes."""
        known = self._versions.get(stream, 0)
        begun: list[tuple[str, Future[Appended]]] = []
        for _ in range(draw.randint(2, PIPELINED)):
            wish = Wish.new("append", stream, known, draw.choice((1, 2, 5)))
            known += len(wish.amounts)
            self._wishes.add(wish)
            begun.append(self._submit(wish))
        self._await(begun)

    def _try_first(self, draw: random.Random, wish: Wish) -> bool:
        """Half of all ids are known to others at once; of the rest the store is told so."""
        if wish.kind == "append" and draw.random() < 0.5:
            known = self._await([self._submit(wish, first_try=True)])
            self._wishes.add(wish)
            return known
        self._wishes.add(wish)
        return self._try(wish)

    def _try_until_known(self, draw: random.Random, wish: Wish) -> None:
        """What is not known is mostly repeated, at once or a little later."""
        known, left = self._try_first(draw, wish), 2
        while left and not known and not self.stopping.is_set() and draw.random() < 0.6:
            time.sleep(draw.random() * 0.3)
            known, left = self._try(wish), left - 1

    def _try(self, wish: Wish) -> bool:
        """Whether its outcome is known."""
        if wish.kind == "execute":
            return self._execute(wish)
        return self._await([self._submit(wish)])

    def _submit(self, wish: Wish, *, first_try: bool = False) -> tuple[str, Future[Appended]]:
        op = self._invoke("append", append_id=wish.append_id, **_asked(wish))
        try:
            future: Future[Appended] = self._store.submit(wish.append(first_try=first_try))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            future = Future()
            future.set_exception(error)
        future.add_done_callback(partial(self._answered, op, wish))
        return op, future

    def _answered(self, op: str, wish: Wish, future: Future[Appended]) -> None:
        at, error = time.monotonic_ns(), future.exception()
        told = _facts(error) if error is not None else _appended(future.result())
        self._journal.answer(op, told, at=at)
        self._learn(wish.stream, told, error)

    def _await(self, begun: list[tuple[str, Future[Appended]]]) -> bool:
        known = True
        for op, future in begun:
            try:
                error = future.exception(ANSWER_SECONDS)
            except NoAnswer:
                self._journal.answer(op, {"error": NO_ANSWER})
                known = False
            else:
                known &= error is None or type(error).__name__ == "ConcurrencyError"
        return known

    def _learn(self, stream: str, told: Mapping[str, Any], error: BaseException | None) -> None:
        conflict = told.get("error") == "ConcurrencyError"
        version = told.get("found" if conflict else "version")
        if isinstance(version, int):
            self._versions[stream] = max(self._versions.get(stream, 0), version)
        if isinstance(error, StoreClosed) and not self.stopping.is_set():
            self.failed = True
            self.stopping.set()

    def _execute(self, wish: Wish) -> bool:
        seen: list[list[int]] = []

        def deposit(account: Account) -> None:
            seen.append([account.version, account.balance])
            account.deposit(wish.amounts[0])

        def execute() -> dict[str, Any]:
            append_id = UUID(hex=wish.append_id)
            return _appended(
                self._accounts.execute(wish.stream, deposit, append_id=append_id, attempts=3)
            )

        op = self._invoke("execute", append_id=wish.append_id, **_asked(wish))
        told = self._tell(op, wish.stream, execute, lambda: {"seen": seen[-1] if seen else None})
        return "error" not in told

    def _read(self, stream: str, after: int) -> None:
        def read() -> dict[str, Any]:
            found = self._store.read(Account.topic, stream, after=after)
            events = [
                [each.version, each.append_id.hex, each.offset, _amount(each.event)]
                for each in found
            ]
            return {"events": events, "version": events[-1][0] if events else None}

        self._tell(self._invoke("read", stream=stream, after=after), stream, read)

    def _head(self, stream: str) -> None:
        def head() -> dict[str, Any]:
            found = self._store.head(Account.topic, stream)
            if found is None:
                return {"version": 0}
            facts = [found.append_id.hex, found.first_offset, found.last_offset]
            return {"version": found.version, "facts": facts}

        self._tell(self._invoke("head", stream=stream), stream, head)

    def _applied(self, wish: Wish) -> None:
        def applied() -> dict[str, Any]:
            found = self._store.applied(Account.topic, wish.stream, UUID(hex=wish.append_id))
            return {"version": None} if found is None else _appended(found)

        op = self._invoke("applied", append_id=wish.append_id, stream=wish.stream)
        self._tell(op, wish.stream, applied)

    def _tell(
        self,
        op: str,
        stream: str,
        ask: Callable[[], dict[str, Any]],
        more: Callable[[], dict[str, Any]] = dict,
    ) -> dict[str, Any]:
        """Ask, and write down the answer or the error."""
        error: Exception | None = None
        try:
            told = ask()
        except Exception as caught:  # noqa: BLE001 - whatever it is, it is the answer
            error, told = caught, _facts(caught)
        told |= more()
        self._journal.answer(op, told)
        self._learn(stream, told, error)
        return told

    def _invoke(self, kind: Kind, **asked: Any) -> str:
        op = f"{self.task.process}-{next(self._numbers)}"
        self._journal.invoke(op, self.task.process, kind, asked)
        return op


def _open(task: Task) -> KafkaEventStore:
    settings = KafkaSettings(task.kafka)
    topics = Topics(settings, task.durability, task.partitions, postgres=task.postgres)
    return KafkaEventStore(
        settings,
        {Account.topic: Account.event_types},
        topics=topics,
        registry=SchemaRegistry(settings, topics),
        postgres=task.postgres,
        role=task.role,
    )


def _asked(wish: Wish) -> dict[str, Any]:
    return {"stream": wish.stream, "expected": wish.expected, "amounts": wish.amounts}


def _appended(appended: Appended) -> dict[str, Any]:
    positions = [[each.partition, each.offset] for each in appended.positions]
    version, repeated = appended.version, appended.repeated
    return {"version": version, "positions": positions, "repeated": repeated}


def _facts(error: BaseException) -> dict[str, Any]:
    facts = {name: getattr(error, name, None) for name in ("expected", "found")}
    if not isinstance(error, EventStoreError):
        facts["unexpected"] = repr(error)
    return {"error": type(error).__name__, "why": str(error)[:300], **facts}


def _amount(event: object) -> int | None:
    return event.amount if isinstance(event, MoneyDeposited) else None


def _draw_loading(task: Task) -> None:
    """Half of the processes load no heads with a checkpoint, though they are few: they look up."""
    if random.Random(f"{task.seed} loading").random() < 0.5:
        restorer.__dict__["HEADS_LOADED"] = 0


def main() -> int:
    """Do the task in the file."""
    task = Task.from_json(Path(sys.argv[1]).read_text())
    _draw_loading(task)
    faulthandler.register(signal.SIGUSR1)
    sabotage.install(os.environ.get(sabotage.VARIABLE))
    worker = Worker(task)
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stopping.set())
    if task.resolve is not None:
        worker.resolve(task.resolve)
    else:
        worker.run()
    return 3 if worker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
