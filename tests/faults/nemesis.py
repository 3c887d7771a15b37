"""What goes wrong in a run, drawn from a seed: processes, brokers, connections, strangers."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from eventstore.postgres import address
from tests.cluster import Cluster
from tests.faults.process import Process
from tests.faults.stranger import Stranger

SESSION_SECONDS: Final = 6.0
"""A process that is silent for longer loses its partitions."""

SURELY_SECONDS: Final = 60.0
"""Seconds more in which faults that must come are waited for."""

POINTS: Final = (
    "before_claim",
    "claim_sent",
    "claim_confirmed",
    "before_send",
    "after_send",
    "acknowledged",
    "before_checkpoint",
    "checkpoint_written",
    "checkpoint_stored",
    "request_taken",
    "before_reply",
    "after_reply",
    "offset_committed",
)
"""Where a process may be killed, stopped or slow."""


@dataclass(frozen=True)
class Harm:
    """Which faults may come, and how often."""

    faults: Mapping[str, int]
    """Each fault's name and weight: the methods of `Nemesis`."""
    quiet: tuple[float, float]
    """Shortest and longest pause between two, in seconds."""
    workers_down: tuple[float, float] = (0.0, 2.0)
    """Seconds for which a worker is down."""
    stopped: tuple[float, float] = (SESSION_SECONDS + 1, SESSION_SECONDS + 3)
    """Seconds for which a worker is paused."""
    brokers_down: tuple[float, float] = (0.5, 8.0)
    surely: frozenset[str] = frozenset()
    """Faults of which each must come, however few the seconds are."""


WORKERS: Final = {"kill": 5, "pause": 3, "blink": 3, "restart": 3, "failpoint": 8}
STRANGERS: Final = {"usurp": 2, "steal": 4, "litter": 1}
DATABASE: Final = {"disconnect": 2}
BROKERS: Final = {"kill_broker": 3, "pause_broker": 2, "stop_broker": 1}


