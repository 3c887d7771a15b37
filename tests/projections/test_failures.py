"""Fenced, failing and interrupted projectors: what they leave, and what they say."""

import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from eventstore import Recorded
from eventstore.errors import OffsetGone
from eventstore.kafka.reader import PartitionBatch
from eventstore.log import LogPosition
from eventstore.postgres import address
from projections import (
    DELETE,
    Delete,
    LogChanged,
    ProjectionStopped,
    ProjectorFenced,
    RowProjection,
    SqlProjection,
    TransactionEnded,
    defaults,
    folded,
    positions,
)
from projections._session import Session
from projections.generations import Generation
from projections.projector import Projector
from tests.bank import Account, AccountEvent, AccountOpened, MoneyDeposited, MoneyWithdrawn
from tests.projections.ledger import TOPIC, Ledger
from tests.projections.read_models import Balance, Balances, HeldByDigit, Owners, balances, owners


@contextmanager
def projector(ledger: Ledger, generation: Generation) -> Generator[Projector]:
    events = {TOPIC: Account.event_types}
    with closing(ledger.log(events, None)) as log:
        made = Projector(Balances(), generation, postgres=ledger.postgres, log=log)
        with closing(made):
            yield made


def keys(ledger: Ledger) -> list[tuple[str, int]]:
    return [(TOPIC, partition) for partition in range(ledger.partitions)]


def open_accounts(ledger: Ledger, count: int) -> list[str]:
    names = [f"account-{number}" for number in range(count)]
    for name in names:
        ledger.append(name, AccountOpened(owner=f"owner of {name}"))
    ledger.flush()
    return names


def found(ledger: Ledger, query: str) -> list[tuple[object, ...]]:
    with address.connect(ledger.postgres) as db:
        return db.execute(query.encode()).fetchall()


def step_until_applied(made: Projector, records: int) -> None:
    deadline = time.monotonic() + 60
    while sum(where.next_offset for where in made.held.values()) < records:
        made.step()
        assert time.monotonic() < deadline


def test_a_former_owner_that_wakes_late_moves_nothing(ledger: Ledger) -> None:
    generation = ledger.read_model(Balances()).prepare()
    open_accounts(ledger, 20)
    with projector(ledger, generation) as zombie, projector(ledger, generation) as heir:
        zombie.claim(keys(ledger))
        heir.claim(keys(ledger))
        step_until_applied(heir, 20 + ledger.partitions)
        while zombie.held:
            zombie.step()
        assert set(zombie.fenced) == set(keys(ledger))
        assert all(isinstance(one, ProjectorFenced) for one in zombie.fenced.values())
    assert found(ledger, "SELECT count(*), sum(changes) FROM balances") == [(20, 20)]


def test_a_zombie_frozen_inside_its_transaction_is_ended_by_the_next_claim(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "LOCK_SECONDS", 0.3)
    generation = ledger.read_model(Balances()).prepare()
    open_accounts(ledger, 5)
    inside, go_on = threading.Event(), threading.Event()

    class Frozen(Balances):
        name = "balances"

        def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
            inside.set()
            go_on.wait(120)
            return super().fold(row, recorded)

    with closing(ledger.log({TOPIC: Account.event_types}, None)) as log:
        zombie = Projector(Frozen(), generation, postgres=ledger.postgres, log=log)
        zombie.claim(keys(ledger))

        def run_until_frozen() -> None:
            while not inside.is_set():  # what is read first may be the claim alone
                zombie.step()

        thread = threading.Thread(target=run_until_frozen)
        thread.start()
        assert inside.wait(120)
        with projector(ledger, generation) as heir:
            heir.claim(keys(ledger))
            go_on.set()
            step_until_applied(heir, 5 + ledger.partitions)
        thread.join()
        zombie.close()
    assert found(ledger, "SELECT count(*), sum(changes) FROM balances") == [(5, 5)]


