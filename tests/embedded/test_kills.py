"""Kills at the worst times: no process stays, no lock goes stale, and the folder works again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
import pytest

from foldlog.embedded import FolderInUse, ServerDied, Stack
from foldlog.embedded._folder import lock
from foldlog.embedded._leftovers import servers_of

_PROGRAM = """
import sys, time
from pathlib import Path
from foldlog.embedded import Stack
print("starting", flush=True)
with Stack(Path(sys.argv[1])) as stack:
    print(stack.supervisor_pid, stack.kafka, stack.postgres, flush=True)
    time.sleep(600)
"""


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "this did not come true in time"
        time.sleep(0.05)


@dataclass
class Program:
    """Another process that runs a stack on a data folder."""

    data: Path
    process: subprocess.Popen[str]
    output: IO[str]
    supervisor: int = 0
    kafka: str = ""
    postgres: str = ""

    def wait_until_ready(self) -> None:
        supervisor, self.kafka, self.postgres = self.output.readline().split()
        self.supervisor = int(supervisor)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """A program that has begun to start a stack, and may not be ready yet."""
    data = tmp_path / "data"
    command = [sys.executable, "-c", _PROGRAM, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "starting\n"
        yield Program(data, process, process.stdout)
        process.kill()
    for pid in servers_of(data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def store_a_balance(postgres: str) -> None:
    with psycopg.connect(postgres) as link:
        link.execute("CREATE TABLE balances AS SELECT 70 AS balance")


def balance_of(stack: Stack) -> int:
    with psycopg.connect(stack.postgres) as link:
        row = link.execute("SELECT balance FROM balances").fetchone()
    assert row is not None
    return int(row[0])


def reported_as_dead(stack: Stack) -> str | None:
    try:
        stack.check()
    except ServerDied as died:
        return died.server
    return None


def test_when_the_program_is_killed_its_servers_end_and_its_folder_is_free(
    program: Program,
) -> None:
    program.wait_until_ready()
    store_a_balance(program.postgres)
    assert servers_of(program.data)
    program.kill()
    with Stack(program.data) as stack:  # at once: it waits for the old supervisor to end
        assert balance_of(stack) == 70
    assert not servers_of(program.data)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.0])
def test_when_the_program_is_killed_while_it_starts_nothing_stays(
    program: Program, seconds: float
) -> None:
    time.sleep(seconds)
    program.kill()
    wait_until(lambda: is_free(program.data), 120)
    assert not servers_of(program.data)


def is_free(data: Path) -> bool:
    """Whether nobody holds it: the program and its supervisor are gone, who start servers."""
    try:
        lock(data).close()
    except FolderInUse:
        return False
    return True


def test_when_the_supervisor_is_killed_the_program_ends_the_servers_itself(
    tmp_path: Path,
) -> None:
    with Stack(tmp_path) as stack:
        assert stack.supervisor_pid is not None
        os.kill(stack.supervisor_pid, signal.SIGKILL)
        wait_until(lambda: reported_as_dead(stack) == "supervisor")
        assert servers_of(stack.data), "they go on serving until the end"
    assert not servers_of(stack.data)


def test_when_supervisor_and_program_are_killed_the_next_start_ends_what_they_left(
    program: Program,
) -> None:
    program.wait_until_ready()
    store_a_balance(program.postgres)
    os.kill(program.supervisor, signal.SIGKILL)
    program.kill()
    left = set(servers_of(program.data))
    assert left
    with Stack(program.data) as stack:
        assert balance_of(stack) == 70
        assert left.isdisjoint(servers_of(program.data))
    assert not servers_of(program.data)


def test_a_server_that_dies_later_is_reported_and_the_other_one_is_ended() -> None:
    with Stack(fsync=False) as stack:
        stack.check()
        servers = servers_of(stack.data)
        os.kill(next(pid for pid in servers if servers[pid] == "java"), signal.SIGKILL)
        wait_until(lambda: reported_as_dead(stack) == "Kafka")
        wait_until(lambda: not servers_of(stack.data))
