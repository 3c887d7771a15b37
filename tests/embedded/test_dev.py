"""`foldlog dev` as a person runs it: a process of its own, on real servers."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

FOLDLOG = [sys.executable, "-c", "from foldlog.commands import main; main()"]
SECONDS = 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests here: that it is used again is what `dev` promises."""
    return tmp_path_factory.mktemp("dev") / "data"


def dev(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `foldlog dev` to its end."""
    command = [*FOLDLOG, "dev", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@contextmanager
def dev_running(*arguments: object) -> Generator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run `foldlog dev` beside the test; yields its process and what it says to export."""
    command = [*FOLDLOG, "dev", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, _exported(process)
        finally:
            process.kill()


def _exported(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    exported: dict[str, str] = {}
    while "FOLDLOG_DURABILITY" not in exported:
        line = process.stdout.readline()
        assert line.startswith("export ") or not line, line
        assert line, process.stderr.read() if process.stderr else ""
        name, _, value = line.removeprefix("export ").strip().partition("=")
        exported[name] = value
    return exported


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def reach(exported: Mapping[str, str]) -> str:
    """Connect to both servers; PostgreSQL's version."""
    host, _, port = exported["FOLDLOG_KAFKA"].partition(":")
    socket.create_connection((host, int(port)), timeout=5).close()
    with psycopg.connect(exported["FOLDLOG_POSTGRES"]) as connection:
        return str(connection.info.server_version)


def test_a_command_gets_the_addresses_and_psql_and_its_exit_code_passes_through(
    data: Path,
) -> None:
    script = 'env; psql "$FOLDLOG_POSTGRES" -Atc "SELECT 40 + 2"; exit 7'
    ran = dev("--data", data, "--", "sh", "-c", script)
    assert ran.returncode == 7, ran.stderr
    variables = dict(line.split("=", 1) for line in ran.stdout.splitlines() if "=" in line)
    assert variables["FOLDLOG_KAFKA"].startswith("127.0.0.1:")
    assert variables["FOLDLOG_POSTGRES"].startswith("postgresql://app@127.0.0.1:")
    assert variables["FOLDLOG_DURABILITY"] == "single"
    assert ran.stdout.splitlines()[-1] == "42"


def test_in_the_foreground_it_serves_on_the_given_ports_until_ctrl_c(data: Path) -> None:
    kafka, postgres = free_port(), free_port()
    ports = ("--kafka-port", kafka, "--postgres-port", postgres)
    with dev_running("--data", data, *ports) as (process, exported):
        assert exported["FOLDLOG_KAFKA"] == f"127.0.0.1:{kafka}"
        assert f":{postgres}/" in exported["FOLDLOG_POSTGRES"]
        assert reach(exported)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    with pytest.raises(ConnectionRefusedError):
        reach(exported)


def test_in_the_foreground_the_death_of_a_server_ends_it_with_the_end_of_its_log(
    data: Path,
) -> None:
    ports = ("--kafka-port", free_port(), "--postgres-port", free_port())
    with dev_running("--data", data, *ports) as (process, exported):
        postmaster = (data / "postgres" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGINT)
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        message = process.stderr.read()
    assert "PostgreSQL" in message
    assert "database system is shut down" in message
    assert "Traceback" not in message
    with pytest.raises(ConnectionRefusedError):
        reach(exported)


def test_sigterm_is_passed_on_to_the_command(data: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = f"touch {started}; exec sleep 600"
    command = [*FOLDLOG, "dev", "--data", str(data), "--", "sh", "-c", script]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + SECONDS
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 128 + signal.SIGTERM


@pytest.mark.parametrize("option", ["--kafka-port", "--postgres-port"])
def test_a_port_that_is_taken_is_named_with_the_option_that_chooses_another(
    option: str, data: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = dev("--data", data, option, port, "--", "true")
    assert ran.returncode == 1
    assert f"port {port}" in ran.stderr
    assert "taken" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_command_that_is_not_there_is_told_before_anything_is_started(tmp_path: Path) -> None:
    ran = dev("--data", tmp_path / "data", "--", "no-such-command")
    assert ran.returncode == 127
    assert "no-such-command" in ran.stderr
    assert not (tmp_path / "data").exists()
