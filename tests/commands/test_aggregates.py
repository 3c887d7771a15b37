"""`foldlog aggregates` and `foldlog events`, on real servers."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from eventstore import Aggregate, Metadata
from eventstore.errors import ConfigurationError
from eventstore.postgres import address, states
from eventstore.state_port import State
from eventstore.states import StateForm
from foldlog.commands import main
from tests.bank import Account, MoneyDeposited
from tests.commands.accounts_app import Statement, app, later

APP, LATER = "tests.commands.accounts_app:app", "tests.commands.accounts_app:later"
NAMES = [f"account-{number}" for number in range(40)]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

Run = Callable[..., Result]


@pytest.fixture
def run(kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command, with forty accounts of 1 to 40 deposits of 1 in the log."""
    monkeypatch.setenv("FOLDLOG_KAFKA", kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", postgres)
    with app:
        accounts = app.repository(Account)
        opened = [Account.open(name, owner=name) for name in NAMES]
        for deposits in range(len(NAMES)):
            for account in opened[deposits:]:
                account.record(MoneyDeposited(amount=1), at=NOON + timedelta(days=deposits))
                accounts.submit(account)
        for owner in ("Mallory", "Nan"):
            accounts.save(Account.open(owner, owner=owner))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def facts(result: Result) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found[0]


def stored(postgres: str, aggregate: type[Aggregate[Any]]) -> dict[str, State]:
    form = StateForm(aggregate)
    with address.connect(postgres) as connection:
        return states.read_many(
            connection, aggregate.topic, form.fingerprint, [*NAMES, "Mallory", "Nan"]
        )


def test_a_refill_stores_the_state_of_every_stream_as_a_load_would_give_it(
    run: Run, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldlog.refill.REFILL_EVENTS", 100)
    refilled = run("aggregates", "refill", "Account", "--json", "--app", APP)
    assert refilled.exit_code == 0, refilled.output
    found = facts(refilled)
    assert (found["aggregate"], found["topic"], found["failed"]) == ("Account", "accounts", {})
    assert found["records"] >= 40 + 41 * 20
    states_of = stored(postgres, Account)
    for number, name in enumerate(NAMES, 1):
        state = states_of[name]
        assert (state.version, state.text) == (
            number + 1,
            f'{{"owner":"{name}","balance":{number}}}',
        )
    with app:
        head = app.store.head("accounts", NAMES[7])
    assert head is not None
    assert states_of[NAMES[7]].append == head.append_id.bytes

    again = run("aggregates", "refill", "accounts", "--json", "--app", APP)
    assert (facts(again)["states"], again.exit_code) == (0, 0)
    shown = run("aggregates", "refill", "--app", APP)
    assert "Account: 0 states of shape " in shown.stdout


def test_a_refill_that_was_interrupted_goes_on_where_it_was(
    run: Run, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldlog.refill.REFILL_EVENTS", 100)

    def interrupt(name: str, done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    with app:
        with pytest.raises(KeyboardInterrupt):
            app.refill(listener=interrupt)
        assert 0 < sum(state.version for state in stored(postgres, Account).values()) < 860
        (refilled,) = app.refill()
        assert (refilled.is_whole, refilled.failed) == (True, {})
        assert sum(state.version for state in stored(postgres, Account).values()) == 862
        alice = app.repository(Account).get(NAMES[-1])
    assert alice.balance == len(NAMES)


def test_a_refill_of_a_later_release_goes_on_past_what_fails_and_says_so(
    run: Run, postgres: str
) -> None:
    refilled = run("aggregates", "refill", "--json", "--app", LATER)
    assert refilled.exit_code == 1
    found = facts(refilled)
    assert found["states"] >= len(NAMES)
    assert not found["is_whole"]
    assert found["failed"].keys() == {"Mallory", "Nan"}
    assert "ValueError: an owner that nobody trusts" in found["failed"]["Mallory"]
    assert "version 1 of 'Mallory', at accounts[" in found["failed"]["Mallory"]
    assert "field share" in found["failed"]["Nan"]
    shown = run("aggregates", "refill", "--app", LATER)
    assert (shown.exit_code, "Mallory: ValueError" in shown.stderr) == (1, True)
    with later:
        statement = later.repository(Statement).get(NAMES[2])
    assert statement.movements == (1, 1, 1)


def test_a_state_of_another_log_is_deleted_by_a_refill_and_made_by_the_next(
    run: Run, postgres: str
) -> None:
    run("aggregates", "refill", "--app", APP)
    with address.connect(postgres) as connection:
        connection.execute(
            "UPDATE foldlog.states SET append_id = gen_random_uuid(), version = version - 1 "
            "WHERE stream = 'account-5'"
        )
    refilled = run("aggregates", "refill", "--json", "--app", APP)
    assert refilled.exit_code == 1
    assert "of another log: deleted, so run this again" in facts(refilled)["failed"]["account-5"]
    again = run("aggregates", "refill", "--json", "--app", APP)
    assert (again.exit_code, facts(again)["states"]) == (0, 1)
    assert stored(postgres, Account)["account-5"].version == 7


def test_states_of_other_shapes_are_deleted_and_those_of_this_code_stay(
    run: Run, postgres: str
) -> None:
    run("aggregates", "refill", "--app", APP)
    run("aggregates", "refill", "--app", LATER)
    forgotten = run("aggregates", "forget", "--json", "--app", LATER)
    assert (forgotten.exit_code, json.loads(forgotten.stdout)) == (0, {"Statement": 42})
    assert len(stored(postgres, Statement)) == 40
    assert stored(postgres, Account) == {}
    assert "0 states of other shapes" in run("aggregates", "forget", "--app", LATER).stdout


def test_a_refill_of_a_topic_that_is_not_there_has_nothing_to_do(
    kafka: str, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_KAFKA", kafka)
    monkeypatch.setenv("FOLDLOG_POSTGRES", postgres)
    result = CliRunner().invoke(main, ["aggregates", "refill", "--json", "--app", APP])
    assert (facts(result)["records"], result.exit_code) == (0, 0)
    wrong = CliRunner().invoke(main, ["aggregates", "refill", "Acount", "--app", APP])
    assert "expected one of the aggregates Account; found 'Acount'" in wrong.stderr
    with app, pytest.raises(ConfigurationError):
        app.refill("Acount")


def test_the_events_of_a_stream_are_shown_up_to_a_version_or_a_time(run: Run) -> None:
    def lines(*arguments: str) -> list[str]:
        result = run("events", "account-20", "--app", APP, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    assert len(lines()) == 22
    assert len(lines("--version", "5")) == 5
    assert len(lines("--until", "2100-01-01T00:00:00+01:00")) == 22
    above = run("events", "account-20", "--version", "23", "--app", APP)
    assert (above.exit_code, "found version 22" in above.stderr) == (1, True)
    naive = run("events", "account-20", "--until", "2026-01-31T12:00", "--app", APP)
    assert (naive.exit_code, "a time with its zone" in naive.stderr) == (2, True)
    both = ("--until", "2026-01-31T12:00Z", "--version", "1", "--app", APP)
    assert run("events", "account-20", *both).exit_code == 2


def test_the_metadata_of_an_event_is_among_its_facts(run: Run) -> None:
    metadata = Metadata(correlation_id="r-1", user={"clerk": "Zoë"})
    with app:
        app.repository(Account).save(Account.open("Zoë", owner="Zoë"), metadata=metadata)
    (line,) = run("events", "Zoë", "--json", "--app", APP).stdout.splitlines()
    shown = json.loads(line)["metadata"]
    assert shown == {"correlation_id": "r-1", "user": {"clerk": "Zoë"}}
    (first,) = run("events", "Mallory", "--json", "--app", APP).stdout.splitlines()
    assert "metadata" not in json.loads(first)
