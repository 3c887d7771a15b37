"""Writers in processes of their own, which can be ended like any process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from benchmarks.app import TOPIC
from eventstore.kafka.settings import KafkaSettings
from eventstore.kafka.topics import writers_group

ROOT: Final = Path(__file__).parent.parent
SECONDS_TO_STOP: Final = 30.0
SECONDS_TO_JOIN: Final = 60.0


class WriterProcess:
    """``foldlog writers`` on these servers and this topic."""

    def __init__(self, kafka: str, postgres: str, topic: str) -> None:
        self._log = TemporaryFile("w+")  # noqa: SIM115 - closed when it has ended
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "FOLDLOG_KAFKA": kafka,
            "FOLDLOG_POSTGRES": postgres,
            TOPIC: topic,
        }
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [str(Path(sys.executable).with_name("foldlog")), "writers", "--app=benchmarks.app:app"],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=environment,
        )

    def kill(self) -> None:
        """End it as SIGKILL does: without a word to anybody."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def stop(self) -> None:
        """End it as SIGTERM does: it answers, stores, and leaves.

        Raises:
            RuntimeError: It had ended by itself, or ended badly.
        """
        self._process.terminate()
        try:
            code = self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._log.seek(0)
        said = self._log.read()
        self._log.close()
        if code not in {0, -signal.SIGTERM}:  # it was told before it had begun
            raise RuntimeError(f"foldlog writers ended with {code}:\n{said}")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid


@contextmanager
def writers(kafka: str, postgres: str, topic: str, number: int) -> Generator[list[WriterProcess]]:
    """So many writers of a topic, stopped at the end; who replaces one keeps the list true."""
    running = [WriterProcess(kafka, postgres, topic) for _ in range(number)]
    with ExitStack() as exits:
        exits.callback(_stop_all, running)
        yield running


def _stop_all(running: list[WriterProcess]) -> None:
    with ExitStack() as exits:  # whoever fails to stop, the others do
        for each in running:
            exits.callback(each.stop)


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def members(kafka: str, topic: str) -> dict[int, int]:
    """The processes that write to a topic, and how many partitions each was given.

    Empty while the group is being balanced.
    """
    group = writers_group(topic)
    admin: Any = KafkaSettings(kafka).admin()
    described = admin.describe_consumer_groups([group])[group].result()
    if described.state.name != "STABLE":
        return {}
    return {
        int(member.client_id.rpartition(":")[2]): len(member.assignment.topic_partitions)
        for member in described.members
    }


def wait_for_members(kafka: str, topic: str, running: list[WriterProcess]) -> None:
    """Wait until these are the writers of the topic.

    Raises:
        TimeoutError: They are not.
    """
    expected, deadline = {each.pid for each in running}, time.monotonic() + SECONDS_TO_JOIN
    while (found := members(kafka, topic)).keys() != expected:
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected the writers {expected}; found {found}")
        time.sleep(0.1)
