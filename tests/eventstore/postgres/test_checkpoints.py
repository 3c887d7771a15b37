"""Append ids are kept for a stated period, and then deleted, a few at a time."""

import queue
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import Connection, DataError
from psycopg.rows import TupleRow

from eventstore.kafka.checkpointer import Checkpointer, Stored
from eventstore.log import LOG_START, LogPosition
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Applied, Checkpoint, LookUp, PartitionKey, Tip
from eventstore.store import INT64

KEY = PartitionKey("accounts", "an-id", 0)
SECONDS = 60.0

OFFSETS = st.integers(-1, INT64 - 1)
IN_ARRAYS = st.sampled_from('",{}\\NULnul\n\t ')
"""What means something in PostgreSQL's notation of arrays."""
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
STREAMS = st.text(IN_ARRAYS | CHARACTERS, min_size=1, max_size=60)
TIPS = st.tuples(OFFSETS, st.binary(min_size=16, max_size=16), OFFSETS, OFFSETS)
APPLIED = st.tuples(
    STREAMS,
    OFFSETS,
    st.integers(1, 10_000),
    OFFSETS,
    st.none() | st.lists(OFFSETS, min_size=1, max_size=5).map(tuple),
)


@pytest.fixture
def db(postgres: str) -> Iterator[Connection[TupleRow]]:
    with closing(address.connect(postgres, autocommit=True)) as connection:
        yield connection


def remember(db: Connection[TupleRow], days: float, ids: range) -> None:
    """Append ids that were stored so many days ago."""
    db.execute(
        "INSERT INTO foldlog.appends"
        " (topic, partition, append_id, stream, version, count, last_offset, at)"
        " SELECT 'accounts', 0, lpad(n::text, 32, '0')::uuid, 'alice', n, 1, n,"
        " now() - make_interval(secs => %s) FROM generate_series(%s::int, %s::int) AS n",
        (days * 86_400, ids.start, ids.stop - 1),
    )


def remembered(db: Connection[TupleRow]) -> list[int]:
    rows = db.execute("SELECT version FROM foldlog.appends ORDER BY version").fetchall()
    return [version for (version,) in rows]


def checkpoint(expected: int) -> Checkpoint:
    position = LogPosition(expected + 1, 1, b"writer-1", expected + 1)
    return Checkpoint(KEY, 1, expected, position, {}, {})


@pytest.fixture
def stored(postgres: str, db: Connection[TupleRow]) -> Iterator[Any]:
    """Stores checkpoints one after the other; gives what became of each."""
    checkpoints.create(db, KEY)
    told: queue.SimpleQueue[Stored] = queue.SimpleQueue()
    stores = Checkpointer(postgres, lambda _, how: told.put(how))

    def store(expected: int) -> Stored:
        stores.store(checkpoint(expected))
        return told.get(timeout=SECONDS)

    yield store
    stores.close(SECONDS)


def test_append_ids_are_deleted_after_seven_days_the_oldest_first_and_a_few_at_a_time(
    db: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "FORGOTTEN_AT_ONCE", 3)
    remember(db, 6.99, range(1, 3))
    remember(db, 7.01, range(3, 5))
    remember(db, 30, range(5, 8))
    assert checkpoints.forget_old_appends(db)
    assert remembered(db) == [1, 2, 3, 4]
    assert not checkpoints.forget_old_appends(db)
    assert remembered(db) == [1, 2]


def test_two_that_delete_at_once_do_not_wait_for_each_other(
    postgres: str, db: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "FORGOTTEN_AT_ONCE", 3)
    remember(db, 8, range(1, 6))
    with closing(address.connect(postgres)) as other:
        assert checkpoints.forget_old_appends(other)
        assert not checkpoints.forget_old_appends(db)
        assert remembered(db) == [1, 2, 3]  # as long as the other's are not committed
        other.commit()
    assert remembered(db) == []


def test_they_are_found_by_their_age_without_reading_all(db: Connection[TupleRow]) -> None:
    remember(db, 1, range(1, 5_001))
    db.execute("ANALYZE foldlog.appends")
    statement: Any = checkpoints
    plan = db.execute(b"EXPLAIN " + statement._FORGET.encode(), (7, 10)).fetchall()
    assert any("appends_at" in line for (line,) in plan)


def test_each_checkpoint_is_followed_by_a_deletion_until_nothing_is_left(
    stored: Any, db: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "FORGOTTEN_AT_ONCE", 3)
    remember(db, 8, range(1, 8))
    assert [stored(expected) for expected in range(4)] == [Stored.COMMITTED] * 4
    assert remembered(db) == []


