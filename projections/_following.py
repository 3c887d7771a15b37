"""Following: one process that feeds all partitions of a projection until it is told to stop."""

import logging
import threading
import time
from typing import Final

from projections import defaults, generations
from projections._setting import Setting, raise_lost
from projections.generations import Generation
from projections.projector import Projector

LOGGER: Final = logging.getLogger("projections")


def follow(setting: Setting, stop: threading.Event) -> None:
    """Take all partitions and follow the log until ``stop`` is set; end at a batch's end.

    When a rebuild switches to a generation of this same code, that one is fed from then on.

    Raises:
        ProjectionStopped: Some events could not be applied. Raised when ``stop`` is set, or at
            once when no partition is left; until then the others go on.
        ProjectorFenced: Another projector took a partition. Raised likewise.
    """
    generation: Generation | None = setting.prepare()
    while generation is not None:
        with setting.projector(generation) as (projector, _):
            projector.claim(setting.keys)
            generation = _feed(setting, projector, stop)
            if generation is None:
                raise_lost(projector)


def _feed(setting: Setting, projector: Projector, stop: threading.Event) -> Generation | None:
    """Feed a generation until the end (None), or until another one is to be fed (that one)."""
    looked = time.monotonic()
    while not stop.is_set() and projector.held:
        projector.step()
        if time.monotonic() - looked > defaults.HEARTBEAT_SECONDS:
            looked = time.monotonic()
            next_one = _next(setting, projector.generation)
            if next_one is not None:
                LOGGER.info("%s is live; going on with it", next_one.schema)
                return next_one
    return None


def _next(setting: Setting, fed: Generation) -> Generation | None:
    """The live generation, if it is another one than is fed, and made by this code."""
    with setting.connect() as db:
        live = generations.live(db, fed.projection)
    if live is None or live.number == fed.number or live.fingerprint != fed.fingerprint:
        return None
    return live
