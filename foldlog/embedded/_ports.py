"""Ports on the loopback address: free ones, and whether a given one is free."""

import socket

from foldlog.embedded.errors import PortTaken


def claim_port(server: str, given: int | None) -> int:
    """The given port if it is free, else any free one; raises PortTaken."""
    with socket.socket() as listener:
        # As the servers do: a port that only waits for late packets counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", given or 0))
        except OSError as error:
            raise PortTaken(server, given or 0) from error
        return int(listener.getsockname()[1])
