"""The pytest plugin, as another project uses it: in a pytest of its own, on this run's servers."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg

from eventstore.kafka._admin import Admin
from eventstore.kafka._reset import NewTopics
from eventstore.kafka.settings import KafkaSettings
from foldlog.pytest_plugin import Servers

PROJECT = """
import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

@pytest.mark.parametrize("time", [1, 2])
def test_each_test_starts_afresh(kafka, postgres, time):
    admin = AdminClient({"bootstrap.servers": kafka})
    topics = {name for name in admin.list_topics(timeout=60).topics if not name.startswith("__")}
    assert topics == {"kept"}
    admin.create_topics([NewTopic("accounts", 12, 1)])["accounts"].result()
    with psycopg.connect(postgres) as connection:
        connection.execute("CREATE TABLE balances (account text)")
        connection.execute("SELECT * FROM foldlog.positions")
"""
DATABASES = "SELECT datname FROM pg_database ORDER BY 1"


def pytest_run(
    folder: Path, test: str, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    (folder / "test_project.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir=."]
    command += options
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_each_test_has_fresh_topics_and_a_fresh_database_and_nothing_else_is_touched(
    kafka: str, foldlog_stack: Servers, tmp_path: Path
) -> None:
    topics = NewTopics(kafka)
    Admin(KafkaSettings(kafka)).create("kept", 1, 1, {})
    with psycopg.connect(foldlog_stack.postgres, autocommit=True) as connection:
        before = connection.execute(DATABASES).fetchall()
        ran = pytest_run(
            tmp_path, PROJECT, FOLDLOG_KAFKA=kafka, FOLDLOG_POSTGRES=foldlog_stack.postgres
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert connection.execute(DATABASES).fetchall() == before
    assert "2 passed" in ran.stdout
    assert f"foldlog: Kafka at {kafka}, PostgreSQL 18." in ran.stdout
    assert topics.names() == {"kept"}


def test_a_server_that_is_missing_fails_the_test_and_is_not_skipped(tmp_path: Path) -> None:
    ran = pytest_run(
        tmp_path,
        "def test_nothing(postgres): ...",
        FOLDLOG_KAFKA="127.0.0.1:1",
        FOLDLOG_POSTGRES="postgresql://nobody@127.0.0.1:1/none",
    )
    assert ran.returncode == 1
    assert "1 error" in ran.stdout
    assert "PostgreSQL not reached" in ran.stdout


def test_one_kafka_for_several_workers_fails_the_test_and_says_what_to_do(
    kafka: str, foldlog_stack: Servers, tmp_path: Path
) -> None:
    ran = pytest_run(
        tmp_path,
        "def test_nothing(kafka): ...",
        "-n2",
        FOLDLOG_KAFKA=kafka,
        FOLDLOG_POSTGRES=foldlog_stack.postgres,
    )
    assert ran.returncode == 1
    assert "2 workers on the one of FOLDLOG_KAFKA: unset it" in ran.stdout


def test_the_plugin_and_its_header_import_nothing_heavy() -> None:
    heavy = "{'confluent_kafka', 'jgo', 'psycopg', 'sqlalchemy', 'alembic'}"
    code = (
        "import sys, foldlog.pytest_plugin as plugin; print(plugin.pytest_report_header()); "
        f"sys.exit(str({heavy} & sys.modules.keys()) if {heavy} & sys.modules.keys() else 0)"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("FOLDLOG_")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("foldlog: embedded Kafka 4.")
