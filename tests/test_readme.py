"""What the README shows is what happens, on real servers."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BANK = ROOT / "examples" / "bank.py"
SECONDS = 200

VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "TIME"),
    (r"in \d+\.\d s", "in N s"),
    (r"took \d+ ms", "took N ms"),
)
"""What differs from run to run, and what is compared in its place."""


class Shown(NamedTuple):
    """A command of the README, and what it shows below."""

    command: list[str]
    output: str


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands() -> Iterator[Shown]:
    for block in _blocks("console"):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield Shown(command.split(), output)


def _same(text: str) -> list[str]:
    """The lines that show something, without what varies and spaces at their ends."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.fixture
def shell(
    kafka: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The environment of a shell that stands in a folder with `bank.py`."""
    shutil.copy(BANK, tmp_path)
    monkeypatch.chdir(tmp_path)
    return {
        **os.environ,
        "FOLDLOG_KAFKA": kafka,
        "FOLDLOG_POSTGRES": postgres,
        "FOLDLOG_DURABILITY": "single",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


def _run(shown: Shown, shell: dict[str, str]) -> None:
    done = subprocess.run(
        shown.command, env=shell, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert _same(done.stdout) == _same(shown.output)


def _run_until_told(shown: Shown, shell: dict[str, str]) -> None:
    with subprocess.Popen(shown.command, env=shell, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == shown.output
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_the_code_is_the_bank_example() -> None:
    assert _blocks("python") == [BANK.read_text(encoding="utf-8")]


def test_the_shell_shows_what_the_readme_shows(shell: dict[str, str]) -> None:
    shown = [each for each in _commands() if each.command[0] != "make"]
    assert [each.command[:2] for each in shown] == [
        ["python", "bank.py"],
        ["foldlog", "events"],
        ["foldlog", "rebuild"],
        ["foldlog", "status"],
        ["foldlog", "run"],
    ]
    for each in shown[:-1]:
        _run(each, shell)
    _run_until_told(shown[-1], shell)


def test_every_make_target_of_the_readme_is_there() -> None:
    named = set(re.findall(r"make ([a-z]+)`", README)) | {
        each.command[1] for each in _commands() if each.command[0] == "make"
    }
    made = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"demo", "test"} <= named <= set(made)


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for target in re.findall(r"\]\(([^):#]+)\)", README):
        assert (ROOT / target).exists(), target
