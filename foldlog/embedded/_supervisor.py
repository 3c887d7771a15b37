"""The process between a program and its servers: `python -m foldlog.embedded._supervisor`.

It reads a plan from its standard input, starts the servers, and writes one line of JSON to its
standard output when they serve or when one has died. It ends both when its input ends, as it does
however its parent dies, also by `kill -9`. Its parent hands it the data folder's lock as an open
file, and so the folder is free when the servers are gone, not before.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from foldlog.embedded._children import Children, Failed, Stopping
from foldlog.embedded._kafka import Kafka
from foldlog.embedded._plan import Plan
from foldlog.embedded._postgres import Postgres
from foldlog.embedded._server import Server

_LOOK_EVERY = 0.1


def main() -> None:
    """Run the plan to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    plan = Plan.from_json(sys.stdin.buffer.readline().decode())
    servers: list[Server] = [Kafka(plan), Postgres(plan)]
    children = Children(plan)
    signal.signal(signal.SIGTERM, children.ask_to_stop)
    try:
        _serve(plan, servers, children)
    finally:
        children.stop(discard=plan.temporary)
        for server in servers:
            server.clean_up()
        if plan.temporary:
            shutil.rmtree(plan.data, ignore_errors=True)


def _serve(plan: Plan, servers: list[Server], children: Children) -> None:
    try:
        versions = _start(plan, servers, children)
    except Stopping:
        return
    except Failed as failed:
        _report(failed)
        return
    _say(versions=versions)
    while not children.stopping.is_set() and not _parent_is_gone(plan):
        if failed_later := children.look():
            _report(failed_later)
            return


def _start(plan: Plan, servers: list[Server], children: Children) -> dict[str, str]:
    """Start all servers at once; raise Stopping, or the failure of the first that failed."""
    with ThreadPoolExecutor(len(servers)) as pool:
        starts = {server.name: pool.submit(children.start, server) for server in servers}
        while not all(start.done() for start in starts.values()):
            if _parent_is_gone(plan) or _failures(starts):
                children.give_up()
                break
    for failure in _failures(starts):
        raise failure
    return {name: start.result() for name, start in starts.items()}


def _failures(starts: dict[str, Future[str]]) -> list[BaseException]:
    """What failed so far; those that merely stopped because another failed come last."""
    raised = [start.exception() for start in starts.values() if start.done()]
    failures = [error for error in raised if error is not None]
    return sorted(failures, key=lambda error: isinstance(error, Stopping))


def _parent_is_gone(plan: Plan) -> bool:
    """Wait a moment for the pipe's end, and see whose child we are: a fork may hold the pipe."""
    ended, _, _ = select.select([sys.stdin], [], [], _LOOK_EVERY)
    return bool(ended) or os.getppid() != plan.parent


def _report(failed: Failed) -> None:
    _say(failed=failed.server, exit_code=failed.exit_code, late=failed.late)


def _say(**facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
