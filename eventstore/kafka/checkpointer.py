"""Stores checkpoints on a thread and a connection of its own, so that no append waits for one."""

import enum
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Checkpoint

FORGET_EVERY_SECONDS: Final = 3600.0
"""Seconds between two deletions of append ids that are older than the stated period."""


class Stored(enum.Enum):
    """What became of a checkpoint."""

    COMMITTED = "committed"
    FAILED = "failed"
    """It is not stored, and the row is where it was: try again later."""
    FENCED = "fenced"
    """The row is another writer's, or was moved back: this session must end."""


Report = Callable[[Checkpoint, Stored], None]


class Checkpointer:
    """Takes checkpoints one by one, and reports on its thread what became of each."""

    def __init__(self, postgres: str, report: Report) -> None:
        self._postgres = postgres
        self._report = report
        self._queue: queue.SimpleQueue[Checkpoint | None] = queue.SimpleQueue()
        self._connection: Connection[TupleRow] | None = None
        self._forgotten_at = 0.0
        self._thread = threading.Thread(target=self._run, name="foldlog checkpoints", daemon=True)
        self._thread.start()

    def store(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint soon; at most one of a partition may be on its way."""
        self._queue.put(checkpoint)

    def close(self) -> None:
        """Store what was given, then end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (checkpoint := self._queue.get()) is not None:
            self._report(checkpoint, self._stored(checkpoint))
        if self._connection is not None:
            self._connection.close()

    def _stored(self, checkpoint: Checkpoint) -> Stored:
        try:
            return self._write(checkpoint)
        except psycopg.Error:
            return self._resolve(checkpoint)

    def _write(self, checkpoint: Checkpoint) -> Stored:
        connection = self._opened()
        with connection.transaction():
            if not checkpoints.write(connection, checkpoint):
                return Stored.FENCED  # nothing was written
            self._forget(connection)
        return Stored.COMMITTED

    def _resolve(self, checkpoint: Checkpoint) -> Stored:
        """The outcome is unknown: the row, read locked, says it."""
        self._connection = None
        try:
            connection = self._opened()
            with connection.transaction():
                position = checkpoints.read(connection, checkpoint.key, locked=True)
        except psycopg.Error:
            return Stored.FAILED
        if position == checkpoint.position:
            return Stored.COMMITTED
        return Stored.FAILED if position.next_offset == checkpoint.expected else Stored.FENCED

    def _opened(self) -> Connection[TupleRow]:
        if self._connection is None or self._connection.broken:
            self._connection = address.connect(self._postgres)
        return self._connection

    def _forget(self, connection: Connection[TupleRow]) -> None:
        if time.monotonic() - self._forgotten_at > FORGET_EVERY_SECONDS:
            checkpoints.forget_old_appends(connection)
            self._forgotten_at = time.monotonic()
