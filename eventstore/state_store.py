"""Keeps states in PostgreSQL beside the appends: written on a thread of its own, never awaited.

A state is a cache of a fold, so nothing here ever fails a load or an append: what cannot be read
is folded from the log, and what cannot be written is written another time.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from eventstore.defaults import STATES_SECONDS, STATES_WAITING
from eventstore.errors import ConfigurationError, UnstorableState
from eventstore.postgres import address, states
from eventstore.state_port import Dump, State, StateKey

T = TypeVar("T")

LOGGER: Final = logging.getLogger("eventstore.states")

STATES_AT_ONCE: Final = 1_000
"""States written in one statement, at most."""
STATEMENT_SECONDS: Final = 3.0
"""Seconds that a statement may take: a load does not wait longer for what it can do without."""
PAUSE_SECONDS: Final = 5.0
"""Seconds in which PostgreSQL is not asked for states again after it has failed."""
CLOSE_SECONDS: Final = 5.0
"""Seconds to wait at closing for the last states to be stored."""


class StateStore:
    """`States` in one database; safe to use from many threads.

    Use as a context manager, or call `close`: that stores what waits.
    """

    def __init__(self, postgres: str) -> None:
        self._reading = _Asked(postgres)
        self._writing = _Asked(postgres)
        self._waiting: dict[StateKey, Dump] = {}
        self._lock = threading.Lock()
        self._refused: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="foldlog states", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Store what waits, and end; after some seconds it is left, as any state may be."""
        self._closing.set()
        self._thread.join(CLOSE_SECONDS)
        self._reading.close()

    def read(self, key: StateKey) -> State | None:
        """The stored state; None: there is none, or PostgreSQL does not answer."""
        return self._reading.ask(lambda connection: states.read(connection, key))

    def offer(self, key: StateKey, dump: Dump) -> None:
        """Store a state soon, in place of one that waits; never blocks."""
        with self._lock:
            if key in self._waiting or len(self._waiting) < STATES_WAITING:
                self._waiting[key] = dump

    def discard(self, key: StateKey, version: int) -> None:
        """Delete a state that the log does not bear out."""
        self._reading.ask(lambda connection: states.discard(connection, key, version))

    def _run(self) -> None:
        while not self._closing.wait(STATES_SECONDS):
            self._store()
        self._store()
        self._writing.close()

    def _store(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        items = list(waiting.items())
        for first in range(0, len(items), STATES_AT_ONCE):
            dumped = self._dumped(items[first : first + STATES_AT_ONCE])
            self._writing.ask(partial(states.write, states=dumped))

    def _dumped(self, items: list[tuple[StateKey, Dump]]) -> dict[StateKey, State]:
        dumped: dict[StateKey, State] = {}
        for key, dump in items:
            try:
                dumped[key] = dump()
            except UnstorableState as error:
                self._refuse(key, error)
            except Exception:
                LOGGER.exception("the state of %r in topic %r was not stored", key[1], key.topic)
        return dumped

    def _refuse(self, key: StateKey, error: UnstorableState) -> None:
        if key.topic not in self._refused:  # once is enough: it will be so for others too
            self._refused.add(key.topic)
            LOGGER.warning("%s; the first was %r", error, key.stream)


class _Asked:
    """One connection, opened when it is first asked; after a failure it is left alone a while."""

    def __init__(self, postgres: str) -> None:
        self._postgres = postgres
        self._connection: Connection[TupleRow] | None = None
        self._lock = threading.Lock()
        self._asked_again_at = 0.0

    def ask(self, question: Callable[[Connection[TupleRow]], T]) -> T | None:
        """The answer; None if PostgreSQL fails, which is logged."""
        with self._lock:
            if time.monotonic() < self._asked_again_at:
                return None
            try:
                return question(self._opened())
            except (psycopg.Error, ConfigurationError) as error:
                self._asked_again_at = time.monotonic() + PAUSE_SECONDS
                why = str(error).partition("\n")[0]  # what follows may quote rows
                LOGGER.warning("PostgreSQL did not answer about states: %s", why)
                self._close()
                return None

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._close()

    def _opened(self) -> Connection[TupleRow]:
        if self._connection is None:
            self._connection = address.connect(self._postgres, autocommit=True)
            milliseconds = str(int(STATEMENT_SECONDS * 1_000))
            self._connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", (milliseconds,)
            )
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
