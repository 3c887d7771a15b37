"""Appliers: how a batch of events gets into the tables, for each kind of projection."""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from eventstore.events import Event
from eventstore.store import Recorded
from projections import generations
from projections._session import Session
from projections.folding import fold_into, keys_of
from projections.generations import Generation
from projections.projection import AnyProjection, RowProjection, SqlProjection
from projections.rows import RowTable


class Applier(Protocol):
    """Applies events inside the transaction of a session."""

    def apply(self, batch: Sequence[Recorded[Event]]) -> None:
        """Apply events in order; what it raises leaves the transaction to be rolled back."""
        ...


class RowApplier:
    """Loads the batch's rows, folds in memory, writes back what changed."""

    def __init__(
        self, session: Session, projection: RowProjection[Any, Any], generation: Generation
    ) -> None:
        self._projection = projection
        self._table = RowTable(session.raw, projection, generation.schema)

    def apply(self, batch: Sequence[Recorded[Event]]) -> None:
        """Apply events in order."""
        keys = keys_of(self._projection, batch)
        wanted = list(dict.fromkeys(key for key in keys if key is not None))
        if not wanted:
            return
        if not self._projection.key_is_stream:
            self._table.lock(wanted)
        before = self._table.load(wanted)
        rows = dict(before)
        fold_into(self._projection, rows, batch, keys)
        self._write(before, rows)

    def _write(self, before: dict[Hashable, Any], after: dict[Hashable, Any]) -> None:
        changed: dict[Hashable, Any] = {}
        gone: list[Hashable] = []
        for key, row in after.items():
            if row is None:
                if key in before:
                    gone.append(key)
            elif row is not before.get(key):
                changed[key] = row
        self._table.write(changed, gone)


class SqlApplier:
    """Calls `project` for each event, with the generation's tables alone in sight."""

    def __init__(
        self, session: Session, projection: SqlProjection[Any], generation: Generation
    ) -> None:
        self._session, self._projection, self._generation = session, projection, generation

    def apply(self, batch: Sequence[Recorded[Event]]) -> None:
        """Apply events in order."""
        session, project = self._session, self._projection.project
        generations.search_in(
            session.raw, self._generation.schema, self._projection.extension_schemas
        )
        session.hold()
        for recorded in batch:
            project(session.db, recorded)
        session.release()


def applier(session: Session, projection: AnyProjection, generation: Generation) -> Applier:
    """The applier of a projection, for the session's present connection."""
    if isinstance(projection, RowProjection):
        return RowApplier(session, projection, generation)
    return SqlApplier(session, projection, generation)
