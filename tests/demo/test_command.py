"""The command from end to end, on real servers, with a small part of the real file."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest

from eventstore.postgres import address
from foldlog.commands._main import INTERRUPTED
from foldlog.demo.flights.files import open_lines, shipped_flights
from foldlog.embedded._binaries import postgres_bin

SAMPLE = 211
FOLDLOG = str(Path(sys.executable).with_name("foldlog"))
PSQL = postgres_bin(None) / "psql"


@pytest.fixture
def servers(kafka: str, postgres: str) -> Mapping[str, str]:
    return {
        **os.environ,
        "FOLDLOG_KAFKA": kafka,
        "FOLDLOG_POSTGRES": postgres,
        "FOLDLOG_DURABILITY": "single",
    }


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The header, and every so manieth flight."""
    with open_lines(shipped_flights()) as found:
        return [line for number, line in enumerate(found) if number % SAMPLE in {0, 1}][:2_000]


@pytest.fixture
def file(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "flights.csv"
    path.write_text("".join(lines))
    return path


def foldlog(servers: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [FOLDLOG, *arguments], env=servers, capture_output=True, text=True, check=False
    )


def demo(servers: Mapping[str, str], file: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    return foldlog(servers, "demo", "flights", "--csv", str(file), *more)


def wait_for_events(postgres: str) -> None:
    """Until the writer has stored a first checkpoint, so that appends are under way."""
    query = "SELECT coalesce(sum(next_offset), 0) FROM foldlog.checkpoints"
    deadline = time.monotonic() + 60
    with address.connect(postgres, autocommit=True) as db:
        while time.monotonic() < deadline:
            if db.execute(query).fetchall()[0][0] > 0:
                return
            time.sleep(0.05)
    pytest.fail("no event was appended in a minute")


def test_every_figure_is_right_and_run_again_it_appends_nothing(
    servers: Mapping[str, str], file: Path, lines: list[str]
) -> None:
    flights = 2 * (len(lines) - 1)
    first = demo(servers, file, "--years", "2")
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"Appended {flights:,} flights" in first.stdout
    assert "all are equal" in first.stdout
    assert "the switch took" in first.stdout

    again = demo(servers, file, "--years", "2")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Appended" not in again.stdout
    assert f"{flights:,} flights" in again.stdout
    assert "nothing was appended for them" in again.stdout

    check_commands(servers, again.stdout.splitlines()[-3:])


def check_commands(servers: Mapping[str, str], lines: list[str]) -> None:
    """The three commands at the end work as they stand; ``--json`` tells the same."""
    events, status, psql = (line.strip() for line in lines)
    assert psql.startswith('psql "$FOLDLOG_POSTGRES" -c "SELECT')
    told = [json.loads(line) for line in in_shell(servers, f"{events} --json").splitlines()]
    assert [(event["event"], event["at"]) for event in told] == [
        ("flight_scheduled", "2013-01-01T05:00:00+00:00"),
        ("flight_departed", "2013-01-01T10:17:00+00:00"),
        ("flight_arrived", "2013-01-01T14:30:00+00:00"),
    ]
    assert "cancellations" in in_shell(servers, status)
    carriers = in_shell(servers, psql.replace("psql", shlex.quote(str(PSQL)), 1))
    assert "United" not in carriers
    assert " UA " in carriers


def in_shell(servers: Mapping[str, str], command: str) -> str:
    done = subprocess.run(
        command, shell=True, env=servers, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_refused_rows_are_listed_and_so_are_figures_that_are_not_what_the_file_says(
    servers: Mapping[str, str], file: Path, lines: list[str]
) -> None:
    wrong = lines[2].replace("2013,1,", "2013,99,", 1)
    file.write_text("".join([*lines[:200], wrong, lines[1], "nonsense\n", *lines[200:]]))
    shown = demo(servers, file)
    assert shown.returncode == 1
    assert "Refused line 201: expected month from 1 to 12; found 99" in shown.stdout
    assert "Refused line 202: expected one row for a carrier" in shown.stdout
    assert "Refused line 203: expected all columns" in shown.stdout
    assert "all are equal" in shown.stdout

    file.write_text("".join(lines[:-5]))
    shown = demo(servers, file)
    assert shown.returncode == 1
    assert "aircraft_history of 2013" in shown.stdout
    assert "expected no row; found flight=" in shown.stdout


def test_interrupted_and_run_again_it_goes_on(servers: Mapping[str, str], tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    with open_lines(shipped_flights()) as found:
        part.write_text("".join(islice(found, 20_001)))
    command = [FOLDLOG, "demo", "flights", "--csv", str(part)]
    running = subprocess.Popen(command, env=servers, stdout=subprocess.DEVNULL)
    wait_for_events(servers["FOLDLOG_POSTGRES"])
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == INTERRUPTED
    shown = demo(servers, part)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "all are equal" in shown.stdout
