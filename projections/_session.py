"""A projector's connection: one transaction at a time, and a commit that is known to be one.

psycopg and SQLAlchemy share the connection, so that a user's SQL runs inside the transaction
that moves the position. psycopg returns quietly from a commit that the server turned into a
rollback; here the state before and the tag after are looked at.
"""

import re
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from eventstore._failpoints import reached
from eventstore.postgres import address
from projections import defaults
from projections.errors import TransactionEnded
from projections.positions import APPLICATION

_ENDING: Final = re.compile(
    r"\s*(begin|start\s+transaction|commit|end|rollback(?!\s+(work\s+|transaction\s+)?to\b)|abort"
    r"|prepare\s+transaction)\b",
    re.IGNORECASE,
)
_SAVEPOINT: Final = "foldlog_batch"
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
_HAS_TRANSACTION_TIMEOUT: Final = 170_000


class CommitTurnedIntoRollback(psycopg.OperationalError):
    """The server answered COMMIT with ROLLBACK: an error before it had been swallowed."""

    sqlstate = "25P02"


class Session:
    """One connection for one projector, opened again when it is lost."""

    def __init__(self, postgres: str, owner: str) -> None:
        self._engine = address.engine(postgres, pooled=False)
        self._owner = owner
        self._ending = False
        self._opened = 0
        self._open()

    def _open(self) -> None:
        self.db: sa.Connection = self._engine.connect()
        """For the user's SQL."""
        driver: Any = self.db.connection.driver_connection
        self.raw: psycopg.Connection[TupleRow] = driver
        """For ours."""
        self._opened += 1
        self._guard()
        milliseconds = str(defaults.TRANSACTION_SECONDS * 1000)
        settings = {
            "application_name": APPLICATION + self._owner,
            "synchronous_commit": "off",
            "idle_in_transaction_session_timeout": milliseconds,
        }
        if self.raw.info.server_version >= _HAS_TRANSACTION_TIMEOUT:
            settings["transaction_timeout"] = milliseconds
        for name, value in settings.items():
            self.raw.execute("SELECT set_config(%s, %s, false)", (name, value))
        self.raw.commit()

    def _guard(self) -> None:
        """Refuse what would end the transaction from inside `project`."""

        def ends(_: sa.Connection) -> None:
            if not self._ending:
                raise TransactionEnded("a commit or rollback of its connection")

        def executes(*call: Any) -> None:
            if _ENDING.match(call[2]):
                raise TransactionEnded(repr(call[2][:40]))

        event.listen(self.db, "commit", ends)
        event.listen(self.db, "rollback", ends)
        event.listen(self.db, "before_cursor_execute", executes)

    @property
    def opened(self) -> int:
        """How many times a connection was opened: caches of it are stale when it changes."""
        return self._opened

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing: committed, and known to be, when the block ends without an error.

        Raises:
            psycopg.Error: The commit failed, or its outcome is not known: read what it was to
                change, locked.
            TransactionEnded: The block ended the transaction itself.
        """
        outer = self.db.begin()
        try:
            yield
            reached("before_commit")
            self._commit()
        except BaseException:
            self._roll_back(outer)
            raise
        self._ending = True
        outer.commit()  # tells SQLAlchemy too; nothing is left to do
        self._ending = False

    def _roll_back(self, outer: sa.Transaction) -> None:
        """Roll back; a connection that is not as it was is closed, to be opened again."""
        self._ending = True
        with suppress(psycopg.Error):
            self.raw.rollback()
        lost = self.raw.closed or self.db.closed or self.db.invalidated
        if outer.is_active and not lost:
            outer.rollback()
        else:
            self.raw.close()
        self._ending = False

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """All or nothing within the transaction."""
        self.raw.execute(b"SAVEPOINT foldlog_event")
        try:
            yield
        except Exception:
            with suppress(psycopg.Error):  # the error at hand says more
                self.raw.execute(b"ROLLBACK TO SAVEPOINT foldlog_event")
            raise
        self.raw.execute(b"RELEASE SAVEPOINT foldlog_event")

    def hold(self) -> None:
        """Mark the transaction, so that its commit fails if it was replaced on the way."""
        self.raw.execute(f"SAVEPOINT {_SAVEPOINT}".encode())

    def release(self) -> None:
        """Check the mark that `hold` made.

        Raises:
            TransactionEnded: The transaction is another one.
        """
        try:
            self.raw.execute(f"RELEASE SAVEPOINT {_SAVEPOINT}".encode())
        except (
            psycopg.errors.InvalidSavepointSpecification,
            psycopg.errors.NoActiveSqlTransaction,
        ):
            raise TransactionEnded("another transaction at its end") from None

    def _commit(self) -> None:
        status = self.raw.info.transaction_status
        if status is not TransactionStatus.INTRANS:
            raise CommitTurnedIntoRollback(
                f"expected a transaction to commit; found {status.name}: an error was swallowed"
            )
        tag = self.raw.execute("COMMIT", prepare=False).statusmessage
        if tag != "COMMIT":
            raise CommitTurnedIntoRollback(f"expected COMMIT; the server answered {tag}")

    def revive(self) -> None:
        """Open the connection again if it is lost, for up to `RECONNECT_SECONDS`."""
        deadline = time.monotonic() + defaults.RECONNECT_SECONDS
        for attempt in range(1_000):
            if not self.raw.closed:
                return
            try:
                self.close()
                self._open()
            except (psycopg.Error, SQLAlchemyError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])

    def close(self) -> None:
        """Close the connection; what was not committed is rolled back by the server."""
        self._ending = True
        try:
            self.raw.close()
            if not self.db.closed:
                self.db.invalidate()
                self.db.close()
        finally:
            self._ending = False


def is_passing(error: BaseException | None) -> bool:
    """Whether trying again may help: a deadlock, a timeout, a lost or ended connection."""
    if isinstance(error, DBAPIError):
        error = error.orig
    if not isinstance(error, psycopg.Error) or isinstance(error, CommitTurnedIntoRollback):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state[:2] in {"08", "40", "53", "57"} or state in {"55P03", "25P03", "25P04"}
