"""The read model is what a pure fold of the log gives, whatever happens on the way."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from eventstore._failpoints import VARIABLE
from eventstore.postgres import address
from projections import RowProjection, folded
from tests.bank import AccountOpened, MoneyDeposited, MoneyWithdrawn
from tests.projections import read_models
from tests.projections.ledger import Ledger
from tests.projections.read_models import Balances, HeldByDigit, Owners

WORKER = Path(__file__).with_name("worker.py")


def fill(ledger: Ledger, *, accounts: int, seed: int) -> None:
    """Appends of one to three events to accounts in random order."""
    draw = random.Random(seed)
    opened: list[str] = []
    for number in range(accounts * 3):
        if not opened or (len(opened) < accounts and draw.random() < 0.4):
            stream = f"{seed}-account-{number}"
            opened.append(stream)
            ledger.append(stream, AccountOpened(owner=f"owner {number}"), MoneyDeposited(amount=9))
        else:
            stream, amount = draw.choice(opened), draw.randint(1, 9)
            both = (MoneyDeposited(amount=amount), MoneyWithdrawn(amount=amount))
            ledger.append(stream, *both[: draw.randint(1, 2)])
    ledger.flush()


def rows_of(ledger: Ledger, view: str) -> list[tuple[Any, ...]]:
    with address.engine(ledger.postgres, pooled=False).connect() as db:
        return sorted(tuple(row) for row in db.execute(sa.text(f"SELECT * FROM {view}")))


def expected(ledger: Ledger, projection: RowProjection[Any, Any]) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in folded(projection, ledger.history()).values())


def test_catching_up_gives_what_a_pure_fold_of_the_log_gives(ledger: Ledger) -> None:
    fill(ledger, accounts=300, seed=1)
    for projection, view in ((Balances(), "balances"), (HeldByDigit(), "held")):
        model = ledger.read_model(projection)
        model.catch_up()
        assert rows_of(ledger, view) == expected(ledger, projection)
        assert all(lag.records == 0 and lag.owner is None for lag in model.lag())


def test_catching_up_again_applies_only_what_came_since(ledger: Ledger) -> None:
    model = ledger.read_model(HeldByDigit())
    for seed in (1, 2, 3):
        fill(ledger, accounts=50, seed=seed)
        model.catch_up()
        model.catch_up()
        assert rows_of(ledger, "held") == expected(ledger, HeldByDigit())


def test_a_sql_projection_sees_only_the_events_it_names(ledger: Ledger) -> None:
    fill(ledger, accounts=100, seed=1)
    ledger.read_model(Owners()).catch_up()
    opened = [one for one in ledger.history() if isinstance(one.event, AccountOpened)]
    assert len(rows_of(ledger, "owners")) == len(opened)


def test_an_incomplete_append_at_the_end_does_not_hold_up_catching_up(ledger: Ledger) -> None:
    ledger.append("a", AccountOpened(owner="Ann"))
    ledger.append("a", MoneyDeposited(amount=5), missing=1)
    ledger.flush()
    model = ledger.read_model(Balances())
    model.catch_up()
    assert rows_of(ledger, "balances") == [("a", "Ann", 0, 1)]
    assert sum(lag.records for lag in model.lag()) == 1

    ledger.claim(ledger.partition("a"))
    ledger.append("a", MoneyDeposited(amount=7))
    ledger.flush()
    model.catch_up()
    assert rows_of(ledger, "balances") == [("a", "Ann", 7, 2)]


@pytest.mark.parametrize("point", ["after_move", "after_apply", "before_commit", "after_commit"])
@pytest.mark.parametrize("projection", ["Balances", "HeldByDigit", "Owners"])
def test_killed_and_started_again_it_equals_the_fold(
    ledger: Ledger, kafka: str, point: str, projection: str
) -> None:
    fill(ledger, accounts=120, seed=5)
    command = [sys.executable, str(WORKER), kafka, ledger.postgres, projection]
    killed = subprocess.run(command, env=os.environ | {VARIABLE: f"{point}:kill:2"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    free(ledger)  # as if 10 seconds had passed
    ledger.read_model(getattr(read_models, projection)()).catch_up()

    if projection == "Owners":
        opened = [one for one in ledger.history() if isinstance(one.event, AccountOpened)]
        assert rows_of(ledger, "owners") == sorted((one.stream, one.event.owner) for one in opened)  # type: ignore[attr-defined]
    else:
        folds: dict[str, tuple[RowProjection[Any, Any], str]] = {
            "Balances": (Balances(), "balances"),
            "HeldByDigit": (HeldByDigit(), "held"),
        }
        fold, view = folds[projection]
        assert rows_of(ledger, view) == expected(ledger, fold)


def free(ledger: Ledger) -> None:
    """Let the owners count as silent."""
    with address.connect(ledger.postgres) as db:
        db.execute("UPDATE foldlog.positions SET owner_seen = now() - interval '11 seconds'")


def test_following_applies_what_comes_and_stops_when_told(ledger: Ledger) -> None:
    model, stop = ledger.read_model(HeldByDigit()), threading.Event()
    follower = threading.Thread(target=model.run, args=(stop,))
    follower.start()
    try:
        for seed in (1, 2, 3):
            fill(ledger, accounts=40, seed=seed)
            wanted = expected(ledger, HeldByDigit())
            deadline = time.monotonic() + 60
            while rows_of(ledger, "held") != wanted:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        stop.set()
        follower.join()
    assert all(lag.owner is None for lag in model.lag())


def test_catching_up_waits_for_a_follower_instead_of_fencing_it(ledger: Ledger) -> None:
    model, stop = ledger.read_model(Balances()), threading.Event()
    model.prepare()
    failures: list[Exception] = []

    def follow() -> None:
        try:
            model.run(stop)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        while not all(lag.owner for lag in model.lag()):
            assert follower.is_alive(), failures
            time.sleep(0.05)
        fill(ledger, accounts=60, seed=1)
        ledger.append("1-account-0", MoneyDeposited(amount=1), missing=1)
        ledger.flush()
        ledger.read_model(Balances()).catch_up()
        assert rows_of(ledger, "balances") == expected(ledger, Balances())
        assert all(lag.owner for lag in model.lag())
    finally:
        stop.set()
        follower.join()
    assert not failures
