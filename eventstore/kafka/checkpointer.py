"""Stores checkpoints on a thread and a connection of its own, so that no append waits for one."""

import enum
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore._failpoints import reached
from eventstore.errors import TopicRecreated
from eventstore.kafka._trouble import Trouble, named
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Checkpoint

LOCK_SECONDS: Final = 3.0
"""Seconds to wait for a checkpoint's row that another holds locked, before trying again."""
FROZEN_SECONDS: Final = 10.0
"""Seconds after which PostgreSQL ends a transaction in which it hears nothing, so that a process
that was paused in the middle of a checkpoint holds nobody up for long. A slow one needs less."""
FORGET_EVERY_SECONDS: Final = 3600.0
"""Seconds between two looks for append ids that are older than the stated period."""


class Stored(enum.Enum):
    """What became of a checkpoint."""

    COMMITTED = "committed"
    FAILED = "failed"
    """It is not known to be stored: the next one stores it again, and finds out."""
    FENCED = "fenced"
    """The row is a later writer's, or was moved back: this session must end."""


Report = Callable[[Checkpoint, Stored], None]


class Checkpointer:
    """Takes checkpoints one by one, and reports on its thread what became of each."""

    def __init__(self, postgres: str, report: Report) -> None:
        self._postgres = postgres
        self._report = report
        self._queue: queue.SimpleQueue[Checkpoint | None] = queue.SimpleQueue()
        self._connection: Connection[TupleRow] | None = None
        self._forget_at = 0.0
        self._trouble = Trouble()
        self._thread = threading.Thread(target=self._run, name="foldlog checkpoints", daemon=True)
        self._thread.start()

    def store(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint soon; at most one of a partition may be on its way."""
        self._queue.put(checkpoint)

    def close(self, seconds: float) -> None:
        """Store what was given, then end, after at most ``seconds``: a silent server is left."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (checkpoint := self._queue.get()) is not None:
            stored = self._stored(checkpoint)
            self._report(checkpoint, stored)
            if stored is Stored.COMMITTED and time.monotonic() >= self._forget_at:
                self._forget()
        self._disconnect()

    def _stored(self, checkpoint: Checkpoint) -> Stored:
        try:
            return self._write(checkpoint)
        except TopicRecreated as error:
            self._trouble.warn(f"a checkpoint of {named(checkpoint.key)} was refused", error)
            return Stored.FENCED
        except Exception as error:  # noqa: BLE001 - a lost commit is met by the next one
            self._trouble.warn(f"a checkpoint of {named(checkpoint.key)} failed", error)
            self._disconnect()
            return Stored.FAILED

    def _write(self, checkpoint: Checkpoint) -> Stored:
        connection = self._opened()
        reached("before_checkpoint")
        with connection.transaction():
            bound_waiting(connection)
            if not checkpoints.store(connection, checkpoint):
                return Stored.FENCED  # nothing was written
            reached("checkpoint_written")
        reached("checkpoint_stored")
        return Stored.COMMITTED

    def _opened(self) -> Connection[TupleRow]:
        if self._connection is None:
            self._connection = address.connect(self._postgres)
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _forget(self) -> None:
        """Delete some append ids that are too old: a few at a time, and never in a checkpoint."""
        self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        try:
            connection = self._opened()
            with connection.transaction():
                bound_waiting(connection)
                if checkpoints.forget_old_appends(connection):
                    self._forget_at = 0.0  # there may be more: after the next checkpoint
        except Exception as error:  # noqa: BLE001 - the next time may go well
            self._trouble.warn("append ids that are too old were not deleted", error)
            self._disconnect()


def bound_waiting(connection: Connection[TupleRow]) -> None:
    """Wait for a lock for `LOCK_SECONDS`, and let others wait for `FROZEN_SECONDS`, at most.

    Until the current transaction ends.
    """
    bounds = [str(int(seconds * 1_000)) for seconds in (LOCK_SECONDS, FROZEN_SECONDS)]
    connection.execute(
        "SELECT set_config('lock_timeout', %s, true),"
        " set_config('idle_in_transaction_session_timeout', %s, true)",
        bounds,
    )
