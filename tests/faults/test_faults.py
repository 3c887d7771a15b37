"""Processes on real brokers under faults: what they were told is what the log says.

A small share of the proof, whose whole is `python -m tests.proof`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from foldlog.pytest_plugin import Servers
from tests.faults.arena import Arena
from tests.faults.nemesis import Harm
from tests.faults.plans import CAMPAIGNS, MUTANTS

pytestmark = pytest.mark.timeout(900)

WANTED: Final = {"kill", "pause", "steal"}


def test_what_processes_that_are_killed_and_paused_were_told_is_what_the_log_says(
    foldlog_stack: Servers, tmp_path: Path
) -> None:
    harm = Harm({"kill": 2, "pause": 1, "failpoint": 2, "steal": 4, "litter": 1}, (0.1, 0.4))
    harm = replace(harm, stopped=(6.5, 7.0), workers_down=(0.0, 0.3), surely=frozenset(WANTED))
    plan = replace(CAMPAIGNS["processes"], harm=harm, workers=2, seconds=3, seed=4)
    with Arena(1, foldlog_stack.postgres, tmp_path) as arena:
        result = arena.run(plan)
    assert result.violations == []
    assert set(result.faults) >= WANTED
    assert result.claims > plan.partitions  # others took over
    assert result.outcomes["append ok"] > 0


def test_a_run_with_an_ingredient_taken_away_is_found_out(
    foldlog_stack: Servers, tmp_path: Path
) -> None:
    """A stranger must come between two records of a worker, which takes some tries."""
    with Arena(1, foldlog_stack.postgres, tmp_path) as arena:
        plans = (replace(MUTANTS["contiguity"], seconds=3, seed=seed) for seed in range(1, 9))
        told = (arena.run(plan).untrue for plan in plans)
        assert any("what_was_acknowledged_is_valid" in untrue for untrue in told)


def test_what_was_acknowledged_stays_when_the_leader_of_three_brokers_is_killed(
    foldlog_stack: Servers, tmp_path: Path
) -> None:
    harm = Harm({"kill_leader": 1}, (1.5, 2.0), brokers_down=(3.0, 4.0))
    harm = replace(harm, surely=frozenset({"kill_leader"}))
    plan = replace(CAMPAIGNS["leaders"], harm=harm, workers=2, seconds=2, seed=1)
    with Arena(3, foldlog_stack.postgres, tmp_path) as arena:
        result = arena.run(plan)
    assert result.violations == []
    assert result.faults["kill_leader"] >= 1
    assert result.outcomes["append ok"] > 0
    assert result.went_on > 0
