"""Where campaigns run, one after the other: brokers, and a database for each on one PostgreSQL."""

import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from eventstore.kafka._reset import NewTopics
from eventstore.postgres import address
from foldlog import migrations
from tests.cluster import Cluster
from tests.faults.campaign import Plan, Result, run


class Arena:
    """A cluster of so many brokers, beside a PostgreSQL that is there, from `with` to its end.

    ``kept`` is the folder under which what failed is kept.
    """

    def __init__(self, brokers: int, postgres: str, kept: Path) -> None:
        self._cluster = Cluster(brokers)
        self._postgres = postgres
        self._kept = kept

    def __enter__(self) -> Self:
        self._cluster.__enter__()
        self._topics = NewTopics(self._cluster.bootstrap)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cluster.__exit__(kind, error, trace)

    def run(self, plan: Plan) -> Result:
        """Run a campaign on an empty log and an empty database."""
        folder = self._kept / f"{plan.name}-{plan.seed}"
        shutil.rmtree(folder, ignore_errors=True)
        self._topics.delete()
        with _database(self._postgres) as postgres:
            result = run(plan, self._cluster, postgres, folder)
        if not result.violations:
            shutil.rmtree(folder)
        return result


@contextmanager
def _database(server: str) -> Generator[str]:
    """A migrated database, dropped afterwards."""
    name = f"foldlog_faults_{uuid.uuid4().hex}"
    _execute(server, f'CREATE DATABASE "{name}"')
    url = address.parse(server).set(drivername="postgresql", database=name)
    try:
        migrations.upgrade(url.render_as_string(hide_password=False))
        yield url.render_as_string(hide_password=False)
    finally:
        _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(server: str, statement: str) -> None:
    with address.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())
