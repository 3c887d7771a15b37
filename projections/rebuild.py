"""Rebuild: replay the log into the next generation while the live one serves, then switch.

Primary keys exist from the start; the other indexes are built once, after the bulk.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from projections import generations, positions, views
from projections._catching_up import to_ends
from projections._setting import Setting, raise_lost
from projections.errors import UnfinishedRebuild
from projections.generations import Generation
from projections.log import TopicPartition
from projections.progress import Listener
from projections.projector import Projector
from projections.switch import switch


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    projection: str
    generation: int
    """The number of the generation that is live now."""
    records: int
    """Records of the log that were passed, dead and skipped ones included."""
    seconds: float
    """Seconds for all of it."""
    switch_milliseconds: float
    """Milliseconds that the switch held the old generation's positions; readers never waited
    longer for a view."""


def rebuild(
    setting: Setting, listener: Listener | None, *, discard: bool, drop_old: bool
) -> Rebuilt:
    """Replay into the next generation, then switch; see `ReadModel.rebuild`."""
    started = time.monotonic()
    with setting.connect() as db:
        old, new = _begin(db, setting, discard=discard)
        try:
            with setting.projector(new) as (projector, log):
                projector.claim(setting.keys)
                records = to_ends(projector, setting.ends(log), listener)
                raise_lost(projector)
                _finish_tables(db, setting, new)
                records += to_ends(projector, setting.ends(log))
                raise_lost(projector)
                held = _switch(db, setting, projector, new)
        except BaseException:
            _give_up(db, new)
            raise
        if old is not None and drop_old:
            generations.drop(db, old)
            db.commit()
    seconds = time.monotonic() - started
    return Rebuilt(setting.projection.name, new.number, records, seconds, held * 1000)


def _begin(
    db: Connection[TupleRow], setting: Setting, *, discard: bool
) -> tuple[Generation | None, Generation]:
    """Make the next generation, unless one is being built; the live one, and the new one."""
    projection = setting.projection
    generations.lock(db, projection.name)
    left = generations.building(db, projection.name)
    if left is not None:
        is_fed = any(one.is_owned for one in positions.read(db, left).values())
        if is_fed or not discard:
            raise UnfinishedRebuild(projection.name, left.number)
        generations.drop(db, left)
    old = generations.live(db, projection.name)
    new = generations.create(db, projection, setting.partitions, state="building")
    if old is not None:
        views.check_replaceable(db, projection, old, new)
    db.commit()
    return old, new


def _finish_tables(db: Connection[TupleRow], setting: Setting, new: Generation) -> None:
    """Build the other indexes, and let the planner know the tables."""
    generations.build_indexes(db, setting.projection, new)
    for table in setting.projection.declared_tables():
        db.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(new.schema, table.name)))
    db.commit()


def _switch(
    db: Connection[TupleRow], setting: Setting, projector: Projector, new: Generation
) -> float:
    def reach(targets: Mapping[TopicPartition, int], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        to_ends(projector, targets, until=lambda: time.monotonic() > deadline)

    return switch(
        db,
        setting.projection,
        new,
        reach=reach,
        check_topics=setting.check_topics,
        read_schema=setting.read_schema,
    )


def _give_up(db: Connection[TupleRow], new: Generation) -> None:
    """Drop what was built, unless it is live already."""
    db.rollback()
    generations.lock(db, new.projection)
    left = generations.building(db, new.projection)
    if left is not None and left.number == new.number:
        generations.drop(db, left)
    db.commit()
