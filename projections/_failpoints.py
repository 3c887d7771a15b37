"""Points at which a test can kill the process: ``FOLDLOG_FAILPOINT=before_commit:kill:3``.

The name of the point, what happens there (``kill``: SIGKILL to itself; ``sleep``: 60 s), and at
which visit (1 if left out). Without the variable a point costs one call of an empty function.
"""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "FOLDLOG_FAILPOINT"


def _armed(setting: str) -> Callable[[str], None]:
    name, action, *rest = setting.split(":")
    left = [int(rest[0]) if rest else 1]

    def reached(point: str) -> None:
        if point != name:
            return
        left[0] -= 1
        if left[0] == 0:
            if action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    return reached


def _nothing(point: str) -> None:
    """No point is armed."""


reached: Callable[[str], None] = (
    _armed(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else _nothing
)