class Nemesis:
    """Draws faults, does them, and mends what it broke."""

    def __init__(
        self,
        harm: Harm,
        *,
        draw: random.Random,
        processes: Sequence[Process],
        cluster: Cluster,
        topic: str,
    ) -> None:
        self._harm = harm
        self._draw = draw
        self._processes = processes
        self._cluster = cluster
        self._topic = topic
        task = processes[0].task
        self._partitions, self._postgres = task.partitions, task.postgres
        self._stranger = Stranger(
            cluster.bootstrap, topic, task.partitions, task.folder, random.Random(draw.random())
        )
        self.done: Counter[str] = Counter()
        self.down_since: dict[str, int] = {}
        """When each of the brokers' faults first took effect, by `time.monotonic_ns`."""
        self.closed_in: list[float] = []
        self.told: list[str] = []
        """What was done, in order, for people."""
        self._began = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._busy: set[object] = set()

    def torment(self, seconds: float) -> None:
        """Do harm for so long; several faults at once, but one at a time to each victim.

        On a slow machine for longer, until what must come has come.
        """
        deadline = time.monotonic() + seconds
        names, weights = zip(*self._harm.faults.items(), strict=True)
        while time.monotonic() < deadline or (
            self._harm.surely - self.done.keys() and time.monotonic() < deadline + SURELY_SECONDS
        ):
            self._tend()
            quiet, left = self._between(self._harm.quiet), deadline - time.monotonic()
            time.sleep(min(quiet, left) if left > 0 else quiet)
            fault: Callable[[], None] = getattr(self, self._draw.choices(names, weights)[0])
            fault()
        for thread in self._threads:
            thread.join()

    def _tend(self) -> None:
        """Start what a failpoint killed, and continue what it stopped, after a while."""
        for process in self._processes:
            if process in self._busy:
                continue
            if process.look():
                self._on(process, "start_again", process.start)
            elif process.stands_still:
                seconds = self._between(self._harm.stopped)
                self._on(process, "continue", process.resume, after=seconds)

    # workers

    def kill(self) -> None:
        """A worker is killed with SIGKILL, and started again."""
        self._start_after("kill", Process.kill)

    def restart(self) -> None:
        """A worker is stopped in order, and started again."""
        self._start_after("restart", Process.stop)

    def _start_after(self, name: str, end: Callable[[Process], None]) -> None:
        process, seconds = self._victim(), self._between(self._harm.workers_down)
        if process is None:
            return

        def run() -> None:
            end(process)
            time.sleep(seconds)
            process.start()

        self._on(process, name, run)

    def failpoint(self) -> None:
        """A worker is killed and started with a failpoint that is yet to be reached."""
        process, draw = self._victim(), self._draw
        if process is None:
            return
        point = draw.choice(POINTS)
        action = draw.choice(("kill", "kill", "stop", "sleep:0.5", "sleep:8"))
        setting = f"{point}:{action}:{draw.choice((1, 2, 5, 20, 60))}"

        def run() -> None:
            process.kill()
            process.start(setting)

        self._on(process, f"failpoint {point} {action}", run)

    def pause(self) -> None:
        """A worker is stopped for longer than its session, and goes on as if nothing had been."""
        self._stand_still(self._between(self._harm.stopped), "pause")

    def blink(self) -> None:
        """A worker is stopped for a moment."""
        self._stand_still(self._between((0.05, 1.5)), "blink")

    def _stand_still(self, seconds: float, name: str) -> None:
        process = self._victim()
        if process is None:
            return

        def run() -> None:
            process.pause()
            time.sleep(seconds)
            process.resume()

        self._on(process, name, run)

    def _victim(self) -> Process | None:
        free = [each for each in self._processes if each not in self._busy and each.alive]
        return self._draw.choice(free) if free else None

    # strangers

    def usurp(self) -> None:
        """A stranger claims a partition, and is never heard of again."""
        self._visit("usurp", self._stranger.usurp)

    def steal(self) -> None:
        """A stranger claims a partition, and appends what a worker has in hand."""
        self._visit("steal", self._stranger.steal)

    def litter(self) -> None:
        """A stranger writes a record that is not ours."""
        self._visit("litter", self._stranger.litter)

    def _visit(self, name: str, visit: Callable[[int], object]) -> None:
        partition = self._draw.randrange(self._partitions)
        self._on(("stranger", partition), name, lambda: visit(partition))

    # the database

    def disconnect(self) -> None:
        """All connections to the database are cut."""
        postgres = self._postgres
        if postgres is not None:
            self._on("postgres", "disconnect", lambda: _cut(postgres))

    # brokers

    def kill_leader(self) -> None:
        """The broker that leads a partition is killed as in `kill_broker`."""
        self._down("kill_leader", Cluster.kill, Cluster.start, self._leader)

    def kill_broker(self) -> None:
        """A broker, mostly a leader, is killed with SIGKILL, and started again on its data."""
        self._down("kill_broker", Cluster.kill, Cluster.start, self._broker)

    def stop_broker(self) -> None:
        """A broker is stopped in order, and started again."""
        self._down("stop_broker", Cluster.stop, Cluster.start, self._broker)

    def pause_broker(self) -> None:
        """A broker is stopped for a while, and goes on as if nothing had been."""
        self._down("pause_broker", Cluster.pause, Cluster.resume, self._broker)

    def _down(
        self,
        name: str,
        end: Callable[[Cluster, int], None],
        begin: Callable[[Cluster, int], None],
        choose: Callable[[], int | None],
    ) -> None:
        """One at a time: of three, two must stay for anything to be acknowledged."""
        if "broker" in self._busy or (node := choose()) is None:
            return
        cluster, seconds = self._cluster, self._between(self._harm.brokers_down)

        def run() -> None:
            end(cluster, node)
            self.down_since.setdefault(name, time.monotonic_ns())
            time.sleep(seconds)
            begin(cluster, node)

        self._on("broker", name, run)

    def _broker(self) -> int:
        node = self._draw.choice(self._cluster.nodes)
        return (self._leader() or node) if self._draw.random() < 0.7 else node

    def _leader(self) -> int | None:
        return leader(self._cluster, self._topic, self._draw.randrange(self._partitions))

    # the doing

    def _between(self, bounds: tuple[float, float]) -> float:
        return self._draw.uniform(*bounds)

    def _on(
        self, victim: object, name: str, run: Callable[[], object], *, after: float = 0.0
    ) -> None:
        if victim in self._busy:
            return
        self._busy.add(victim)
        self.done[name] += 1
        who = victim.task.process if isinstance(victim, Process) else victim
        self.told.append(f"{time.monotonic() - self._began:7.2f} {name} {who}")

        def body() -> None:
            try:
                time.sleep(after)
                run()
            except (psycopg.Error, KafkaException, AssertionError) as error:
                self.told.append(f"{time.monotonic() - self._began:7.2f} {name} failed: {error}")
            finally:
                self._busy.discard(victim)

        thread = threading.Thread(target=body)
        thread.start()
        self._threads.append(thread)


def leader(cluster: Cluster, topic: str, partition: int) -> int | None:
    """The broker that leads a partition, if one does."""
    metadata = AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(topic, timeout=60)
    found = metadata.topics[topic].partitions.get(partition)
    return found.leader if found is not None and found.leader in cluster.running else None


def _cut(postgres: str) -> None:
    with address.connect(postgres, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
