"""Ports on the loopback address: free ones, and whether a given one is free."""

import itertools
import os
import socket
from contextlib import ExitStack
from typing import Final

from foldlog.embedded.errors import PortTaken

FREE: Final = range(20_000, 32_768)
"""Below what Linux, macOS and Windows give to clients, if not told otherwise. A client that tries
again and again to reach a server that is down can be given the server's own port, and then keeps
it from coming back."""

_APART: Final = 64  # processes that begin at the same time do not choose the same ports
_chosen = itertools.count()


def claim_ports(*wanted: tuple[str, int | None]) -> list[int]:
    """For each (server, port) the port if it is free, for None a free one; raises PortTaken."""
    with ExitStack() as held:  # until all are chosen, so that none is chosen twice
        return [_claim(held.enter_context(_listener()), *each) for each in wanted]


def _listener() -> socket.socket:
    listener = socket.socket()
    # As the servers do: a port that only waits for late packets counts as free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return listener


def _claim(listener: socket.socket, server: str, port: int | None) -> int:
    if port is None:
        return _claim_free(listener)
    if not _binds(listener, port):
        raise PortTaken(server, port)
    return port


def _claim_free(listener: socket.socket) -> int:
    first = os.getpid() * _APART
    for _ in FREE:
        port = FREE[(first + next(_chosen)) % len(FREE)]
        if _binds(listener, port):
            return port
    listener.bind(("127.0.0.1", 0))  # whatever the system still has
    return int(listener.getsockname()[1])


def _binds(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
