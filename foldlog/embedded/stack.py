"""The embedded stack as a context manager: real Kafka and PostgreSQL for a program's time."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from foldlog.embedded._binaries import java, postgres_bin
from foldlog.embedded._folder import lock, server_log, tail
from foldlog.embedded._jars import fetch
from foldlog.embedded._leftovers import end_leftovers
from foldlog.embedded._plan import Plan
from foldlog.embedded._ports import claim_ports
from foldlog.embedded._postgres import DATABASE, USER, unprivileged_user
from foldlog.embedded.errors import FolderInUse, ServerDied, ServerNotReady

_SECONDS_TO_STOP = 60.0


def _say_nothing(_line: str) -> None:
    """Tell nobody."""


class Stack:
    """Kafka and PostgreSQL on 127.0.0.1, from `with` to its end, however the process ends.

    Args:
        data: the folder that keeps their data, made if need be and used again; None for a
            temporary one, removed at the end.
        kafka_port: Kafka's port; a free one if None.
        postgres_port: PostgreSQL's port; a free one if None.
        fsync: whether PostgreSQL waits for its disk; off only where data may be lost.
        seconds_to_start: how long each server may take until it answers.
        say: is told, in a line, of what takes long (fetching Kafka the first time).

    Attributes:
        kafka: Kafka's bootstrap address, "127.0.0.1:PORT".
        postgres: the URL of the database `foldlog`, which exists.
        kafka_version: Kafka's version.
        postgres_version: PostgreSQL's version, as the server tells it.
        data: the data folder, absolute.

    Raises (on entering):
        EmbeddedError: in one of its kinds, each of which says what to do.
    """

    kafka: str
    postgres: str
    kafka_version: str
    postgres_version: str
    data: Path

    def __init__(
        self,
        data: Path | None = None,
        *,
        kafka_port: int | None = None,
        postgres_port: int | None = None,
        fsync: bool = True,
        seconds_to_start: float = 120.0,
        say: Callable[[str], None] = _say_nothing,
    ) -> None:
        self._given_data = data
        self._kafka_port = kafka_port
        self._postgres_port = postgres_port
        self._fsync = fsync
        self._seconds_to_start = seconds_to_start
        self._say = say
        self._supervisor: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        given = self._given_data
        self.data = Path(given or tempfile.mkdtemp(prefix="foldlog-")).expanduser().resolve()
        try:
            plan = self._start()
            self._wait_until_ready(plan)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def supervisor_pid(self) -> int | None:
        """The process that starts and ends the servers; None outside of `with`."""
        return None if self._supervisor is None else self._supervisor.pid

    def check(self) -> None:
        """Raise ServerDied if a server has ended by itself since the start."""
        supervisor = self._supervisor
        if supervisor is None or supervisor.stdout is None:
            return
        readable, _, _ = select.select([supervisor.stdout], [], [], 0)
        if readable:
            self._versions_or_failure(supervisor.stdout.readline())

    def _start(self) -> Plan:
        runtime, jars = java(), fetch(self._say)
        user = unprivileged_user(self.data)
        programs = postgres_bin(user)
        with lock(self.data) as held:
            end_leftovers(self.data)
            kafka_port, controller_port, postgres_port = claim_ports(
                ("Kafka", self._kafka_port), ("Kafka", None), ("Postgres", self._postgres_port)
            )
            plan = Plan(
                data=self.data,
                temporary=self._given_data is None,
                fsync=self._fsync,
                parent=os.getpid(),
                kafka_port=kafka_port,
                controller_port=controller_port,
                postgres_port=postgres_port,
                java=runtime,
                jars=jars,
                postgres_bin=programs,
                postgres_user=user,
                seconds_to_start=self._seconds_to_start,
            )
            self._supervisor = _start_supervisor(plan, held.fileno())
        return plan

    def _wait_until_ready(self, plan: Plan) -> None:
        supervisor = self._supervisor
        if supervisor is None or supervisor.stdin is None or supervisor.stdout is None:
            raise ServerDied("the supervisor", None, server_log(self.data, "supervisor"), "")
        with contextlib.suppress(BrokenPipeError):  # it died: then it says nothing either
            supervisor.stdin.write(plan.to_json())
            supervisor.stdin.flush()
        versions = self._versions_or_failure(supervisor.stdout.readline())
        self.kafka_version, self.postgres_version = versions["Kafka"], versions["PostgreSQL"]
        self.kafka = f"127.0.0.1:{plan.kafka_port}"
        self.postgres = f"postgresql://{USER}@127.0.0.1:{plan.postgres_port}/{DATABASE}"

    def _versions_or_failure(self, line: str) -> dict[str, str]:
        facts: dict[str, Any] = json.loads(line) if line else {"failed": "supervisor"}
        if server := facts.get("failed"):
            log = server_log(self.data, server)
            if facts.get("late"):
                raise ServerNotReady(server, self._seconds_to_start, log, tail(log))
            raise ServerDied(server, facts.get("exit_code"), log, tail(log))
        versions: dict[str, str] = facts["versions"]
        return versions

    def _stop(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            if supervisor.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    supervisor.stdin.close()
            try:
                supervisor.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                supervisor.kill()
                supervisor.wait()
            if supervisor.stdout is not None:
                supervisor.stdout.close()
            if supervisor.returncode:
                self._clean_up_after_supervisor()
        if self._given_data is None:
            shutil.rmtree(self.data, ignore_errors=True)

    def _clean_up_after_supervisor(self) -> None:
        """End what a killed supervisor left, unless somebody else has the folder by now."""
        try:
            held = lock(self.data)
        except FolderInUse:
            return
        with held:
            end_leftovers(self.data)


def _environment() -> dict[str, str]:
    """Our own, but for what is meant for PostgreSQL's clients; it finds the package we are from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    paths = [str(Path(__file__).parents[2]), *filter(None, [kept.get("PYTHONPATH")])]
    # Java reads file names in the locale's encoding, and under plain C that is ASCII.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "LC_ALL": locale}


def _start_supervisor(plan: Plan, lock_file: int) -> subprocess.Popen[str]:
    with server_log(plan.data, "supervisor").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "foldlog.embedded._supervisor"],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=[lock_file],
            start_new_session=True,
        )
