"""Following: one process that feeds all partitions of a projection until it is told to stop."""

import logging
import threading
import time
from typing import Final

import psycopg

from eventstore.errors import EventStoreError, TopicError
from projections import defaults, generations
from projections._setting import Setting, raise_lost
from projections.errors import ProjectionChanged
from projections.generations import Generation
from projections.projector import Projector

LOGGER: Final = logging.getLogger("projections")


def follow(setting: Setting, stop: threading.Event) -> None:
    """Take all partitions and follow the log until ``stop`` is set; end at a batch's end.

    A live generation of other code is left alone. When a rebuild switches to one of this same
    code, that one is fed from then on.

    Raises:
        ProjectionStopped: Some events could not be applied. Raised when ``stop`` is set, or at
            once when no partition is left; until then the others go on.
        ProjectorFenced: Another projector took a partition. Raised likewise.
        TopicError: A topic was made again under the projector; nothing more is applied.
    """
    generation = _awaited(setting, stop)
    while generation is not None:
        with setting.projector(generation) as (projector, _):
            projector.claim(setting.keys)
            generation = _feed(setting, projector, stop)
            if generation is None:
                raise_lost(projector)


def _awaited(setting: Setting, stop: threading.Event) -> Generation | None:
    """The live generation, once it is one of this code; None: told to stop before."""
    told = False
    while not stop.is_set():
        try:
            return setting.prepare()
        except ProjectionChanged as changed:
            if not told:
                LOGGER.warning("waiting for the rebuild: %s", changed)
            told = True
            stop.wait(defaults.HEARTBEAT_SECONDS)
    return None


def _feed(setting: Setting, projector: Projector, stop: threading.Event) -> Generation | None:
    """Feed a generation until the end (None), or until another one is to be fed (that one)."""
    looked = time.monotonic()
    while not stop.is_set() and projector.held:
        projector.step()
        if time.monotonic() - looked > defaults.HEARTBEAT_SECONDS:
            looked = time.monotonic()
            _check_topics(setting)
            next_one = _next(setting, projector.generation)
            if next_one is not None:
                LOGGER.info("%s is live; going on with it", next_one.schema)
                return next_one
    return None


def _check_topics(setting: Setting) -> None:
    """Stop at a topic that was made again; an outage says nothing about that."""
    try:
        setting.check_topics()
    except TopicError:
        raise
    except (EventStoreError, psycopg.OperationalError) as error:
        LOGGER.warning("%s: topics not checked: %s", setting.projection.name, error)


def _next(setting: Setting, fed: Generation) -> Generation | None:
    """The live generation, if it is another one than is fed, and made by this code."""
    try:
        with setting.connect() as db:
            live = generations.live(db, fed.projection)
    except psycopg.OperationalError as error:
        LOGGER.warning("%s: no look at its generations: %s", fed.projection, error)
        return None  # the projector says so too, and goes on when it is back
    if live is None or live.number == fed.number or live.fingerprint != fed.fingerprint:
        return None
    return live
