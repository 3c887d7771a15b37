"""`foldlog writers`, and the roles of an application's processes, on real servers."""

import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from eventstore.errors import ConfigurationError
from foldlog import App
from foldlog.commands import main
from tests.bank import Account

APP = "tests.commands.accounts_app:app"
FOLDLOG = (sys.executable, "-c", "from foldlog.commands import main; main()")


def test_clients_append_while_writers_run_and_these_end_in_order(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", postgres)
    monkeypatch.setenv("FOLDLOG_DURABILITY", "single")
    command = [*FOLDLOG, "writers", "--app", APP]
    with subprocess.Popen(
        command, env=dict(os.environ), stderr=subprocess.PIPE, text=True
    ) as writers:
        assert writers.stderr is not None
        assert writers.stderr.readline() == "Writing to accounts.\n"
        with App(aggregates=[Account], role="client") as app:
            accounts = app.repository(Account)
            accounts.save(Account.open("alice", owner="Alice"))  # the writers claim, at first
            accounts.execute("alice", lambda account: account.deposit(70))
        with App(aggregates=[Account], role="client") as app:
            app.repository(Account).execute("alice", lambda account: account.deposit(30))
            assert app.repository(Account).get("alice").balance == 100
        writers.send_signal(signal.SIGTERM)
        assert writers.wait(120) == 0
        assert writers.stderr.read().endswith("Stopped; other writers take over.\n")


def test_writers_refuse_to_be_clients(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", postgres)
    monkeypatch.setenv("FOLDLOG_ROLE", "client")
    result = CliRunner().invoke(main, ["writers", "--app", APP])
    assert result.exit_code == 1
    assert "expected the role writer; found client" in result.stderr
    assert "Writing to" not in result.stderr


def test_another_role_is_refused_with_the_words_to_use(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_ROLE", "reader")
    with (
        pytest.raises(ConfigurationError, match="writer or client in FOLDLOG_ROLE"),
        App(kafka, postgres, aggregates=[Account], durability="single"),
    ):
        pass