def test_a_lock_that_no_projector_holds_is_not_broken(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "LOCK_SECONDS", 0.2)
    generation = ledger.read_model(Balances()).prepare()
    with projector(ledger, generation) as made, address.connect(ledger.postgres) as stranger:
        stranger.execute("SELECT 1 FROM foldlog.positions FOR UPDATE")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            made.claim(keys(ledger))
        assert stranger.execute("SELECT 1").fetchone() == (1,)


def test_a_lost_connection_loses_and_doubles_nothing(ledger: Ledger) -> None:
    generation = ledger.read_model(Balances()).prepare()
    names = open_accounts(ledger, 30)
    with projector(ledger, generation) as made:
        made.claim(keys(ledger))
        step_until_applied(made, 30 + ledger.partitions)
        found(
            ledger,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name LIKE 'foldlog %'",
        )
        for name in names:
            ledger.append(name, MoneyDeposited(amount=1))
        ledger.flush()
        step_until_applied(made, 60 + ledger.partitions)
        assert not made.fenced
        assert not made.stops
    assert found(ledger, "SELECT sum(balance), sum(changes) FROM balances") == [(30, 60)]


class Picky(RowProjection[AccountEvent, Balance]):
    name = "balances"
    version = 1
    aggregates = (Account,)
    table = balances

    def key(self, recorded: Recorded[AccountEvent]) -> str:
        return recorded.stream

    def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance | Delete:
        if isinstance(recorded.event, MoneyDeposited) and recorded.event.amount == 13:
            raise ValueError("thirteen is bad luck")
        row = row or Balance(recorded.stream, "", 0, 0)
        return DELETE if row.changes > 100 else row._replace(changes=row.changes + 1)


def test_one_bad_event_stops_its_partition_before_its_append_and_no_other(ledger: Ledger) -> None:
    names = open_accounts(ledger, 30)
    bad = names[7]
    ledger.append(bad, MoneyDeposited(amount=1))
    ledger.append(bad, MoneyDeposited(amount=2), MoneyDeposited(amount=13))
    for name in names:
        ledger.append(name, MoneyDeposited(amount=3))
    ledger.flush()
    model = ledger.read_model(Picky())
    with pytest.raises(ProjectionStopped, match="thirteen is bad luck") as caught:
        model.catch_up()

    (stop,) = caught.value.stops
    event = next(one for one in ledger.history() if getattr(one.event, "amount", 0) == 13)
    assert (stop.topic, stop.partition, stop.offset) == (TOPIC, event.partition, event.offset)
    assert stop.event_id == event.id
    assert stop.event_id in str(caught.value)
    lags = {lag.partition: lag for lag in model.lag()}
    assert lags[event.partition].position == event.offset - 1  # its append has two events
    assert all(lag.records == 0 for lag in lags.values() if lag.partition != event.partition)
    assert all(lag.owner is None for lag in lags.values())
    assert found(ledger, f"SELECT changes FROM balances WHERE account = '{bad}'") == [(2,)]

    class Mended(Picky):
        name = "balances"

        def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
            row = row or Balance(recorded.stream, "", 0, 0)
            return row._replace(changes=row.changes + 1)

    ledger.read_model(Mended()).catch_up()
    assert found(ledger, "SELECT sum(changes) FROM balances") == [(30 + 3 + 30,)]


def test_a_follower_goes_on_with_the_other_partitions_and_fails_at_the_end(ledger: Ledger) -> None:
    names = open_accounts(ledger, 12)
    ledger.append(names[0], MoneyDeposited(amount=13))
    ledger.flush()
    model, stop, failures = ledger.read_model(Picky()), threading.Event(), list[Exception]()

    def follow() -> None:
        try:
            model.run(stop)
        except ProjectionStopped as error:
            failures.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    deadline = time.monotonic() + 60
    while sum(lag.records for lag in model.lag()) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stop.set()
    thread.join()
    assert len(failures) == 1


def test_a_row_that_the_table_refuses_names_its_event(ledger: Ledger) -> None:
    open_accounts(ledger, 3)

    class Nameless(Picky):
        name = "balances"

        def fold(self, row: Balance | None, recorded: Recorded[AccountEvent]) -> Balance:
            nobody: str = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            return Balance(recorded.stream, nobody, 0, 0)

    with pytest.raises(ProjectionStopped, match="null value") as caught:
        ledger.read_model(Nameless()).catch_up()
    assert {stop.event_id for stop in caught.value.stops} <= {one.id for one in ledger.history()}


