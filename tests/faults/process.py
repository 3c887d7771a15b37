"""A worker's process: started, armed, killed, stopped, continued, ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from eventstore._failpoints import VARIABLE as FAILPOINT
from tests.faults.sabotage import VARIABLE as SABOTAGE
from tests.faults.task import Task

ROOT: Final = Path(__file__).parents[2]
CLOSING_SECONDS: Final = 60.0


class Process:
    """A worker that is started again and again, each time as another process of the history."""

    def __init__(self, task: Task, sabotaged: str | None, failpoint: str | None) -> None:
        self._task = task
        self._sabotaged = sabotaged
        self._failpoint = failpoint
        self._started = 0
        self._paused = False
        self._running: subprocess.Popen[bytes] | None = None
        self.failures: list[str] = []
        """How it ended where it should not have."""
        self.closed_in: list[float] = []
        """Seconds that each end in order took."""

    def start(self, failpoint: str | None = None) -> None:
        """Start it anew, armed with this failpoint, or with that of all."""
        self._started += 1
        name = f"{self._task.process}.{self._started}"
        task = replace(self._task, process=name, seed=f"{self._task.seed} {self._started}")
        file = task.folder / f"task-{name}.json"
        file.write_text(task.to_json())
        failpoint = failpoint or self._failpoint
        armed = {FAILPOINT: failpoint} if failpoint else {}
        told = {SABOTAGE: self._sabotaged} if self._sabotaged else {}
        with (task.folder / f"output-{name}.log").open("ab") as out:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", str(file)],
                cwd=ROOT,
                env=os.environ | armed | told,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._paused = False

    @property
    def task(self) -> Task:
        """What it is told."""
        return self._task

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._running is not None and self._running.poll() is None

    @property
    def stands_still(self) -> bool:
        """Whether it is stopped, by us or by a failpoint."""
        if not self.alive or self._running is None:
            return False
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self._running.pid}/stat").read_text()
            return stat.rpartition(")")[2].split()[0] == "T"
        return False

    def kill(self) -> None:
        """`kill -9`."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        """End it in order; one that does not end in time has failed."""
        self.resume()
        self._send(signal.SIGTERM)
        if self._running is None:
            return
        began = time.monotonic()
        while self.alive and time.monotonic() - began < CLOSING_SECONDS:
            if self.stands_still:  # a failpoint
                self.resume()
            time.sleep(0.05)
        if self.alive:
            self._fail(f"did not close within {CLOSING_SECONDS:g} s")
            self._send(signal.SIGUSR1)  # it writes down where its threads are
            time.sleep(0.5)
            self.kill()
        else:
            self.judge(self._running.returncode)
        self.closed_in.append(time.monotonic() - began)

    def judge(self, code: int) -> None:
        """Note how it ended, unless it was killed, or stopped before it had begun."""
        if code not in {0, -signal.SIGKILL, -signal.SIGTERM}:
            self._fail(f"ended with {code}")

    def look(self) -> bool:
        """Whether it has ended by itself, by a failpoint or a failure."""
        if self._running is None or self._running.poll() is None:
            return False
        self.judge(self._running.returncode)
        return True

    def _fail(self, how: str) -> None:
        self.failures.append(f"{self._task.process}.{self._started} {how}")

    def _send(self, number: signal.Signals) -> None:
        if self.alive and self._running is not None:
            self._running.send_signal(number)
