"""The proof of the write side, for as long as is given: ``python -m tests.proof --seconds 600``.

1. Mutants of the code are run until the checker finds each of them out.
2. The model of the protocol is searched.
3. Hypothesis draws new examples for the rule, the writers and the stores.
4. Campaigns under faults run on one broker and on three, each with a seed of its own.

It writes a report, and keeps the histories and the log of what failed.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from foldlog.embedded import Stack
from tests.faults.arena import Arena
from tests.faults.campaign import Plan, Result
from tests.faults.plans import CAMPAIGNS, MUTANT_SECONDS, MUTANTS
from tests.faults.report import Proof, Searched, write

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "build" / "proof"
REPORT: Final = ROOT / "docs" / "explanation" / "proof.md"
CAMPAIGN_SECONDS: Final = 30.0
MUTANT_ATTEMPTS: Final = 5
RANDOM_TESTS: Final = (
    "tests/eventstore/kafka/test_rule.py",
    "tests/eventstore/kafka/test_writer_model.py",
    "tests/eventstore/test_store_machine.py",
    "tests/model/test_lockstep.py",
)
SHARES: Final = {"model": 0.15, "hypothesis": 0.15, "one broker": 0.4, "three brokers": 0.3}
"""How the time is divided, after the mutants."""


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    seconds: float
    seed: int
    only: Sequence[str]
    report: Path
    campaign: float
    """Seconds of faults in each campaign."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove, and say what was found; 1: something was wrong."""
    asked = _asked(arguments)
    began = time.monotonic()
    with Stack(fsync=False) as stack:
        proof = Proof(
            asked.seconds, asked.campaign, asked.seed, stack.kafka_version, stack.postgres_version
        )
        if asked.only:
            proof.campaigns += _named(asked, stack.postgres)
        else:
            proof.mutants += _mutants(stack.postgres, asked.seed)
            left = max(0.0, asked.seconds - (time.monotonic() - began))
            proof.model = _model(left * SHARES["model"])
            proof.hypothesis = _hypothesis(left * SHARES["hypothesis"], stack, asked.seed)
            for brokers, share in ((1, "one broker"), (3, "three brokers")):
                proof.campaigns += _campaigns(asked, stack.postgres, brokers, left * SHARES[share])
    if not asked.only:
        write(proof, asked.report)
        _say(f"the report is in {asked.report}")
    _say("nothing was wrong" if proof.holds else "SOMETHING IS WRONG")
    return 0 if proof.holds else 1


def _asked(arguments: Sequence[str] | None) -> Asked:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="seconds in all, about")
    parser.add_argument("--seed", type=int, default=None, help="draws the rest; else a new one")
    parser.add_argument("--only", nargs="*", default=[], choices=[*CAMPAIGNS, *MUTANTS])
    parser.add_argument("--campaign", type=float, default=CAMPAIGN_SECONDS, help="seconds of each")
    parser.add_argument("--report", type=Path, default=REPORT)
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    return Asked(given.seconds, seed, given.only, given.report, given.campaign)


def _named(asked: Asked, postgres: str) -> Iterator[Result]:
    """These campaigns alone, with this seed: to repeat what failed."""
    plans = {**CAMPAIGNS, **MUTANTS}
    for name in asked.only:
        plan = replace(plans[name], seed=asked.seed, seconds=asked.campaign)
        with Arena(plan.brokers, postgres, KEPT) as arena:
            yield _run(arena, plan)


def _mutants(postgres: str, seed: int) -> Iterator[tuple[str, Result | None]]:
    """Each mutant with the campaign that found it out; None: none did."""
    with Arena(1, postgres, KEPT) as arena:
        for name, plan in MUTANTS.items():
            yield name, _found_out(arena, plan, seed)


def _found_out(arena: Arena, plan: Plan, seed: int) -> Result | None:
    for attempt in range(MUTANT_ATTEMPTS):
        result = arena.run(replace(plan, seed=seed + attempt, seconds=MUTANT_SECONDS))
        if result.untrue:
            _say(f"without {plan.name}: found out by {', '.join(sorted(result.untrue))}")
            return result
    _say(f"without {plan.name}: NOT found out")
    return None


def _campaigns(asked: Asked, postgres: str, brokers: int, seconds: float) -> Iterator[Result]:
    """In turn, each time with the next seed, until the time is over; each once at least."""
    plans = [plan for plan in CAMPAIGNS.values() if plan.brokers == brokers]
    deadline, seed = time.monotonic() + seconds, asked.seed
    with Arena(brokers, postgres, KEPT) as arena:
        while seed < asked.seed + len(plans) or time.monotonic() < deadline:
            plan = plans[(seed - asked.seed) % len(plans)]
            yield _run(arena, replace(plan, seed=seed, seconds=asked.campaign))
            seed += 1


def _run(arena: Arena, plan: Plan) -> Result:
    result = arena.run(plan)
    operations, faults = sum(result.outcomes.values()), sum(result.faults.values())
    _say(
        f"{plan.name}, seed {plan.seed}: {operations:,} operations, {faults} faults: "
        f"{len(result.violations)} violations"
    )
    for violation in result.violations[:10]:
        _say(f"    {violation.check}: {violation.what}")
    if result.violations:
        _say(f"    kept in {KEPT / f'{plan.name}-{plan.seed}'}; again by:")
        _say(f"    python -m tests.proof --only {plan.name} --seed {plan.seed}")
        _say(f"    python -m tests.faults.checker {KEPT / f'{plan.name}-{plan.seed}'}")
    return result


def _model(seconds: float) -> Searched:
    command = [sys.executable, "-m", "tests.model", "--whole", "--seconds", f"{seconds:.0f}"]
    return _searched(command, {})


def _hypothesis(seconds: float, stack: Stack, seed: int) -> list[Searched]:
    """New examples, again and again, until the time is over."""
    servers = {"FOLDLOG_KAFKA": stack.kafka, "FOLDLOG_POSTGRES": stack.postgres}
    deadline, found = time.monotonic() + seconds, list[Searched]()
    while not found or time.monotonic() < deadline:
        command = [sys.executable, "-m", "pytest", "-q", "-n0", *RANDOM_TESTS]
        command.append(f"--hypothesis-seed={seed + len(found)}")
        found.append(_searched(command, {"FOLDLOG_RANDOM": "1", **servers}))
    return found


def _searched(command: Sequence[str], environment: dict[str, str]) -> Searched:
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = Searched(done.returncode, done.stdout, time.monotonic() - began)
    _say(f"{' '.join(command[1:4])}: {found.seconds:.0f} s, exit code {found.code}")
    if found.code:
        _say(found.output)
    return found


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
