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


def test_what_goes_wrong_within_the_applications_module_is_shown_as_it_is(write: Write) -> None:
    write("broken.py", f"import sys\n{APP.format('')}sys.no_such_thing\n")
    result = CliRunner().invoke(main, ["topics", "plan", "--app", "broken:app"])
    assert isinstance(result.exception, AttributeError)
    assert "no_such_thing" in str(result.exception)


def test_a_name_that_the_module_does_not_have_is_said(write: Write) -> None:
    write("bank.py", APP.format(""))
    said = refused("topics", "plan", "--app", "bank:application")
    assert "expected 'application' in module 'bank'; found no such name" in said


@pytest.mark.parametrize("name", ["bank", ":app", "bank:", ".bank:app", "bank..app:app"])
def test_a_name_that_is_no_module_and_name_is_refused(write: Write, name: str) -> None:
    assert "expected an application as module:name" in refused("topics", "plan", "--app", name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.foldlog\n", "expected TOML in"),
        ("tool = 1\n", "expected a table [tool.foldlog] in"),
        ('[tool]\nfoldlog = "bank:app"\n', "expected a table [tool.foldlog] in"),
        ("[tool.foldlog]\napp = 1\n", 'expected app = "module:name" in [tool.foldlog] of'),
    ],
)
def test_a_project_file_that_is_not_well_formed_is_one_message_that_names_it(
    write: Write, tmp_path: Path, text: str, says: str
) -> None:
    write("pyproject.toml", text)
    said = refused("topics", "plan")
    assert says in said
    assert str(tmp_path / "pyproject.toml") in said


def test_the_projects_application_is_found_from_the_folders_below(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", TABLE)
    write("bank.py", APP.format("'outer.example:9092', "))
    write("within/further/notes.txt", "")
    monkeypatch.chdir(tmp_path / "within" / "further")
    assert "outer.example" in planned()


def test_a_project_file_without_our_table_does_not_hide_the_one_above(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", TABLE)
    write("bank.py", APP.format("'outer.example:9092', "))
    write("within/pyproject.toml", OTHERS)
    monkeypatch.chdir(tmp_path / "within")
    assert "outer.example" in planned()


def test_a_module_that_is_nowhere_is_said_with_where_it_was_looked_for(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pyproject.toml", TABLE)
    write("within/notes.txt", "")
    monkeypatch.chdir(tmp_path / "within")
    assert f"expected a module 'bank' in {tmp_path} or among" in refused("topics", "plan")


def test_nothing_to_follow_and_nothing_to_write_for_end_a_command_with_an_error(
    write: Write, kafka: str, postgres: str
) -> None:
    addresses = f"{kafka!r}, {postgres!r}, "
    write("bank.py", APP.format(addresses))
    said = refused("run", "--app", "bank:app")
    assert "expected projections to follow" in said
    assert "Following" not in said
    write("empty.py", f"from foldlog import App\napp = App({addresses}aggregates=[])\n")
    said = refused("writers", "--app", "empty:app")
    assert "expected aggregates to write for" in said
    assert "Writing" not in said
