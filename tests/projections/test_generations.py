"""Generations, the views over them, rebuilds and the switch."""

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
import pytest
import sqlalchemy as sa

from eventstore import Recorded
from eventstore.postgres import address
from projections import (
    Progress,
    ProjectionChanged,
    ProjectionStopped,
    RowProjection,
    SwitchFailed,
    UnfinishedRebuild,
    ViewError,
    defaults,
    folded,
    generations,
)
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited
from tests.projections.ledger import Ledger
from tests.projections.read_models import Balance, Balances, HeldByDigit


def found(ledger: Ledger, query: str) -> list[tuple[object, ...]]:
    with address.connect(ledger.postgres) as db:
        return db.execute(query.encode()).fetchall()


def states(ledger: Ledger) -> list[tuple[object, ...]]:
    return found(ledger, "SELECT generation, state FROM foldlog.generations ORDER BY generation")


def fill(ledger: Ledger, accounts: int) -> None:
    for number in range(accounts):
        ledger.append(f"a{number}", AccountOpened(owner="x"), MoneyDeposited(amount=number + 1))
    ledger.flush()


class Doubled(Balances):
    """The next version: the same columns, other rows."""

    name = "balances"
    version = 2

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
        found = super().fold(row, recorded)
        amount = getattr(recorded.event, "amount", 0)
        return found._replace(balance=found.balance + amount)


def test_the_first_generation_is_live_with_its_indexes_and_positions(ledger: Ledger) -> None:
    made = ledger.read_model(Balances()).prepare()
    assert (made.number, made.schema, made.state) == (1, "balances_g1", "live")
    indexes = found(ledger, "SELECT indexname FROM pg_indexes WHERE schemaname = 'balances_g1'")
    assert ("balances_by_owner",) in indexes
    assert found(ledger, "SELECT count(*) FROM foldlog.positions") == [(ledger.partitions,)]
    assert ledger.read_model(Balances()).prepare() == made


def test_many_that_prepare_at_once_make_one_generation(ledger: Ledger) -> None:
    threads = [threading.Thread(target=ledger.read_model(Balances()).prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(ledger) == [(1, "live")]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO balances VALUES ('x', 'x', 1, 1)",
        "UPDATE balances SET balance = 0",
        "DELETE FROM balances",
        "MERGE INTO balances USING (SELECT 'a0') s (a) ON a = account WHEN MATCHED THEN DELETE",
    ],
)
def test_a_view_refuses_writes_and_says_why(ledger: Ledger, statement: str) -> None:
    fill(ledger, 2)
    ledger.read_model(Balances()).catch_up()
    refusal = "it is a read model of the projection balances"
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=refusal):
        found(ledger, statement)


def test_reading_through_a_view_is_planned_as_reading_the_table(ledger: Ledger) -> None:
    ledger.read_model(Balances()).prepare()
    plans = [
        found(ledger, f"EXPLAIN (COSTS OFF) SELECT * FROM {name} WHERE account = 'a'")
        for name in ("balances", "balances_g1.balances")
    ]
    assert plans[0] == plans[1]


def test_a_name_that_is_taken_is_refused(ledger: Ledger) -> None:
    with address.connect(ledger.postgres) as db:
        db.execute("CREATE TABLE public.held (id int)")
    with pytest.raises(ViewError, match="something that is not ours"):
        ledger.read_model(HeldByDigit()).prepare()
    assert states(ledger) == []

    class Others(Balances):
        name = "others"

    ledger.read_model(Balances()).prepare()
    with pytest.raises(ViewError, match="'balances'"):
        ledger.read_model(Others()).prepare()


def test_another_schema_for_readers_is_respected(ledger: Ledger) -> None:
    with address.connect(ledger.postgres) as db:
        db.execute("CREATE SCHEMA reading")
    ledger.read_model(Balances(), read_schema="reading").catch_up()
    assert found(ledger, "SELECT count(*) FROM reading.balances") == [(0,)]


def test_code_of_another_version_is_told_to_rebuild(ledger: Ledger) -> None:
    ledger.read_model(Balances()).prepare()
    with pytest.raises(ProjectionChanged, match="foldlog rebuild balances"):
        ledger.read_model(Doubled()).catch_up()


