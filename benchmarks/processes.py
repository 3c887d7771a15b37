"""Writers in processes of their own, which can be ended like any process."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from benchmarks.app import TOPIC
from eventstore.kafka.settings import KafkaSettings

ROOT: Final = Path(__file__).parent.parent
SECONDS_TO_STOP: Final = 30.0


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
        if code:
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


def owner_pid(kafka: str, topic: str) -> int:
    """The process that the group of a topic's writers has given its only partition.

    Raises:
        RuntimeError: No process of this machine has it.
    """
    group = f"foldlog.{topic}.writers"
    admin: Any = KafkaSettings(kafka).admin()
    described = admin.describe_consumer_groups([group])[group].result()
    for member in described.members:
        if member.assignment.topic_partitions:
            return int(member.client_id.rpartition(":")[2])
    raise RuntimeError(f"nobody writes to {topic}")
