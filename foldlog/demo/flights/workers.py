"""Brings the read models up to date in two processes, and checks them in another.

A fold is Python, and a Python process computes on one core. The workers open the application at
the addresses in the environment, as `foldlog run` on other machines would. They may be killed at
any point: rows and positions are committed together.
"""

import multiprocessing
import queue
import signal
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue, SimpleQueue
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from foldlog.demo.flights.check import Checked, check
from foldlog.demo.flights.errors import FlightsError
from projections.progress import Listener, Progress

WORKERS: Final = 2
"""Processes: the example is made for two cores."""

LOOK_SECONDS: Final = 0.1
"""Seconds between two looks at whether a worker has ended."""


class _Failed(NamedTuple):
    """What a worker says before it ends in failure."""

    read_model: str
    reason: str


_Told: TypeAlias = Progress | _Failed


def catch_up(read_models: Sequence[str], listener: Listener) -> None:
    """Bring the read models to the log's end as it is now; returns when all are there.

    Raises:
        FlightsError: A worker failed; what is missing is made good the next time.
    """
    context = multiprocessing.get_context("spawn")
    told: Queue[_Told] = context.Queue()
    waiting: SimpleQueue[str | None] = context.SimpleQueue()
    for read_model in (*read_models, *[None] * WORKERS):
        waiting.put(read_model)
    workers = [context.Process(target=_work, args=(waiting, told)) for _ in range(WORKERS)]
    try:
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            _listen(told, listener, seconds=LOOK_SECONDS)
        while _listen(told, listener, seconds=LOOK_SECONDS):
            pass
        _check(workers)
    finally:
        _end(workers)


def checked(path: Path, years: int, refused: Collection[tuple[int, int]]) -> Checked:
    """`foldlog.demo.flights.check.check`, in a process whose memory goes back when it is done."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_compare, path, years, refused).result()


def _compare(path: Path, years: int, refused: Collection[tuple[int, int]]) -> Checked:
    from foldlog.demo.flights.app import app  # noqa: PLC0415 - in the worker only

    with app:
        return check(app.engine, path, years=years, refused=refused)


def _end(workers: Sequence[SpawnProcess]) -> None:
    for worker in workers:
        if worker.pid is not None:
            worker.terminate()
            worker.join()


def _listen(told: "Queue[_Told]", listener: Listener, *, seconds: float) -> bool:
    """Pass on the next that a worker tells; False if there is nothing for so long."""
    try:
        moment = told.get(timeout=seconds)
    except queue.Empty:
        return False
    if isinstance(moment, _Failed):
        raise FlightsError(
            f"expected the {moment.read_model} to be brought up to date; found {moment.reason}"
        )
    listener(moment)
    return True


def _check(workers: Sequence[SpawnProcess]) -> None:
    for worker in workers:
        if worker.exitcode:
            raise FlightsError(
                f"expected a worker to end by itself; found exit code {worker.exitcode}: "
                "run it again, and it goes on"
            )


def _work(waiting: "SimpleQueue[str | None]", told: "Queue[_Told]") -> None:
    """What a worker does: Ctrl-C is its parent's to handle, who ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from foldlog.demo.flights.app import app  # noqa: PLC0415 - in the worker only

    read_model = "application"
    try:
        with app:
            for read_model in iter(waiting.get, None):
                app.read_model(read_model).catch_up(told.put)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent says so
        told.put(_Failed(read_model, f"{type(error).__name__}: {error}"))
