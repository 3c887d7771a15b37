"""The built wheel works without the checkout: in an environment of its own, from another folder."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from eventstore.postgres import address

ROOT = Path(__file__).parent.parent
BANK = ROOT / "examples" / "bank.py"
LOCKED = ROOT / "requirements" / "dev.txt"

PLUGIN_TEST = """\
import psycopg


def test_tables_are_there(kafka, postgres):
    with psycopg.connect(postgres) as db:
        assert db.execute("SELECT count(*) FROM foldlog.positions").fetchone() == (0,)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _check([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)], ROOT)
    (found,) = folder.glob("foldlog-*.whl")
    return found


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, what it depends on, and pytest."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert uv, "expected uv beside Python, as make installs it"
    install = [uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")]
    wanted = ["--constraint", str(LOCKED), str(wheel), "pytest"]
    try:  # what make has installed is in uv's cache
        _check([*install, "--offline", *wanted], folder)
    except AssertionError:
        _check([*install, *wanted], folder)
    return folder / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


@pytest.fixture
def empty(postgres: str) -> str:
    """The address of a database that nothing was ever made in."""
    with address.connect(postgres, autocommit=True) as db:
        db.execute("DROP SCHEMA foldlog CASCADE")
    return postgres


def _check(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _servers(kafka: str, postgres: str) -> dict[str, str]:
    return {
        "FOLDLOG_KAFKA": kafka,
        "FOLDLOG_POSTGRES": postgres,
        "FOLDLOG_DURABILITY": "single",
    }


def test_the_wheel_holds_the_packages_their_data_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        names = set(files.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "eventstore",
        "foldlog",
        "projections",
    }
    for package in ("eventstore", "foldlog", "projections"):
        assert f"{package}/py.typed" in names
    migrations = {path.name for path in (ROOT / "alembic" / "versions").glob("*.py")}
    assert migrations
    assert {f"foldlog/_migrations/versions/{name}" for name in migrations} <= names
    assert {"foldlog/_migrations/env.py", "foldlog/embedded/jars.txt"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "__pycache__" in name]


def test_every_module_of_the_wheel_can_be_imported(environment: Path, elsewhere: Path) -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "optional = ('foldlog.demo.flights', 'foldlog.embedded._pin', 'foldlog._migrations')\n"
        "for package in ('eventstore', 'projections', 'foldlog'):\n"
        "    found = importlib.import_module(package)\n"
        "    assert sys.prefix in found.__file__, found.__file__\n"
        "    for each in pkgutil.walk_packages(found.__path__, package + '.'):\n"
        "        if not each.name.startswith(optional):\n"
        "            importlib.import_module(each.name)\n"
    )
    _check([str(environment / "python"), "-c", code], elsewhere)


def test_the_command_is_there_and_tells_its_version(environment: Path, elsewhere: Path) -> None:
    foldlog = str(environment / "foldlog")
    assert "rebuild" in _check([foldlog, "--help"], elsewhere)
    assert _check([foldlog, "--version"], elsewhere).startswith("foldlog, version ")


def test_an_application_runs_on_an_empty_database(
    environment: Path, elsewhere: Path, kafka: str, empty: str
) -> None:
    shutil.copy(BANK, elsewhere)
    found = _check([str(environment / "python"), "bank.py"], elsewhere, _servers(kafka, empty))
    assert found == "[('alice', 70)]\n"


def test_the_pytest_plugin_gives_tests_their_servers(
    environment: Path, elsewhere: Path, kafka: str, postgres: str
) -> None:
    (elsewhere / "test_plugin.py").write_text(PLUGIN_TEST)
    command = [str(environment / "python"), "-m", "pytest", "test_plugin.py"]
    found = _check(command, elsewhere, _servers(kafka, postgres))
    assert f"foldlog: Kafka at {kafka}" in found
    assert "1 passed" in found
