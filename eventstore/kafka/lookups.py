"""Looks up heads and append ids in PostgreSQL, on a thread of its own: no append waits for others'.

One batch at a time is on its way, in one statement; what comes meanwhile is in the next.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.kafka._trouble import Trouble
from eventstore.postgres import address, checkpoints
from eventstore.postgres.checkpoints import Found, LookUp

PAUSE_SECONDS: Final = 0.5
"""Seconds to wait after PostgreSQL has failed, before it is asked again."""

Answers: TypeAlias = Mapping[LookUp, Found | None]
Answered: TypeAlias = Callable[[Answers, str | None], None]
"""Called with the answers; with none and the reason when PostgreSQL failed."""


class LookUps:
    """Takes batches of look-ups, and reports on its thread what was found."""

    def __init__(self, postgres: str, answered: Answered) -> None:
        self._postgres = postgres
        self._answered = answered
        self._queue: queue.SimpleQueue[Sequence[LookUp] | None] = queue.SimpleQueue()
        self._connection: Connection[TupleRow] | None = None
        self._trouble = Trouble()
        self._thread = threading.Thread(target=self._run, name="foldlog look-ups", daemon=True)
        self._thread.start()

    def ask(self, wanted: Sequence[LookUp]) -> None:
        """Look these up soon; ask again only when they were answered."""
        self._queue.put(wanted)

    def close(self, seconds: float) -> None:
        """End, after at most ``seconds``: a server that is silent is left alone."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (wanted := self._queue.get()) is not None:
            try:
                found = self._look_up(wanted)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
                self._trouble.warn("heads and append ids could not be looked up", error)
                self._disconnect()
                time.sleep(PAUSE_SECONDS)
                self._answered({}, _explained(error))
            else:
                self._answered(found, None)
        self._disconnect()

    def _look_up(self, wanted: Sequence[LookUp]) -> Answers:
        if self._connection is None:
            self._connection = address.connect(self._postgres, autocommit=True)
        return dict(zip(wanted, checkpoints.look_up(self._connection, wanted), strict=True))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _explained(error: Exception) -> str:
    if isinstance(error, psycopg.Error):
        return f"PostgreSQL: {error}"
    return f"the look-up failed: {type(error).__name__}: {error}"
