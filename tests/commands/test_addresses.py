"""Where a command finds its servers: the application, the environment, then `--data`."""

import os
from pathlib import Path

import pytest

from eventstore.errors import ConfigurationError
from foldlog import App
from foldlog.commands._addresses import addresses
from tests.bank import Account

KAFKA, POSTGRES = "kafka.example:9092", "postgresql://bank:secret@db.example/bank"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("addresses") / "data"


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOLDLOG_KAFKA", "FOLDLOG_POSTGRES", "FOLDLOG_DURABILITY"):
        monkeypatch.delenv(name, raising=False)


def test_without_address_and_folder_the_error_names_what_is_unset_and_foldlog_dev(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", KAFKA)
    with pytest.raises(ConfigurationError, match=r"FOLDLOG_POSTGRES unset.*`foldlog dev`"):
        addresses(None).__enter__()


def test_given_addresses_win_over_the_folder_and_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", KAFKA)
    monkeypatch.setenv("FOLDLOG_POSTGRES", POSTGRES)
    with addresses(tmp_path / "data"):
        assert (os.environ["FOLDLOG_KAFKA"], os.environ["FOLDLOG_POSTGRES"]) == (KAFKA, POSTGRES)
        assert "FOLDLOG_DURABILITY" not in os.environ
    said = capsys.readouterr().err
    assert "FOLDLOG_KAFKA and FOLDLOG_POSTGRES from the environment" in said
    assert "secret" not in said
    assert not (tmp_path / "data").exists()


def test_addresses_of_the_application_need_no_variable_and_no_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    app = App(KAFKA, POSTGRES, aggregates=[Account])
    with addresses(None, app.given):
        assert "FOLDLOG_KAFKA" not in os.environ
    with addresses(tmp_path / "data", app.given):
        assert not (tmp_path / "data").exists()
    assert capsys.readouterr().err == (
        f"Using Kafka and PostgreSQL as given to App(…), not the servers of {tmp_path / 'data'}.\n"
    )


def test_only_what_the_application_was_not_given_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    app = App(KAFKA, aggregates=[Account])
    with pytest.raises(ConfigurationError, match="found FOLDLOG_POSTGRES unset"):
        addresses(None, app.given).__enter__()
    monkeypatch.setenv("FOLDLOG_KAFKA", "another.example:9092")
    monkeypatch.setenv("FOLDLOG_POSTGRES", POSTGRES)
    with addresses(tmp_path, app.given):
        pass
    assert "Using Kafka as given to App(…) and FOLDLOG_POSTGRES from the environment, not" in (
        capsys.readouterr().err
    )


def test_a_folder_gives_what_is_missing_and_the_environment_is_put_back(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", KAFKA)
    with addresses(data):
        assert os.environ["FOLDLOG_KAFKA"] == KAFKA
        assert os.environ["FOLDLOG_POSTGRES"].startswith("postgresql://app@127.0.0.1:")
        assert "FOLDLOG_DURABILITY" not in os.environ
    assert os.environ["FOLDLOG_KAFKA"] == KAFKA
    assert "FOLDLOG_POSTGRES" not in os.environ


def test_a_folder_alone_gives_both_and_a_durability_that_fits_one_broker(data: Path) -> None:
    with addresses(data):
        assert os.environ["FOLDLOG_KAFKA"].startswith("127.0.0.1:")
        assert os.environ["FOLDLOG_POSTGRES"].startswith("postgresql://app@127.0.0.1:")
        assert os.environ["FOLDLOG_DURABILITY"] == "single"
    assert "FOLDLOG_KAFKA" not in os.environ
    assert "FOLDLOG_DURABILITY" not in os.environ