def test_a_rebuild_replays_everything_and_switches(ledger: Ledger) -> None:
    fill(ledger, 50)
    ledger.read_model(Balances()).catch_up()
    told: list[Progress] = []
    rebuilt = ledger.read_model(Doubled()).rebuild(told.append)
    assert (rebuilt.projection, rebuilt.generation) == ("balances", 2)
    assert rebuilt.records == 100 + ledger.partitions
    assert rebuilt.switch_milliseconds < rebuilt.seconds * 1000
    assert told[0].done == 0
    assert told[-1].done == told[-1].total == 100 + ledger.partitions
    rows = found(ledger, "SELECT * FROM balances ORDER BY account")
    assert rows == sorted(tuple(row) for row in folded(Doubled(), ledger.history()).values())
    assert states(ledger) == [(1, "retired"), (2, "live")]
    indexes = found(ledger, "SELECT indexname FROM pg_indexes WHERE schemaname = 'balances_g2'")
    assert ("balances_by_owner",) in indexes
    ledger.read_model(Doubled()).catch_up()


def test_a_rebuild_may_drop_the_old_generation(ledger: Ledger) -> None:
    ledger.read_model(Balances()).catch_up()
    ledger.read_model(Balances()).rebuild(drop_old=True)
    assert states(ledger) == [(2, "live")]
    assert found(ledger, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'balances%'") == [
        ("balances_g2",)
    ]


def test_what_depends_on_a_view_and_its_grants_outlive_a_switch(ledger: Ledger) -> None:
    fill(ledger, 3)
    ledger.read_model(Balances()).catch_up()
    with address.connect(ledger.postgres) as db:
        db.execute("CREATE VIEW total AS SELECT sum(balance) AS balance FROM balances")
        db.execute("GRANT SELECT ON balances TO PUBLIC")
    before = found(ledger, "SELECT relacl FROM pg_class WHERE oid = 'balances'::regclass")
    ledger.read_model(Doubled()).rebuild()
    assert found(ledger, "SELECT balance FROM total") == [(12,)]
    after = found(ledger, "SELECT relacl FROM pg_class WHERE oid = 'balances'::regclass")
    assert before == after


def test_an_event_that_fails_leaves_readers_the_old_generation(ledger: Ledger) -> None:
    fill(ledger, 5)
    ledger.read_model(Balances()).catch_up()

    class Failing(Doubled):
        name = "balances"

        def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
            if recorded.stream == "a3":
                raise ValueError("not this one")
            return super().fold(row, recorded)

    with pytest.raises(ProjectionStopped, match="not this one"):
        ledger.read_model(Failing()).rebuild()
    assert states(ledger) == [(1, "live")]
    assert found(ledger, "SELECT sum(balance) FROM balances") == [(15,)]


def test_what_a_killed_rebuild_left_is_dropped_only_when_asked(ledger: Ledger) -> None:
    fill(ledger, 5)
    model = ledger.read_model(Balances())
    model.catch_up()
    with address.connect(ledger.postgres) as db:
        generations.create(db, Balances(), {"accounts": ledger.partitions}, state="building")
    with pytest.raises(UnfinishedRebuild, match="--discard"):
        model.rebuild()
    with address.connect(ledger.postgres) as db:
        db.execute(
            "UPDATE foldlog.positions SET owner = 'x', owner_seen = now() WHERE generation = 2"
        )
    with pytest.raises(UnfinishedRebuild):
        model.rebuild(discard=True)
    with address.connect(ledger.postgres) as db:
        db.execute("UPDATE foldlog.positions SET owner = NULL")
    model.rebuild(discard=True)
    assert found(ledger, "SELECT sum(balance) FROM balances") == [(15,)]


class Wider(NamedTuple):
    account: str
    owner: str
    balance: int
    changes: int
    note: str = ""


def wider(columns: Sequence[sa.Column[object]]) -> type[RowProjection[AccountEvent, Wider]]:
    class WiderBalances(RowProjection[AccountEvent, Wider]):
        name = "balances"
        version = 2
        aggregates = (Account,)
        table = sa.Table("balances", sa.MetaData(), *columns)

        def key(self, recorded: Recorded[AccountEvent]) -> str:
            return recorded.stream

        def fold(self, row: Wider | None, recorded: Recorded[AccountEvent]) -> Wider:
            row = row or Wider(recorded.stream, "", 0, 0)
            return row._replace(changes=row.changes + 1)

    return WiderBalances


