"""A failpoint does what it was told, when it was told, and nothing otherwise."""

import os
import signal
import subprocess
import sys
import time

import pytest

from eventstore._failpoints import VARIABLE, armed, chosen, reached

VISITS = """
from eventstore._failpoints import reached
for visit in range(5):
    reached("here")
    print(visit, flush=True)
"""


def visiting(setting: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", VISITS],
        env=os.environ | {VARIABLE: setting},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_kills_itself_at_the_named_visit() -> None:
    with visiting("there:kill,here:kill:3") as process:
        printed, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert printed.split() == ["0", "1"]


def test_a_process_stops_itself_until_it_is_continued() -> None:
    with visiting("here:stop:2") as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        printed, _ = process.communicate()
    assert process.returncode == 0
    assert printed.split() == ["0", "1", "2", "3", "4"]


def test_a_point_can_be_slow_with_a_seeded_chance() -> None:
    visit = armed("here:sleep:0.01:0.5@7")

    def slow() -> bool:
        began = time.monotonic()
        visit("here")
        return time.monotonic() - began > 0.005

    assert {slow() for _ in range(20)} == {True, False}


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="kill, stop or sleep"):
        armed("here:explode")


def test_without_the_variable_a_point_does_nothing() -> None:
    assert chosen({}).__name__ == "_nothing"
    reached("anywhere")
