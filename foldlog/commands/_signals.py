"""SIGTERM and Ctrl-C, as commands that run until they are told to stop take them."""

import signal
import threading
from types import FrameType


def until_told() -> threading.Event:
    """An event that is set by SIGTERM or SIGINT."""
    stop = threading.Event()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop
