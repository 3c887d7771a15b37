"""The benchmarks run, and both sides of each pair do the same work; ratios are never asserted."""

import json
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"
PEER = "vs_pyeventsourcing"
PAIRS = {
    "catch_up_row_vs_floor",
    "append_bulk_vs_floor",
    "append_single_vs_floor",
    f"append_{PEER}",
    f"append_{PEER}_fastest",
    f"append_flushed_{PEER}",
    f"edit_owner_{PEER}",
    f"edit_owner_{PEER}_fastest",
    f"edit_owner_cold_{PEER}",
    f"edit_owner_flushed_{PEER}",
}
FIGURES = {"append_owner_p50", "append_owner_p99"}


def test_each_pair_does_equal_work_and_is_written_as_json(
    kafka: str, postgres: str, tmp_path: Path
) -> None:
    output = tmp_path / "bench.json"
    command = [sys.executable, str(RUN), "--quick", "--output", str(output)]
    done = subprocess.run(
        [*command, "--kafka", kafka, "--postgres", postgres],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr  # unequal rows or records are an error
    found = json.loads(output.read_text())
    assert set(found) == PAIRS | FIGURES
    for measured in found.values():
        assert set(measured) >= {"unit", "ours", "reference", "ratio"}
        assert measured["ours"] > 0
        assert measured["reference"] > 0
    assert "20 rows of 2,000 events" in done.stdout
    assert "4,000 records" in done.stdout
    assert "200 records" in done.stdout
    assert "60 balances" in done.stdout
