"""`App` itself: what it is given, and what it refuses."""

import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from eventstore.errors import ConfigurationError, StoreClosed
from foldlog import App
from tests.bank import Account
from tests.projections.read_models import Balances

FORKS = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.mark.parametrize("partitions", [-3, 0, "12", 1.5, True])
def test_a_number_of_partitions_is_a_whole_number_from_1(partitions: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected partitions"):
        App(aggregates=[Account], partitions=partitions)


def test_an_address_is_text_and_what_is_found_is_not_shown() -> None:
    given: Any = ["secret:1"]
    with pytest.raises(ConfigurationError, match=r"kafka as text.*found a list") as raised:
        App(given, aggregates=[Account])
    assert "secret" not in str(raised.value)
    with pytest.raises(ConfigurationError, match=r"postgres as text.*found a list"):
        App(None, given, aggregates=[Account])


def test_an_application_tells_which_addresses_it_was_given_and_shows_none() -> None:
    app = App("broker:9092", "postgresql://bank:secret@db/bank", aggregates=[Account])
    assert app.given == {"FOLDLOG_KAFKA", "FOLDLOG_POSTGRES"}
    assert App(postgres="postgresql://db/bank", aggregates=[]).given == {"FOLDLOG_POSTGRES"}
    assert App("", aggregates=[]).given == set()
    assert "secret" not in repr(app)


def test_nothing_to_follow_and_nothing_to_write_are_said(kafka: str, postgres: str) -> None:
    with App(kafka, postgres, aggregates=[], durability="single") as app:
        with pytest.raises(ConfigurationError, match="expected projections to follow"):
            app.run(threading.Event())
        with pytest.raises(ConfigurationError, match="expected aggregates to write"):
            app.write(threading.Event())


def in_a_fork(told: Callable[[], str]) -> str:
    """What a child that is forked here tells before it ends; it is killed if it hangs."""
    gc.collect()  # what other tests left is not to be destroyed in the child
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(60)
        try:
            os.write(writing, told().encode())
        except BaseException as error:  # noqa: BLE001 - it ends here, whatever it was
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return found


USES: dict[str, Callable[[App], object]] = {
    "engine": lambda app: app.engine,
    "store": lambda app: app.store,
    "repository": lambda app: app.repository(Account),
    "events": lambda app: app.events("alice"),
    "read_model": lambda app: app.read_model("balances"),
    "lag": lambda app: app.lag(),
    "catch_up": lambda app: app.catch_up(),
    "run": lambda app: app.run(threading.Event()),
    "rebuild": lambda app: app.rebuild("balances"),
    "write": lambda app: app.write(threading.Event()),
    "refill": lambda app: app.refill(),
    "forget_states": lambda app: app.forget_states(),
}


def refused_uses(app: App) -> str:
    refused: list[str] = []
    for name, use in USES.items():
        try:
            use(app)
        except StoreClosed as error:
            refused.append(name if "open the application in each process" in str(error) else "")
    return " ".join(refused)


@pytest.fixture
def app(kafka: str, postgres: str) -> App:
    return App(
        kafka,
        postgres,
        aggregates=[Account],
        projections=[Balances()],
        durability="single",
        partitions=1,
    )


@FORKS
def test_a_forked_process_is_told_to_open_an_application_of_its_own(app: App) -> None:
    with app:
        app.repository(Account).save(Account.open("alice", owner="Alice"))
        assert in_a_fork(lambda: refused_uses(app)) == " ".join(USES)


@FORKS
def test_leaving_an_application_in_a_forked_process_leaves_the_parents_as_it_is(app: App) -> None:
    def leave() -> str:
        app.__exit__(None, None, None)
        with pytest.raises(ConfigurationError, match="not entered"):
            _ = app.engine
        gc.collect()
        return "left"

    with app:
        app.repository(Account).save(Account.open("alice", owner="Alice"))
        with app.engine.connect() as db:
            before = db.scalar(sa.select(sa.func.pg_backend_pid()))
        assert in_a_fork(leave) == "left"
        with app.engine.connect() as db:
            assert db.scalar(sa.select(sa.func.pg_backend_pid())) == before
        app.repository(Account).execute("alice", lambda account: account.deposit(5))
        app.catch_up()
        assert app.repository(Account).get("alice").balance == 5


@FORKS
def test_a_forked_process_opens_the_application_anew(app: App) -> None:
    def deposit() -> str:
        with app:
            app.repository(Account).execute("alice", lambda account: account.deposit(5))
            return str(app.repository(Account).get("alice").balance)

    with app:
        app.repository(Account).save(Account.open("alice", owner="Alice"))
        assert in_a_fork(deposit) == "5"
        assert app.repository(Account).get("alice").balance == 5