def test_a_deletion_that_fails_is_warned_of_and_costs_no_checkpoint(
    stored: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Connection[TupleRow]) -> bool:
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "forget_old_appends", fail)
    assert [stored(expected) for expected in range(2)] == [Stored.COMMITTED] * 2
    assert "too old were not deleted" in caplog.text


def test_a_checkpoint_of_any_size_is_stored_whole(
    db: Connection[TupleRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "ROWS_AT_ONCE", 3)
    checkpoints.create(db, KEY)
    heads = {f"account-{n}": (1, UUID(int=n).bytes, n, n) for n in range(7)}
    appends = {UUID(int=n).bytes: (f"account-{n}", 1, 1, n, None) for n in range(6)}
    position = LogPosition(8, 1, b"writer-1", 8)
    with db.transaction():
        assert checkpoints.store(db, Checkpoint(KEY, 1, 0, position, heads, appends))
    asked = [LookUp("accounts", 0, f"account-{n}", UUID(int=n).bytes) for n in range(7)]
    found = [each for each in checkpoints.look_up(db, asked) if each is not None]
    assert [each.tip for each in found] == [Tip(*each) for each in heads.values()]
    assert [each.applied for each in found] == [
        *(Applied(*each) for each in appends.values()),
        None,
    ]


@given(
    st.lists(st.tuples(STREAMS, TIPS, APPLIED), min_size=1, max_size=9, unique_by=lambda it: it[0])
)
@example([('{"', (1, bytes(16), 2, 3), ("NULL", 1, 1, 3, (3,)))])
@example([("\\", (1, bytes(16), 2, 3), ('\\"', 1, 1, 3, (2, 3)))])
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_a_checkpoint_stores_is_what_is_found(
    db: Connection[TupleRow], rows: list[tuple[str, Any, Any]]
) -> None:
    ids = [UUID(int=n).bytes for n in range(len(rows))]
    heads = {stream: tip for stream, tip, _ in rows}
    appends = {append: applied for append, (_, _, applied) in zip(ids, rows, strict=True)}
    with db.transaction(force_rollback=True):
        checkpoints.create(db, KEY)
        position = LogPosition(1, 1, b"writer-1", 1)
        assert checkpoints.store(db, Checkpoint(KEY, 1, 0, position, heads, appends))
        asked = [LookUp("accounts", 0, *each) for each in zip(heads, ids, strict=True)]
        found = [each for each in checkpoints.look_up(db, asked) if each is not None]
        few = checkpoints.few_heads(db, KEY, position, most=len(heads))
    assert few == heads
    assert [each.tip for each in found] == [Tip(*tip) for tip in heads.values()]
    assert [each.applied for each in found] == [Applied(*each) for each in appends.values()]


def test_heads_are_loaded_only_where_all_of_them_are_few_and_of_the_checkpoint_that_was_read(
    db: Connection[TupleRow],
) -> None:
    other = replace(KEY, partition=1)
    heads = {stream: (1, bytes(16), offset, offset) for offset, stream in enumerate("abc")}
    first, moved = LogPosition(3, 1, b"writer-1", 4), LogPosition(5, 2, b"writer-2", 1)
    for key in (KEY, other):
        checkpoints.create(db, key)
        assert checkpoints.few_heads(db, key, LOG_START, most=9) is None
    assert checkpoints.store(db, Checkpoint(KEY, 1, 0, first, heads, {}))
    assert checkpoints.few_heads(db, KEY, first, most=3) == heads
    assert checkpoints.few_heads(db, KEY, first, most=2) is None
    assert checkpoints.few_heads(db, other, LOG_START, most=9) is None
    assert checkpoints.store(db, Checkpoint(KEY, 2, 3, moved, {"d": (1, bytes(16), 4, 4)}, {}))
    assert checkpoints.few_heads(db, KEY, first, most=9) is None
    assert checkpoints.few_heads(db, KEY, moved._replace(epoch=1), most=9) is None
    found = checkpoints.few_heads(db, KEY, moved, most=4)
    assert found is not None
    assert [*found] == ["a", "b", "c", "d"]


def test_a_name_that_postgresql_refuses_is_never_taken_for_two(db: Connection[TupleRow]) -> None:
    checkpoints.create(db, KEY)
    heads = {"ali\0ce": (1, bytes(16), 0, 0)}
    position = LogPosition(1, 1, b"writer-1", 1)
    with pytest.raises(DataError, match="U\\+0000"), db.transaction():
        checkpoints.store(db, Checkpoint(KEY, 1, 0, position, heads, {}))
    assert checkpoints.read(db, KEY, locked=False).next_offset == 0
