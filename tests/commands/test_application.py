"""Which application a command is for, where it is found, and what it was given."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from foldlog.commands import main

APP = "from foldlog import App\nfrom tests.bank import Account\napp = App({}aggregates=[Account])\n"
TABLE = '[tool.foldlog]\napp = "bank:app"\n'
OTHERS = '[project]\nname = "of-others"\n'

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file below the current folder; what is imported from there is forgotten."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOLDLOG_KAFKA", "FOLDLOG_POSTGRES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FOLDLOG_DURABILITY", "single")
    before = set(sys.modules)

    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    return result.stderr


def planned(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["topics", "plan", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_commands_go_to_the_addresses_that_the_application_was_given(
    write: Write, kafka: str, postgres: str
) -> None:
    write("bank.py", APP.format(f"{kafka!r}, {postgres!r}, "))
    for arguments in (("status",), ("doctor",), ("aggregates", "refill")):
        result = CliRunner().invoke(main, [*arguments, "--app", "bank:app"])
        assert result.exit_code == 0, result.output
    assert "expected a stream 'alice'" in refused("events", "alice", "--app", "bank:app")


def test_a_plan_names_the_kafka_of_the_application_then_of_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("bank.py", APP.format(""))
    write("given.py", APP.format("'given.example:9092', "))
    assert "--bootstrap-server localhost:9092 " in planned("--app", "bank:app")
    monkeypatch.setenv("FOLDLOG_KAFKA", "other.example:9092")
    assert "--bootstrap-server other.example:9092 " in planned("--app", "bank:app")
    assert "--bootstrap-server given.example:9092 " in planned("--app", "given:app")
