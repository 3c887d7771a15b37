"""Collects what an examination finds, and what it could not look at."""

from types import TracebackType
from typing import NamedTuple

import psycopg

from eventstore.errors import EventStoreError
from eventstore.kafka.doctor.findings import Finding, Unchecked


class Notes:
    """The findings of one examination, as they come."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.unchecked: list[Unchecked] = []

    def trying(self, topic: str, what: str) -> "Trying":
        """In this block, what goes wrong is noted as unchecked, and the examination goes on."""
        return Trying(self, topic, what)

    def not_checked(self, topic: str, what: str, why: object) -> None:
        """Note that this could not be looked at."""
        self.unchecked.append(Unchecked(topic, what, str(why).partition("\n")[0]))


class Trying(NamedTuple):
    """A block whose errors of Kafka and PostgreSQL are noted, not raised."""

    notes: Notes
    topic: str
    what: str

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Note the error, if it is one of these."""
        if isinstance(error, (EventStoreError, psycopg.Error)):
            self.notes.not_checked(self.topic, self.what, error)
            return True
        return False
