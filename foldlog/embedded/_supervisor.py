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

from foldlog.embedded._children import Children, Died, Late, Stopping
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
    signal.signal(signal.SIGTERM, lambda *_: children.stopping.set())
    try:
        _serve(plan, servers, children)
    finally:
        children.stop(discard=plan.temporary)
        for server in servers:
            server.clean_up()
        if plan.temporary:
            shutil.rmtree(plan.data, ignore_errors=True)


def _serve(plan: Plan, servers: list[Server], children: Children) -> None:
    with ThreadPoolExecutor(len(servers)) as pool:
        starts = [pool.submit(children.start, server) for server in servers]
        try:
            while not all(start.done() for start in starts):
                if _parent_is_gone(plan) or _has_failed(starts):
                    break
        finally:
            if _parent_is_gone(plan) or _has_failed(starts):
                children.give_up()
    try:
        kafka, postgres = (start.result() for start in starts)
    except Died as death:
        _say(died=death.server, exit_code=death.exit_code)
        return
    except Late as late:
        _say(late=late.server)
        return
    except Stopping:
        return
    _say(kafka=kafka, postgres=postgres)
    while not children.stopping.is_set() and not _parent_is_gone(plan):
        if death := children.look():
            _say(died=death.server, exit_code=death.exit_code)
            return


def _has_failed(starts: list[Future[str]]) -> bool:
    return any(start.done() and start.exception() for start in starts)


def _parent_is_gone(plan: Plan) -> bool:
    """Wait a moment for the pipe's end. A forked child may hold the pipe: ask for the parent too."""
    ended, _, _ = select.select([sys.stdin], [], [], _LOOK_EVERY)
    return bool(ended) or os.getppid() != plan.parent


def _say(**facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
