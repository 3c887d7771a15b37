"""Ports on the loopback address: free ones, and whether a given one is free."""

import socket
from contextlib import ExitStack

from foldlog.embedded.errors import PortTaken


def claim_ports(*wanted: tuple[str, int | None]) -> list[int]:
    """For each (server, port) the port if it is free, for None a free one; raises PortTaken."""
    with ExitStack() as held:  # until all are chosen, so that none is chosen twice
        return [_claim(held.enter_context(socket.socket()), *each) for each in wanted]


def _claim(listener: socket.socket, server: str, port: int | None) -> int:
    # As the servers do: a port that only waits for late packets counts as free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port or 0))
    except OSError as error:
        raise PortTaken(server, port or 0) from error
    return int(listener.getsockname()[1])
