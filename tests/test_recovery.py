"""PostgreSQL holds nothing that Kafka does not: a lost database costs time, and no data."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from eventstore import ConcurrencyError
from eventstore.postgres import address
from foldlog import App

BANK = Path(__file__).parent.parent / "examples" / "bank.py"


@pytest.fixture(scope="module")
def bank() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bank", BANK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def opened(kafka: str, postgres: str, bank: ModuleType) -> Callable[[], App]:
    """Makes the application as a new process would."""
    return lambda: App(
        kafka,
        postgres,
        aggregates=[bank.Account],
        projections=[bank.Balances()],
        durability="single",
    )


def _lose_everything(postgres: str) -> None:
    with address.connect(postgres, autocommit=True) as db:
        db.execute("DROP VIEW balances")
        db.execute("DROP SCHEMA foldlog, balances_g1 CASCADE")


def _balances(app: App) -> dict[str, int]:
    app.catch_up()
    with app.engine.connect() as db:
        rows = db.execute(sa.text("SELECT account, balance FROM balances")).all()
    return {row.account: row.balance for row in rows}


def test_with_an_empty_database_everything_comes_back_from_kafka(
    opened: Callable[[], App], postgres: str, bank: ModuleType
) -> None:
    names = [f"account-{number}" for number in range(50)]
    with opened() as app:
        accounts = app.repository(bank.Account)
        for name in names:
            accounts.save(bank.Account.open(name, owner=name))
            accounts.execute(name, lambda account: account.deposit(10))
        before = _balances(app)
    assert before == dict.fromkeys(names, 10)

    _lose_everything(postgres)

    with opened() as app:
        accounts = app.repository(bank.Account)
        assert _balances(app) == before
        with pytest.raises(ConcurrencyError):
            accounts.save(bank.Account.open(names[0], owner="somebody else"))
        assert accounts.execute(names[0], lambda account: account.withdraw(3)).version == 3
        assert _balances(app) == before | {names[0]: 7}
