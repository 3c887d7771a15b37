"""The switch: readers see the next generation from one transaction on.

1. *Lock* the live generation's positions, in order: nobody moves them until the end.
2. *Reach*: wait briefly until the new generation stands where the live one does, everywhere.
3. *Lock* the new generation's positions.
4. *Check* that the topics are the ones we know.
5. *Replace* the views, in name order, and the states of both generations.

Every lock is waited for a shorter time than PostgreSQL's `deadlock_timeout`; whatever fails, all
of it is rolled back and tried again. Readers see the old rows or the new ones, never neither.
"""

import time
from collections.abc import Callable, Mapping

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from eventstore._failpoints import reached
from projections import defaults, generations, positions, views
from projections._session import is_passing
from projections.errors import SwitchFailed
from projections.generations import Generation
from projections.log import TopicPartition
from projections.projection import AnyProjection


class _Behind(Exception):
    """The new generation did not reach the live one in time."""


def switch(
    db: Connection[TupleRow],
    projection: AnyProjection,
    new: Generation,
    *,
    reach: Callable[[Mapping[TopicPartition, int], float], None],
    check_topics: Callable[[], object],
    read_schema: str,
) -> float:
    """Make ``new`` the generation that readers see; returns seconds that it held the live one.

    ``reach`` brings the new generation to the given offsets, or gives up after so many seconds.

    Raises:
        SwitchFailed: It could not be done in `SWITCH_TRIES` tries; nothing has changed.
        ViewError, TopicError: As they say; nothing has changed.
    """
    found = "nothing"
    for attempt in range(defaults.SWITCH_TRIES):
        try:
            return _try(
                db,
                projection,
                new,
                reach=reach,
                check_topics=check_topics,
                read_schema=read_schema,
            )
        except _Behind:
            found = "that it could not reach the live generation's positions in time"
        except psycopg.Error as error:
            if not is_passing(error):
                raise
            found = str(error).strip()
        finally:
            db.rollback()
        time.sleep(min(0.05 * 2**attempt, 2.0))
    raise SwitchFailed(
        projection.name, new.number, found, "end long transactions that read the views, try again"
    )


def _try(
    db: Connection[TupleRow],
    projection: AnyProjection,
    new: Generation,
    *,
    reach: Callable[[Mapping[TopicPartition, int], float], None],
    check_topics: Callable[[], object],
    read_schema: str,
) -> float:
    milliseconds = int(defaults.SWITCH_LOCK_SECONDS * 1000)
    db.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(milliseconds)))
    generations.lock(db, projection.name)
    old = generations.live(db, projection.name)
    started = time.monotonic()
    if old is not None:
        targets = _offsets(db, old, locked=True)
        _reach(db, new, targets, reach)
    _offsets(db, new, locked=True)
    check_topics()
    views.place(db, projection, new, read_schema)
    _set_states(db, old, new)
    reached("before_switch")
    db.commit()
    return time.monotonic() - started


def _offsets(
    db: Connection[TupleRow], generation: Generation, *, locked: bool
) -> dict[TopicPartition, int]:
    stored = positions.read(db, generation, locked=locked)
    return {key: one.position.next_offset for key, one in stored.items()}


def _reach(
    db: Connection[TupleRow],
    new: Generation,
    targets: Mapping[TopicPartition, int],
    reach: Callable[[Mapping[TopicPartition, int], float], None],
) -> None:
    """Wait until the new generation has reached the targets, in the topics that both have."""
    for last in (False, True):
        found = _offsets(db, new, locked=False)
        if all(found.get(key, target) >= target for key, target in targets.items()):
            return
        if not last:
            reach(targets, defaults.SWITCH_WAIT_SECONDS)
    raise _Behind


def _set_states(db: Connection[TupleRow], old: Generation | None, new: Generation) -> None:
    for generation, state in ((old, "retired"), (new, "live")):
        if generation is not None:
            db.execute(
                "UPDATE foldlog.generations SET state = %s"
                " WHERE projection = %s AND generation = %s",
                (state, generation.projection, generation.number),
            )
