"""Where a command finds its servers: the environment first, then `--data`."""

import os
from pathlib import Path

import pytest

from eventstore.errors import ConfigurationError
from foldlog.commands._addresses import addresses

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
    with addresses(tmp_path / "data") as found:
        assert (found.kafka, found.postgres, found.durability) == (KAFKA, POSTGRES, "replicated")
    said = capsys.readouterr().err
    assert "FOLDLOG_KAFKA and FOLDLOG_POSTGRES" in said
    assert "secret" not in said
    assert not (tmp_path / "data").exists()


def test_a_folder_gives_what_is_missing_and_the_environment_is_put_back(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", KAFKA)
    with addresses(data) as found:
        assert found.kafka == KAFKA
        assert found.postgres.startswith("postgresql://app@127.0.0.1:")
        assert os.environ["FOLDLOG_POSTGRES"] == found.postgres
    assert os.environ["FOLDLOG_KAFKA"] == KAFKA
    assert "FOLDLOG_POSTGRES" not in os.environ


def test_a_folder_alone_gives_both_and_a_durability_that_fits_one_broker(data: Path) -> None:
    with addresses(data) as found:
        assert found.variables() == {
            "FOLDLOG_KAFKA": found.kafka,
            "FOLDLOG_POSTGRES": found.postgres,
            "FOLDLOG_DURABILITY": "single",
        }
        assert os.environ["FOLDLOG_DURABILITY"] == "single"
    assert "FOLDLOG_KAFKA" not in os.environ