@pytest.mark.parametrize(
    "statement", ["COMMIT", " rollback", "BEGIN", "end;", "START TRANSACTION", "abort"]
)
def test_a_projection_cannot_end_the_transaction_by_sql(ledger: Ledger, statement: str) -> None:
    class Ending(Owners):
        name = "owners"

        def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
            super().project(db, recorded)
            db.exec_driver_sql(statement)

    refuses(ledger, Ending())


@pytest.mark.parametrize("method", ["commit", "rollback", "close"])
def test_a_projection_cannot_end_the_transaction_by_method(ledger: Ledger, method: str) -> None:
    class Ending(Owners):
        name = "owners"

        def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
            super().project(db, recorded)
            getattr(db, method)()

    refuses(ledger, Ending())


def test_a_transaction_replaced_behind_our_back_is_noticed(ledger: Ledger) -> None:
    class Ending(Owners):
        name = "owners"

        def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
            super().project(db, recorded)
            driver: psycopg.Connection[tuple[object, ...]] = db.connection.driver_connection  # type: ignore[assignment]
            driver.rollback()
            db.execute(sa.select(1))

    refuses(ledger, Ending())


def refuses(ledger: Ledger, projection: SqlProjection[AccountOpened]) -> None:
    ledger.append("a", AccountOpened(owner="Ann"))
    ledger.flush()
    with pytest.raises(ProjectionStopped) as caught:
        ledger.read_model(projection).catch_up()
    assert isinstance(caught.value.stops[0].cause, TransactionEnded)
    assert found(ledger, "SELECT count(*) FROM owners") == [(0,)]
    assert {lag.position for lag in ledger.read_model(projection).lag() if lag.records} == {1}


def test_savepoints_are_free_to_use(ledger: Ledger) -> None:
    class Careful(Owners):
        name = "owners"

        def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
            super().project(db, recorded)
            with pytest.raises(IntegrityError), db.begin_nested():
                super().project(db, recorded)

    ledger.append("a", AccountOpened(owner="Ann"))
    ledger.flush()
    ledger.read_model(Careful()).catch_up()
    assert found(ledger, "SELECT * FROM owners") == [("a", "Ann")]


def test_an_error_swallowed_by_a_projection_stops_it(ledger: Ledger) -> None:
    class Swallowing(Owners):
        name = "owners"

        def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
            super().project(db, recorded)
            try:
                db.execute(sa.text("SELECT 1 / 0"))
            except DBAPIError:
                return

    ledger.append("a", AccountOpened(owner="Ann"))
    ledger.flush()
    with pytest.raises(ProjectionStopped):
        ledger.read_model(Swallowing()).catch_up()
    assert found(ledger, "SELECT count(*) FROM owners") == [(0,)]


def test_a_wrong_table_name_fails_instead_of_reaching_what_readers_see(ledger: Ledger) -> None:
    ledger.append("a", AccountOpened(owner="Ann"))
    ledger.flush()
    ledger.read_model(Balances()).catch_up()
    with address.connect(ledger.postgres) as db:
        db.execute("CREATE TABLE public.precious (id text)")
    statements: Sequence[str] = (
        "UPDATE balances SET balance = 1000000",
        "INSERT INTO precious VALUES ('x')",
    )
    for number, statement in enumerate(statements):

        class Straying(SqlProjection[AccountOpened]):
            name = f"owners_{number}"
            version = 1
            aggregates = (Account,)
            tables = (sa.Table(f"owners_{number}", sa.MetaData(), *copies()),)
            wrong = statement

            def project(self, db: sa.Connection, recorded: Recorded[AccountOpened]) -> None:
                db.execute(sa.text(self.wrong))

        with pytest.raises(ProjectionStopped, match="does not exist"):
            ledger.read_model(Straying()).catch_up()
    assert found(ledger, "SELECT balance FROM balances") == [(0,)]
    assert found(ledger, "SELECT count(*) FROM precious") == [(0,)]


