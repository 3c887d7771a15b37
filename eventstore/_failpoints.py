"""Named points in the code at which a test can kill, stop or delay its own process.

``FOLDLOG_FAILPOINT`` holds one or more settings ``point:action:when``, separated by commas:

- the action is ``kill`` (SIGKILL to itself), ``stop`` (SIGSTOP to itself, until somebody sends
  SIGCONT) or ``sleep`` (``sleep:SECONDS``, 60 if left out);
- when is a number, the one visit at which it happens (the first if left out), or a probability
  and a seed such as ``0.01@7``, drawn anew at every visit.

``FOLDLOG_FAILPOINT=before_commit:kill:3,after_send:sleep:0.2:0.05@1``. Without the variable a point
costs one call of an empty function.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

VARIABLE: Final = "FOLDLOG_FAILPOINT"

Action = Callable[[], None]
Due = Callable[[], bool]


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    """To this thread, which a signal to the process would let run on for a moment."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _sleep(seconds: float) -> Action:
    return lambda: time.sleep(seconds)


def _action(name: str, rest: list[str]) -> Action:
    """The action, with its own argument taken from what follows its name."""
    match name:
        case "kill":
            return _kill
        case "stop":
            return _stop
        case "sleep":
            return _sleep(float(rest.pop(0)) if rest else 60.0)
        case _:
            raise ValueError(f"expected {VARIABLE} to say kill, stop or sleep; found {name!r}")


def _due(when: str) -> Due:
    chance, at, seed = when.partition("@")
    if at:
        draw = random.Random(seed)  # noqa: S311 - tests repeat it by its seed
        return lambda: draw.random() < float(chance)
    left = [int(when)]

    def nth() -> bool:
        left[0] -= 1
        return left[0] == 0

    return nth


def armed(settings: str) -> Callable[[str], None]:
    """What a visit to a point does under these settings; raises ValueError if they are wrong."""
    points: dict[str, list[tuple[Due, Action]]] = {}
    for setting in settings.split(","):
        point, name, *rest = setting.split(":")
        action = _action(name, rest)
        points.setdefault(point, []).append((_due(rest[0] if rest else "1"), action))

    def reached(point: str) -> None:
        for due, action in points.get(point, ()):
            if due():
                action()

    return reached


def _nothing(point: str) -> None:
    """No point is armed."""


def chosen(environment: Mapping[str, str]) -> Callable[[str], None]:
    """What a visit to a point does in this environment."""
    settings = environment.get(VARIABLE)
    return armed(settings) if settings else _nothing


reached: Callable[[str], None] = chosen(os.environ)
