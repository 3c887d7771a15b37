"""A campaign: workers that append to the same streams, a nemesis, and the judgement afterwards.

1. The workers work while the nemesis torments them, their brokers and their connections.
2. Everything is mended; the workers close their stores.
3. Another process repeats every append id whose outcome nobody was told, some that were told, and
   reads all streams.
4. The log is dumped, and the checker judges histories and log.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from eventstore.errors import ConfigurationError, TopicMissing
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import Durability, Topics
from eventstore.postgres import address
from tests.bank import Account
from tests.cluster import Cluster
from tests.faults import log
from tests.faults.checker import (
    ATTEMPTS,
    Run,
    StoredHead,
    Violation,
    check,
    every_question_was_answered,
    everything_is_known_in_the_end,
)
from tests.faults.history import FINAL, Operation, operations
from tests.faults.nemesis import Harm, Nemesis
from tests.faults.process import ROOT, Process
from tests.faults.task import Task, Wish

TOPIC_SECONDS: Final = 20.0
STARTING_SECONDS: Final = 60.0
RESOLVING_SECONDS: Final = 120.0
QUIET_SECONDS: Final = 1.0
"""Seconds that workers work on when everything was mended."""
MUTANT_RESOLVING_SECONDS: Final = 15.0
"""Its log may be beyond repair."""
REPEATED_AT_LAST: Final = 60
"""Acknowledged appends that are repeated in the end, to get their first answers."""


ENDINGS: Final = "processes_end_as_they_should"
PATIENCE: Final = {
    ENDINGS,
    everything_is_known_in_the_end.__name__,
    every_question_was_answered.__name__,
}
"""Checks of whether there were answers, not of whether they were true."""


@dataclass(frozen=True)
class Plan:
    """What a campaign is made of; the seed draws the rest, but for what the machine decides."""

    name: str
    harm: Harm
    seed: int = 1
    seconds: float = 30.0
    brokers: int = 1
    workers: int = 3
    clients: int = 0
    """Workers that only send requests."""
    threads: int = 2
    streams: int = 6
    partitions: int = 2
    pause_ms: float = 20.0
    sabotaged: str | None = None
    """The ingredient that is taken away from the workers."""
    failpoint: str | None = None
    """What all workers are armed with, always."""
    sole: bool = False
    """Each worker claims whatever it appends to, so that they fight."""


@dataclass
class Result:
    """What came of a campaign."""

    plan: Plan
    violations: list[Violation]
    outcomes: Counter[str]
    """How many operations ended how: ``append ok``, ``append ConcurrencyError``, …"""
    faults: Counter[str]
    events: int
    went_on: int
    """Appends begun by workers after a broker was first down, and acknowledged."""
    dead: Counter[str]
    claims: int
    processes: int
    closed_in: list[float]
    """Seconds that each worker took that was ended in order."""
    told: list[str]
    """What the nemesis did."""

    @property
    def untrue(self) -> set[str]:
        """The checks that found an answer untrue; waiting in vain is no lie."""
        return {each.check for each in self.violations} - PATIENCE


def run(plan: Plan, cluster: Cluster, postgres: str | None, folder: Path) -> Result:
    """Run a campaign on a cluster without topics and an empty, migrated database."""
    folder.mkdir(parents=True, exist_ok=True)
    durability = _durability(cluster)
    topics = Topics(
        KafkaSettings(cluster.bootstrap), durability, plan.partitions, postgres=postgres
    )
    _make_topic(topics)
    processes = _processes(plan, cluster, postgres, folder)
    nemesis = Nemesis(
        plan.harm,
        draw=random.Random(plan.seed),
        processes=processes,
        cluster=cluster,
        topic=Account.topic,
    )
    try:
        _begin(processes, folder)
        nemesis.torment(plan.seconds)
        cluster.heal()
        if plan.sabotaged is None:
            _wait_for_an_append(folder)
            time.sleep(QUIET_SECONDS)
            _stop(processes)
    finally:
        for process in processes:
            process.kill()
    failures = [failure for process in processes for failure in process.failures]
    failures += _resolve(plan, processes[0].task, folder)
    nemesis.closed_in = [each for process in processes for each in process.closed_in]
    dump = list(log.dump(cluster.bootstrap, Account.topic, range(plan.partitions)))
    return _judge(plan, folder, dump=dump, postgres=postgres, nemesis=nemesis, failures=failures)


def _begin(processes: Sequence[Process], folder: Path) -> None:
    """Start all, and wait until they work: on a slow machine faults would come before that."""
    for process in processes:
        process.start()
    deadline = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < deadline and all(process.alive for process in processes):
        told = [each for each in operations(folder.glob("history-*.jsonl")) if each.succeeded]
        at_work = {each.process.partition(".")[0] for each in told}
        appended = any(each.kind == "append" for each in told)
        if appended and at_work == {process.task.process for process in processes}:
            return
        time.sleep(0.1)


def _wait_for_an_append(folder: Path) -> None:
    """Until one that begins now is acknowledged: what was broken may be slow to come back."""
    mended, deadline = time.monotonic_ns(), time.monotonic() + STARTING_SECONDS
    while not _appended(folder, mended) and time.monotonic() < deadline:
        time.sleep(0.1)


def _appended(folder: Path, since: int) -> int:
    """How many appends that workers began since then were acknowledged."""
    found = operations(folder.glob("history-[wc]*.jsonl"))
    return sum(each.kind == "append" and each.succeeded and each.invoked > since for each in found)


def _make_topic(topics: Topics) -> None:
    """Of three brokers, one may hear a little later of a topic that was just made or deleted."""
    deadline = time.monotonic() + TOPIC_SECONDS
    while True:
        try:
            topics.ensure(Account.topic)
        except (ConfigurationError, TopicMissing):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _durability(cluster: Cluster) -> Durability:
    return "replicated" if len(cluster.nodes) > 1 else "single"


def _processes(plan: Plan, cluster: Cluster, postgres: str | None, folder: Path) -> list[Process]:
    names = [f"w{number}" for number in range(1, plan.workers + 1)]
    clients = [f"c{number}" for number in range(1, plan.clients + 1)]
    return [
        Process(_task(plan, cluster, postgres, folder, name), plan.sabotaged, plan.failpoint)
        for name in (*names, *clients)
    ]


def _task(plan: Plan, cluster: Cluster, postgres: str | None, folder: Path, name: str) -> Task:
    role: Literal["writer", "client"] = "client" if name.startswith("c") else "writer"
    return Task(
        process=name,
        seed=f"{plan.seed} {name}",
        kafka=cluster.bootstrap,
        postgres=postgres,
        durability=_durability(cluster),
        partitions=plan.partitions,
        streams=plan.streams,
        threads=plan.threads,
        pause_ms=plan.pause_ms,
        folder=folder,
        role="sole" if plan.sole else role,
    )


def _stop(processes: Sequence[Process]) -> None:
    """All at once, in order."""
    with ThreadPoolExecutor(len(processes)) as pool:
        for stopped in [pool.submit(process.stop) for process in processes]:
            stopped.result()


def _resolve(plan: Plan, task: Task, folder: Path) -> list[str]:
    """Let a new process ask again for all that is not known; gives how that failed."""
    wishes = folder / "to-resolve.json"
    wishes.write_text(json.dumps([asdict(wish) for wish in _to_resolve(plan, folder)]))
    last = replace(task, process="last.1", resolve=wishes)
    seconds = MUTANT_RESOLVING_SECONDS if plan.sabotaged else RESOLVING_SECONDS
    file = folder / "task-last.json"
    file.write_text(last.to_json())
    with (folder / "output-last.log").open("ab") as out:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.faults.worker", str(file)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"what was not known was not told within {seconds:g} s"]
    return [] if done.returncode == 0 else [f"the last process ended with {done.returncode}"]


def _to_resolve(plan: Plan, folder: Path) -> list[Wish]:
    """What nobody was told the outcome of, and some of what was told."""
    tries: dict[str, list[Operation]] = {}
    for each in operations(folder.glob("history-*.jsonl")):
        if each.kind in ATTEMPTS:
            tries.setdefault(each.append_id, []).append(each)
    unknown = [
        each
        for each in tries.values()
        if not any(one.succeeded or one.error in FINAL for one in each)
    ]
    known = [each for each in tries.values() if any(one.succeeded for one in each)]
    sample = random.Random(plan.seed).sample(known, min(REPEATED_AT_LAST, len(known)))
    return [_wish(each[0]) for each in (*unknown, *sample)]


def _wish(operation: Operation) -> Wish:
    asked = operation.asked
    kind: Literal["append", "execute"] = "execute" if operation.kind == "execute" else "append"
    return Wish(kind, asked["append_id"], asked["stream"], asked["expected"], asked["amounts"])


def _judge(
    plan: Plan,
    folder: Path,
    *,
    dump: Sequence[log.Raw],
    postgres: str | None,
    nemesis: Nemesis,
    failures: Sequence[str],
) -> Result:
    log.store(dump, folder / "log.jsonl")
    (folder / "nemesis.txt").write_text("\n".join(nemesis.told))
    found = Run(operations(folder.glob("history-*.jsonl")), log.read(dump), *_stored(postgres))
    violations = check(found) + [Violation(ENDINGS, each) for each in failures]
    (folder / "violations.txt").write_text("\n".join(map(str, violations)))
    return Result(
        plan=plan,
        violations=violations,
        outcomes=Counter(f"{each.kind} {each.outcome}" for each in found.operations),
        faults=nemesis.done,
        events=sum(map(len, found.log.appends)),
        went_on=_appended(folder, min(nemesis.down_since.values(), default=time.monotonic_ns())),
        dead=found.log.dead,
        claims=len(found.log.claims),
        processes=len({each.process for each in found.operations}),
        closed_in=nemesis.closed_in,
        told=nemesis.told,
    )


def _stored(postgres: str | None) -> tuple[list[StoredHead], dict[int, int]]:
    """The heads and checkpoints that the database holds."""
    if postgres is None:
        return [], {}
    with address.connect(postgres) as connection:
        heads = connection.execute(
            "SELECT partition, stream, version, append_id, first_offset, last_offset"
            " FROM foldlog.heads WHERE topic = %s",
            (Account.topic,),
        ).fetchall()
        checkpoints = connection.execute(
            "SELECT partition, next_offset FROM foldlog.checkpoints WHERE topic = %s",
            (Account.topic,),
        ).fetchall()
    stored = [
        StoredHead(partition, stream, version, UUID(str(append)).hex, first, last)
        for partition, stream, version, append, first, last in heads
    ]
    return stored, dict(checkpoints)
