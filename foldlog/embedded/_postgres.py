"""PostgreSQL from a wheel's programs, on loopback and, where its path fits, on a Unix socket."""

import os
import pwd
import shutil
from pathlib import Path

from foldlog.embedded._plan import Plan
from foldlog.embedded._server import Server

HOST = "127.0.0.1"
USER = "foldlog"
_SOCKET_BYTES = 103  # the shortest limit of a Unix socket's path, with its final zero (macOS)


def settings(plan: Plan) -> dict[str, str]:
    """What differs from PostgreSQL's defaults."""
    chosen = {
        "listen_addresses": HOST,
        "port": str(plan.postgres_port),
        "unix_socket_directories": _socket_folder(plan),
        "max_connections": "100",
        "shared_buffers": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "jit": "off",
        "log_line_prefix": "%m [%p] ",
    }
    unsafe = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
    return chosen if plan.fsync else chosen | unsafe


def start(plan: Plan, server: Server) -> None:
    """Create the cluster if the folder is new, start the server, wait until it serves."""
    server.open_log()
    folder = Path(plan.postgres_folder)
    _create(plan, server, folder)
    options = [f"--{name}={value}" for name, value in settings(plan).items()]
    program = str(Path(plan.binaries) / "postgres")
    server.start([program, "-D", str(folder), *options], marker=str(folder))
    server.wait_ready(lambda: _serving(folder))


def _create(plan: Plan, server: Server, folder: Path) -> None:
    """Created beside its place and then renamed, so that half a cluster is never started."""
    if (folder / "PG_VERSION").exists():
        (folder / "postmaster.pid").unlink(missing_ok=True)  # the folder's lock says: none runs
        return
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True, mode=0o700)
    if plan.user is not None:
        owner = pwd.getpwnam(plan.user)
        os.chown(new, owner.pw_uid, owner.pw_gid)
    program = str(Path(plan.binaries) / "initdb")
    cluster = ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"]
    access = ["--auth=trust", f"--username={USER}"]
    server.run([program, "-D", str(new), *cluster, *access], "initdb")
    new.rename(folder)


def _socket_folder(plan: Plan) -> str:
    longest = Path(plan.postgres_folder) / ".s.PGSQL.65535"
    return plan.postgres_folder if len(os.fsencode(longest)) <= _SOCKET_BYTES else ""


def _serving(folder: Path) -> bool:
    """PostgreSQL's own word: the last line of its pid file, as pg_ctl reads it."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[-1].strip() == "ready" if lines else False
