"""A cluster of embedded brokers that a test may kill, pause and start again, one by one.

Each node is broker and controller. A guard process ends whatever runs when this process is gone,
however it ended; a paused broker too.
"""

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from foldlog.embedded._binaries import java
from foldlog.embedded._folder import marker, tail
from foldlog.embedded._jars import fetch
from foldlog.embedded._kafka import (
    SERVING,
    count_brokers,
    formatting,
    java_command,
    write_settings,
)
from foldlog.embedded._leftovers import servers_of
from foldlog.embedded._ports import claim_ports

SECONDS_TO_START: Final = 120.0
SECONDS_TO_STOP: Final = 20.0
LOG_DIRS: Final = "kafka"
QUICK_TO_START: Final = "-XX:TieredStopAtLevel=1"
"""Three brokers serve after 5 s on two cores instead of 8; their highest rate is of no interest."""


class Cluster:
    """Brokers on 127.0.0.1, numbered from 1, from `with` to its end.

    Args:
        brokers: how many; topics get as many replicas.
        data: the folder for their data; None for a temporary one. Removed at the end.
    """

    def __init__(self, brokers: int = 3, data: Path | None = None) -> None:
        self.nodes = tuple(range(1, brokers + 1))
        self._data = data
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._paused: set[int] = set()

    def __enter__(self) -> Self:
        self.data = Path(self._data or tempfile.mkdtemp(prefix="foldlog-cluster-")).resolve()
        self.data.mkdir(parents=True, exist_ok=True)
        self._jars, self._java = fetch(lambda _line: None), java()
        self._guard = _start_guard(self.data)
        try:
            wanted = [("Kafka", None)] * 2 * len(self.nodes)
            ports = claim_ports(*wanted)
            self._ports = dict(zip(self.nodes, ports, strict=False))
            self._controller_ports = ports[len(self.nodes) :]
            self._format()
            for node in self.nodes:
                self._spawn(node)
            self.wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def bootstrap(self) -> str:
        """The address of all brokers."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports.values())

    @property
    def running(self) -> list[int]:
        """The brokers that run and are not paused."""
        return [node for node in self.nodes if node in self._processes and node not in self._paused]

    def kill(self, node: int) -> None:
        """`kill -9`, whether it runs or is paused."""
        self._signal(node, signal.SIGKILL)
        self._processes.pop(node).wait()
        self._paused.discard(node)

    def stop(self, node: int) -> None:
        """End a broker in order: its leaderships move first."""
        self._signal(node, signal.SIGTERM)
        process = self._processes.pop(node)
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self, node: int) -> None:
        """SIGSTOP: it is silent, and believes itself alive when it is resumed."""
        self._signal(node, signal.SIGSTOP)
        self._paused.add(node)

    def resume(self, node: int) -> None:
        """SIGCONT."""
        self._signal(node, signal.SIGCONT)
        self._paused.discard(node)

    def start(self, node: int) -> None:
        """Start a broker again on its data, and wait until it serves."""
        self._spawn(node)
        self.wait_until_ready([node])

    def heal(self) -> None:
        """Resume and start whatever does not serve; wait until all do."""
        for node in sorted(self._paused):
            self.resume(node)
        for node in self.nodes:
            if node not in self._processes:
                self._spawn(node)
        self.wait_until_ready()

    def wait_until_ready(self, nodes: Iterable[int] | None = None) -> None:
        """Wait until each of these (None: all) knows as many brokers as run."""
        deadline = time.monotonic() + SECONDS_TO_START
        for node in self.nodes if nodes is None else nodes:
            while not self._ready(node):
                code = self._processes[node].poll()
                if code is not None or time.monotonic() > deadline:
                    found = "it is late" if code is None else f"it ended with code {code}"
                    raise AssertionError(f"broker {node}: {found}\n{_complaints(self._log(node))}")
                time.sleep(0.05)

    def _ready(self, node: int) -> bool:
        try:
            return count_brokers(self._ports[node]) >= len(self.running)
        except OSError:
            return False

    def _folder(self, node: int) -> Path:
        return self.data / str(node)

    def _log(self, node: int) -> Path:
        return self._folder(node) / "output.log"

    def _format(self) -> None:
        """Format the first node's log folder by Kafka's own tool, and copy it for the others."""
        for node in self.nodes:
            self._folder(node).mkdir()
            write_settings(
                self._folder(node),
                node=node,
                port=self._ports[node],
                controller_ports=self._controller_ports,
                log_dirs=LOG_DIRS,
            )
        first = self._folder(1)
        command = self._command(*formatting())
        subprocess.run(command, cwd=first, check=True, stdout=subprocess.DEVNULL)
        for node in self.nodes[1:]:
            shutil.copytree(first / LOG_DIRS, self._folder(node) / LOG_DIRS)
            _rename(self._folder(node) / LOG_DIRS / "meta.properties", node)

    def _command(self, *arguments: str) -> list[str]:
        program, *rest = java_command(self._java, self._jars, marker(self.data), *arguments)
        return [program, QUICK_TO_START, *rest]

    def _spawn(self, node: int) -> None:
        command = self._command(*SERVING)
        with self._log(node).open("ab") as out:
            self._processes[node] = subprocess.Popen(
                command,
                cwd=self._folder(node),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _signal(self, node: int, number: signal.Signals) -> None:
        self._processes[node].send_signal(number)

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()


def _complaints(log: Path, lines: int = 20) -> str:
    """The last complaints in a broker's log, before its last lines: it says much while it ends."""
    text = log.read_text(encoding="utf-8", errors="replace")
    complaints = re.findall(r"^\S+ (?:ERROR|FATAL) .*(?:\n(?!\d{4}-).*)*", text, flags=re.MULTILINE)
    return "\n".join([*complaints[-lines:], tail(log, lines)])


def _rename(properties: Path, node: int) -> None:
    text = properties.read_text(encoding="ascii")
    directory = base64.urlsafe_b64encode(os.urandom(16)).decode().strip("=").replace("-", "A")
    text = re.sub(r"^node\.id=.*$", f"node.id={node}", text, flags=re.MULTILINE)
    text = re.sub(r"^directory\.id=.*$", f"directory.id={directory}", text, flags=re.MULTILINE)
    properties.write_text(text, encoding="ascii")


def _start_guard(data: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.cluster", str(data)],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[1],
    )


def _guard(data: Path) -> None:
    """Wait for the end of those who made the cluster, then end it and remove its data."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    while left := servers_of(data):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
