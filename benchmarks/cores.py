"""Which processors the servers run on."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def upper_half() -> Generator[None]:
    """Let processes that are started meanwhile run on the upper half of the processors only.

    On Linux, and where there are two or more; elsewhere nothing is changed.
    """
    if sys.platform != "linux" or len(everywhere := os.sched_getaffinity(0)) < 2:
        yield
        return
    os.sched_setaffinity(0, sorted(everywhere)[len(everywhere) // 2 :])
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)
