"""The benchmarks run, and both sides of each pair do the same work; ratios are never asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.cores import upper_half

BENCHMARKS: Final = Path(__file__).parent.parent / "benchmarks"
PEER: Final = "vs_pyeventsourcing"
FLOORS: Final = ("catch_up_row_vs_floor", "append_bulk_vs_floor", "append_single_vs_floor")
SAVES: Final = (f"append_{PEER}", f"append_{PEER}_fastest", f"append_flushed_{PEER}")
OWNER: Final = (
    f"edit_owner_{PEER}",
    f"edit_owner_{PEER}_fastest",
    f"edit_owner_cold_{PEER}",
    f"edit_owner_flushed_{PEER}",
)
ELSEWHERE: Final = (
    f"edit_elsewhere_{PEER}",
    f"edit_elsewhere_{PEER}_fastest",
    f"edit_elsewhere_cold_{PEER}",
)
LATENCY: Final = (
    "append_owner_p50",
    "append_owner_p99",
    "append_elsewhere_p50",
    "append_elsewhere_p99",
)
FAILOVER: Final = (
    "failover_killed",
    "failover_stopped",
    "rolling_restart_stall",
    "rolling_restart_failed",
)
LONG: Final = ("long_memory_growth", "long_get")

Found = tuple[dict[str, dict[str, Any]], str]


class Benchmarks:
    """Runs them on the servers of the tests."""

    def __init__(self, kafka: str, postgres: str, output: Path) -> None:
        self._servers = ["--kafka", kafka, "--postgres", postgres]
        self._output = output

    def run(self, script: str, *arguments: str) -> Found:
        """What was written, and what was printed."""
        command = [sys.executable, str(BENCHMARKS / script), *self._servers, *arguments]
        command += ["--output", str(self._output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr  # unequal rows or records are an error
        found: dict[str, dict[str, Any]] = json.loads(self._output.read_text())
        for measured in found.values():
            assert set(measured) >= {"unit", "ours", "reference", "ratio"}
        return found, done.stdout


@pytest.fixture(name="benchmarks")
def fixture_benchmarks(kafka: str, postgres: str, tmp_path: Path) -> Benchmarks:
    return Benchmarks(kafka, postgres, tmp_path / "bench.json")


def test_ours_and_each_floor_do_equal_work_and_are_written_as_json(
    benchmarks: Benchmarks,
) -> None:
    found, printed = benchmarks.run("run.py", "--quick", *FLOORS)
    assert set(found) == {*FLOORS}
    assert all(one["ours"] > 0 and one["reference"] > 0 for one in found.values())
    assert "20 rows of 2,000 events" in printed
    assert "4,000 records" in printed
    assert "200 records" in printed


@pytest.mark.parametrize("rows", [SAVES, OWNER, ELSEWHERE], ids=["saves", "owner", "elsewhere"])
def test_ours_and_the_peer_end_with_equal_accounts(
    benchmarks: Benchmarks, rows: tuple[str, ...]
) -> None:
    found, printed = benchmarks.run("run.py", "--quick", rows[0])
    assert set(found) == {*rows}
    assert all(one["ours"] > 0 and one["reference"] > 0 for one in found.values())
    assert rows is SAVES or "60 balances" in printed


def test_latencies_are_measured_beside_the_bare_client(benchmarks: Benchmarks) -> None:
    found, _ = benchmarks.run("run.py", "--quick", "latency_owner", "latency_elsewhere")
    assert set(found) == {*LATENCY}
    assert all(one["ours"] > 0 and one["reference"] > 0 for one in found.values())


def test_writers_are_killed_stopped_and_restarted_and_no_append_fails(
    benchmarks: Benchmarks,
) -> None:
    found, printed = benchmarks.run("run.py", "--quick", "failover")
    assert set(found) == {*FAILOVER}
    assert found["rolling_restart_failed"]["ours"] == 0, printed


def test_what_needs_many_events_runs_on_a_few(benchmarks: Benchmarks) -> None:
    found, _ = benchmarks.run("long.py", "--events", "5000", "memory", "get")
    assert set(found) == {*LONG}
    assert found["long_get"]["ours"] > 0


def test_servers_run_on_the_upper_half_of_the_processors_and_who_is_measured_on_all() -> None:
    everywhere = os.sched_getaffinity(0)
    show = [sys.executable, "-c", "import os; print(*sorted(os.sched_getaffinity(0)))"]
    with upper_half():
        server = subprocess.check_output(show, text=True)
    assert server.split() == [str(each) for each in sorted(everywhere)[len(everywhere) // 2 :]]
    assert os.sched_getaffinity(0) == everywhere
