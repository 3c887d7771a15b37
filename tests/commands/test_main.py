"""The command `foldlog` itself: help, its table, and how errors are shown."""

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from eventstore.errors import ConfigurationError
from foldlog.commands import main
from foldlog.commands._main import COMMANDS


def failing(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("fail", callback=fail)


def run_failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> tuple[int, str]:
    command = failing(error)

    def get_command(_main: click.Group, _context: click.Context, _name: str) -> click.Command:
        return command

    monkeypatch.setattr(type(main), "get_command", get_command)
    result = CliRunner().invoke(main, ["fail"])
    if result.exception is error:
        raise error
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    assert isinstance(getattr(import_module(module), attribute), click.Command)


def test_help_imports_no_subcommand_and_names_them_all() -> None:
    code = (
        "import sys; from foldlog.commands import main; main(['--help'], standalone_mode=False); "
        "sys.exit(sorted(name for name in sys.modules if name.startswith('foldlog.')) "
        "!= ['foldlog.commands', 'foldlog.commands._main', 'foldlog.commands._memory'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)


def test_an_error_of_ours_is_one_message_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run_failing(monkeypatch, ConfigurationError("expected this; found that"))
    assert (code, said) == (1, "Error: expected this; found that\n")


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_failing(monkeypatch, ZeroDivisionError())


def test_ctrl_c_ends_with_the_exit_code_that_shells_give_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run_failing(monkeypatch, KeyboardInterrupt())[0] == 130
