"""The command from end to end, on real servers, with a small part of the real file."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import pytest

from eventstore._failpoints import VARIABLE as FAILPOINT
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


def test_every_figure_is_right_and_what_is_in_the_log_is_not_appended_again(
    servers: Mapping[str, str], file: Path, lines: list[str]
) -> None:
    flights = len(lines) - 1
    wrong = lines[2].replace("2013,1,", "2013,99,", 1)
    file.write_text("".join([*lines[:200], wrong, lines[1], "nonsense\n", *lines[200:]]))
    with_refusals = demo(servers, file)
    assert with_refusals.returncode == 1
    assert "Refused line 201: expected month from 1 to 12; found 99" in with_refusals.stdout
    assert "Refused line 202: expected one row for a carrier" in with_refusals.stdout
    assert "Refused line 203: expected all columns" in with_refusals.stdout
    assert f"Appended {flights:,} flights" in with_refusals.stdout
    assert "all are equal" in with_refusals.stdout

    file.write_text("".join(lines))
    twice = demo(servers, file, "--years", "2")
    assert twice.returncode == 0, twice.stdout + twice.stderr
    assert f"Appended {flights:,} flights" in twice.stdout
    assert re.search(rf"^{flights:,} flights .* nothing was appended", twice.stdout, re.MULTILINE)
    assert "all are equal" in twice.stdout
    assert "the switch took" in twice.stdout
    check_commands(servers, twice.stdout.splitlines()[-3:])

    file.write_text("".join(lines[:-5]))
    shortened = demo(servers, file, "--years", "2")
    assert shortened.returncode == 1
    assert "Appended" not in shortened.stdout
    assert "nothing was appended for them" in shortened.stdout
    assert "aircraft_history of 2013" in shortened.stdout
    assert "expected no row; found flight=" in shortened.stdout


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


def test_interrupted_and_run_again_it_goes_on(servers: Mapping[str, str], tmp_path: Path) -> None:
    part = tmp_path / "part.csv"
    with open_lines(shipped_flights()) as found:
        part.write_text("".join(islice(found, 5_001)))
    command = [FOLDLOG, "demo", "flights", "--csv", str(part)]
    slow = {**servers, FAILPOINT: "before_send:sleep:0.01:1.0@1"}  # else it may end by itself
    running = subprocess.Popen(command, env=slow, stdout=subprocess.DEVNULL)
    wait_for_events(servers["FOLDLOG_POSTGRES"])
    running.send_signal(signal.SIGINT)
    assert running.wait(200) == INTERRUPTED
    shown = demo(servers, part)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "all are equal" in shown.stdout
