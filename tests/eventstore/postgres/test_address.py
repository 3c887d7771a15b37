"""Addresses of PostgreSQL: understood, or refused without showing what they hold."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from eventstore.errors import ConfigurationError
from eventstore.postgres import address
from foldlog import App

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    "postgres",
    [
        f"postgresql://app:{CANARY}@host:port/db",
        f"postgresql://app:{CANARY}%00x@127.0.0.1/db",
        f"postgresql://app:x@{CANARY}@127.0.0.1/db",
        f"postgresql://app@127.0.0.1/db?password={CANARY}",
        f"mysql://app:{CANARY}@127.0.0.1/db",
        f"{CANARY}",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(postgres: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        address.reach(postgres)
    assert CANARY not in str(raised.value)
    assert raised.value.__cause__ is None


def test_where_nobody_answers_the_error_names_the_place_and_not_the_password() -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:1") as raised:
        address.reach(f"postgres://app:{CANARY}@127.0.0.1:1/db")
    assert CANARY not in str(raised.value)
    assert CANARY not in repr(address.parse(f"postgres://app:{CANARY}@127.0.0.1:1/db"))


def _app(postgres: Any) -> App:
    return App(postgres=postgres, aggregates=[])


def test_a_server_that_takes_no_writes_such_as_a_standby_is_not_used(postgres: str) -> None:
    with address.connect(postgres, autocommit=True) as db:
        database = db.info.dbname
        db.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on'.encode())
    with pytest.raises(ConfigurationError, match="read-only"):
        address.reach(postgres)


@pytest.mark.parametrize("kind", ["Engine", "AsyncEngine"])
@pytest.mark.parametrize("taking", [address.parse, _app])
def test_an_engine_is_refused_with_the_line_that_makes_an_address_of_it(
    kind: str, taking: Callable[[Any], object]
) -> None:
    engine = _engine(kind)
    with pytest.raises(ConfigurationError, match=f"SQLAlchemy's, {kind}: ") as caught:
        taking(engine)
    names: dict[str, Any] = {"engine": engine}
    exec(str(caught.value).splitlines()[-1].strip(), names)
    assert address.parse(names["postgres"]) == engine.url
    taking(names["postgres"])


def _engine(kind: str) -> Any:
    url = "postgresql+psycopg://user:p%40ss@host:5433/bank"
    if kind == "Engine":
        return sa.create_engine(url)
    return importlib.import_module("sqlalchemy.ext.asyncio").create_async_engine(url)