def copies() -> list[sa.Column[str]]:
    return [sa.Column(column.name, sa.Text, primary_key=column.primary_key) for column in owners.c]


def test_a_log_that_is_not_the_one_we_followed_is_refused(ledger: Ledger) -> None:
    open_accounts(ledger, 3)
    model = ledger.read_model(Balances())
    model.catch_up()
    with address.connect(ledger.postgres) as db:
        db.execute("UPDATE foldlog.positions SET last_event = 'another:0' WHERE last_offset >= 0")
    open_accounts(ledger, 3)
    with pytest.raises(LogChanged, match="another:0"):
        model.catch_up()


def test_a_position_keeps_the_state_of_the_readers_rule(ledger: Ledger) -> None:
    open_accounts(ledger, 3)
    ledger.read_model(Balances()).catch_up()
    stored = found(
        ledger, "SELECT epoch, octet_length(writer), next_sequence FROM foldlog.positions"
    )
    assert {row[:2] for row in stored} <= {(0, 8), (1, 8)}
    assert sum(int(str(row[2])) - 1 for row in stored) == 3


@pytest.mark.parametrize("outcome", ["committed", "rolled back"])
def test_a_commit_of_unknown_outcome_is_read_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    generation = ledger.read_model(Balances()).prepare()
    open_accounts(ledger, 20)
    commit: Callable[[Session], None] = vars(Session)["_commit"]
    lost = list[str]()

    def losing(session: Session) -> None:
        if not lost:
            lost.append(outcome)
            if outcome == "committed":
                commit(session)
            session.raw.close()
            raise psycopg.OperationalError("the connection was lost during COMMIT")
        commit(session)

    monkeypatch.setattr(Session, "_commit", losing)
    with projector(ledger, generation) as made:
        made.claim(keys(ledger))
        step_until_applied(made, 20 + ledger.partitions)
        assert not made.stops
    assert lost
    assert found(ledger, "SELECT count(*), sum(changes) FROM balances") == [(20, 20)]


def test_rows_that_several_partitions_share_are_right_when_projectors_work_at_once(
    ledger: Ledger,
) -> None:
    model = ledger.read_model(HeldByDigit())
    generation = model.prepare()
    for number in range(900):
        ledger.append(f"{number}", MoneyDeposited(amount=5), MoneyWithdrawn(amount=5))
        ledger.append(f"{number}", MoneyDeposited(amount=number % 7 + 1))
    ledger.flush()

    def work(partition: int) -> None:
        with closing(ledger.log({TOPIC: Account.event_types}, None)) as log:
            made = Projector(HeldByDigit(), generation, postgres=ledger.postgres, log=log)
            with closing(made):
                made.claim([(TOPIC, partition)])
                while made.behind({(TOPIC, partition): sys.maxsize}):
                    made.step()
                assert not made.stops

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wanted = sorted(tuple(row) for row in folded(HeldByDigit(), ledger.history()).values())
    assert found(ledger, "SELECT * FROM held ORDER BY digit") == wanted


def test_a_position_that_somebody_else_moved_is_not_moved_again(ledger: Ledger) -> None:
    generation = ledger.read_model(Balances()).prepare()
    key = keys(ledger)[0]
    with closing(address.connect(ledger.postgres)) as db:
        held = positions.claim(db, generation, key, "me")
        batch = PartitionBatch(*key, [], LogPosition(9, 1, bytes(8), 1), None)
        stale = replace(held, position=LogPosition(5, 1, bytes(8), 1))
        assert positions.move(db, generation, stale, batch) is None
        assert positions.move(db, generation, held, batch) is not None


def test_catching_up_on_a_log_that_ends_before_a_position_says_so(ledger: Ledger) -> None:
    model = ledger.read_model(Balances())
    open_accounts(ledger, 5)
    model.catch_up()
    with closing(address.connect(ledger.postgres)) as db:
        db.execute("UPDATE foldlog.positions SET next_offset = next_offset + 100")
        db.commit()
    with pytest.raises(OffsetGone, match="an end at"):
        model.catch_up()
