"""The supervisor: a process of its own that starts both servers and ends them.

Standard input is a pipe to the parent: one line with the plan, then nothing until the end of the
file, which comes when the parent closes it or dies, even by ``kill -9``. A process forked from
the parent may hold that pipe open, so the parent's pid is watched beside it. Standard output
carries one line of JSON when both servers answer, or when one of them failed.
"""

import json
import os
import select
import shutil
import signal
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from foldlog.embedded import _kafka, _postgres
from foldlog.embedded._plan import Plan
from foldlog.embedded._server import NotRunning, Server, Stopping

_POLL_SECONDS = 0.1


class Supervisor:
    """Both servers, from the plan to their end."""

    def __init__(self, plan: Plan, parent: int) -> None:
        self._plan, self._parent = plan, parent
        self._gone = threading.Event()
        gone = self._gone
        self._kafka = Server("kafka", plan, end=signal.SIGTERM, user=None, gone=gone)
        self._postgres = Server("postgres", plan, end=signal.SIGINT, user=plan.user, gone=gone)

    def run(self) -> int:
        """Start, report, watch, stop; the exit code is 1 when a server failed."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self._gone.set())
        try:
            self._start()
            _report(event="ready")
            self._watch()
        except Stopping:
            return 0
        except NotRunning as failure:
            _report(event="failed", server=failure.server, why=failure.why)
            return 1
        finally:
            self._stop()
        return 0

    def _start(self) -> None:
        """Both at once, since neither needs the other."""
        with ThreadPoolExecutor(2) as threads:
            starts = [
                threads.submit(_kafka.start, self._plan, self._kafka),
                threads.submit(_postgres.start, self._plan, self._postgres),
            ]
            while not all(start.done() for start in starts):
                if self._parent_is_gone() or any(_failed(start) for start in starts):
                    self._gone.set()
        for failure in sorted(filter(None, (start.exception() for start in starts)), key=_rank):
            raise failure

    def _watch(self) -> None:
        while not self._gone.is_set() and not self._parent_is_gone():
            self._kafka.check()
            self._postgres.check()

    def _parent_is_gone(self) -> bool:
        """Wait a moment for the end of the pipe; nothing else ever comes through it."""
        ended, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
        return bool(ended) or os.getppid() != self._parent

    def _stop(self) -> None:
        for server in (self._kafka, self._postgres):
            server.ask_to_end()
        for server in (self._kafka, self._postgres):
            server.wait_ended()
        if self._plan.temporary:
            shutil.rmtree(self._plan.folder, ignore_errors=True)


def _failed(start: Future[None]) -> bool:
    return start.done() and start.exception() is not None


def _rank(failure: BaseException) -> bool:
    """The failure comes before what was given up because of it."""
    return isinstance(failure, Stopping)


def _report(**facts: str) -> None:
    try:
        print(json.dumps(facts), flush=True)  # noqa: T201 - the pipe to the parent
    except BrokenPipeError:
        sys.stdout = None  # the parent is gone; the end of its pipe says so too


if __name__ == "__main__":
    _parent = int(sys.argv[1])
    sys.exit(Supervisor(Plan.from_json(sys.stdin.readline()), _parent).run())