def columns() -> dict[str, sa.Column[object]]:
    return {
        "account": sa.Column("account", sa.Text, primary_key=True),
        "owner": sa.Column("owner", sa.Text, nullable=False),
        "balance": sa.Column("balance", sa.BigInteger, nullable=False),
        "changes": sa.Column("changes", sa.Integer, nullable=False),
        "note": sa.Column("note", sa.Text, nullable=False),
    }


def test_columns_added_at_the_end_pass_the_switch(ledger: Ledger) -> None:
    fill(ledger, 3)
    ledger.read_model(Balances()).catch_up()
    ledger.read_model(wider(list(columns().values()))()).rebuild()
    assert found(ledger, "SELECT sum(changes), max(note) FROM balances") == [(6, "")]


def test_other_changes_of_columns_are_refused_before_the_replay(ledger: Ledger) -> None:
    ledger.read_model(Balances()).catch_up()
    moved = columns()
    moved["balance"] = sa.Column("balance", sa.Numeric, nullable=False)
    with pytest.raises(ViewError, match="balance numeric"):
        ledger.read_model(wider(list(moved.values()))()).rebuild()
    assert states(ledger) == [(1, "live")]


def test_readers_see_the_old_rows_or_the_new_ones_and_no_error(ledger: Ledger) -> None:
    fill(ledger, 30)
    ledger.read_model(Balances()).catch_up()
    with address.connect(ledger.postgres) as db:
        db.execute("CREATE VIEW counted AS SELECT count(*) AS n FROM balances")
    sums, stop, failures = set[tuple[object, ...]](), threading.Event(), list[Exception]()

    def read() -> None:
        query = "SELECT sum(balance), sum(changes), (SELECT n FROM counted) FROM balances"
        try:
            with address.connect(ledger.postgres, autocommit=True) as db:
                while not stop.is_set():
                    row = db.execute(query, prepare=True).fetchone()
                    assert row is not None
                    sums.add(row)
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for projection in (Doubled(), Balances(), Doubled(), Balances()):
            ledger.read_model(projection).rebuild(drop_old=True)
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures
    once = 30 * 31 // 2
    assert sums == {(once, 60, 30), (2 * once, 60, 30)}


def test_a_follower_goes_on_with_the_generation_that_a_rebuild_made_live(ledger: Ledger) -> None:
    model, stop = ledger.read_model(Balances()), threading.Event()
    follower = threading.Thread(target=model.run, args=(stop,))
    follower.start()
    try:
        fill(ledger, 10)
        ledger.read_model(Balances()).rebuild()
        ledger.append("a0", MoneyDeposited(amount=100))
        ledger.flush()
        deadline = time.monotonic() + 60
        while found(ledger, "SELECT sum(balance) FROM balances") != [(155,)]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {lag.generation for lag in model.lag() if lag.owner} == {2}
    finally:
        stop.set()
        follower.join()


def test_a_switch_that_cannot_lock_a_view_changes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "SWITCH_TRIES", 2)
    monkeypatch.setattr(defaults, "SWITCH_LOCK_SECONDS", 0.1)
    fill(ledger, 3)
    ledger.read_model(Balances()).catch_up()
    with address.connect(ledger.postgres) as reader:
        reader.execute("SELECT * FROM balances")
        with pytest.raises(SwitchFailed, match="lock timeout"):
            ledger.read_model(Doubled()).rebuild()
    assert states(ledger) == [(1, "live")]
    ledger.read_model(Balances()).catch_up()
    assert found(ledger, "SELECT sum(balance) FROM balances") == [(6,)]


def test_a_read_model_comes_back_from_the_log_alone(ledger: Ledger) -> None:
    fill(ledger, 10)
    model = ledger.read_model(Balances())
    model.catch_up()
    before = found(ledger, "SELECT * FROM balances ORDER BY account")
    with address.connect(ledger.postgres) as db:
        db.execute("DROP SCHEMA balances_g1 CASCADE")
        db.execute("DELETE FROM foldlog.generations")
    model.catch_up()
    assert found(ledger, "SELECT * FROM balances ORDER BY account") == before
