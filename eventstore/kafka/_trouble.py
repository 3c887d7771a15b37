"""What a writer says to the log of its process when something is out of order."""

import logging
import time
from typing import Final

from eventstore.postgres.checkpoints import PartitionKey

LOGGER: Final = logging.getLogger("eventstore.kafka.writer")
QUIET_SECONDS: Final = 10.0
"""Seconds in which a trouble that lasts is not told again."""


class Trouble:
    """Warns of what goes wrong again and again, now and then; used by one thread at a time."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def warn(self, what: str, why: object) -> None:
        """Say what goes wrong and why, unless ``what`` was said a moment ago."""
        now = time.monotonic()
        told = self._told.get(what)
        if told is None or now - told >= QUIET_SECONDS:
            self._told[what] = now
            LOGGER.warning("%s: %s", what, brief(why))


def brief(why: object) -> str:
    """The first line: what follows it in PostgreSQL's errors may quote rows."""
    text = str(why).partition("\n")[0]
    return text or type(why).__name__


def named(key: PartitionKey) -> str:
    """A partition as people write it."""
    return f"{key.topic}[{key.partition}]"
