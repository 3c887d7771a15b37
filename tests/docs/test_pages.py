"""What the pages show is run, and what they name is there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventstore.contract import EventStoreContract
from eventstore.postgres import address
from foldlog.commands._main import COMMANDS

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
BANK = ROOT / "examples" / "bank.py"
RUN = (
    "how-to/aggregates.md",
    "how-to/asyncio.md",
    "how-to/metadata.md",
    "how-to/projections.md",
    "how-to/states.md",
)
"""Pages whose code is one program, from top to bottom."""

LAST_COLUMN = """\
"balance", sa.Integer, nullable=False),
    sa.Column("withdrawals", sa.Integer, nullable=False, server_default="0"),"""
COUNTED = """values(
                    balance=balances.c.balance - amount, withdrawals=balances.c.withdrawals + 1
                )"""

PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def _code(page: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.fixture
def environment(kafka: str, postgres: str, tmp_path: Path) -> dict[str, str]:
    shutil.copy(BANK, tmp_path)
    return {
        **os.environ,
        "FOLDLOG_KAFKA": kafka,
        "FOLDLOG_POSTGRES": postgres,
        "FOLDLOG_DURABILITY": "single",
    }


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", RUN)
def test_the_code_of_a_page_runs(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(_code(page))
    _run([sys.executable, "-W", "error", "page.py"], tmp_path, environment)


def test_the_tests_of_the_page_on_testing_pass(environment: dict[str, str], tmp_path: Path) -> None:
    code = _code("how-to/testing.md")
    (tmp_path / "test_bank.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "test_bank.py"]
    contract = [name for name in vars(EventStoreContract) if name.startswith("test_")]
    tests = len(contract) + code.count("def test_")
    assert f"{tests} passed" in _run(command, tmp_path, environment)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`([\w/.]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    missing = [f"{path}::{name}" for path, name in named if name not in _tests_of(path)]
    assert missing == []


def _tests_of(path: str) -> list[str]:
    text = (ROOT / path).read_text(encoding="utf-8")
    return re.findall(
        r"^ *(?:(?:async )?def (?=test_)|class (?=Test)|(?=Test\w+ = ))(\w+)", text, re.MULTILINE
    )


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = "sphinx-build --fail-on-warning --nitpicky --quiet --builder html"
    program, *options = command.split()
    sphinx = str(Path(sys.executable).with_name(program))
    _run([sphinx, *options, str(DOCS), str(tmp_path / "html")], ROOT, dict(os.environ))
    assert (tmp_path / "html" / "index.html").is_file()


def test_every_guarantee_names_its_proof() -> None:
    text = (DOCS / "explanation" / "guarantees.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| proof" not in line]
    assert rows
    assert [row for row in rows if ".py::" not in row] == []


def test_the_change_that_ends_the_tutorial_rebuilds(
    environment: dict[str, str], tmp_path: Path
) -> None:
    bank = tmp_path / "bank.py"
    _run([sys.executable, "bank.py"], tmp_path, environment)
    changed = bank.read_text()
    for before, after in (
        ("version = 1", "version = 2"),
        ('"balance", sa.Integer, nullable=False),', LAST_COLUMN),
        ("values(balance=balances.c.balance - amount)", COUNTED),
    ):
        assert changed.count(before) == 1
        changed = changed.replace(before, after)
    bank.write_text(changed)
    foldlog = str(Path(sys.executable).with_name("foldlog"))
    rebuilt = _run([foldlog, "rebuild", "balances", "--app", "bank:app"], tmp_path, environment)
    assert "generation 2 is live" in rebuilt
    with address.connect(environment["FOLDLOG_POSTGRES"]) as db:
        assert db.execute("SELECT * FROM balances").fetchall() == [("alice", 70, 1)]


def test_every_command_has_its_place_in_the_reference() -> None:

    shown = (DOCS / "reference" / "command-line.md").read_text()
    assert [name for name in COMMANDS if f"## foldlog {name}" not in shown] == []
