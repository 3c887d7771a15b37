"""The ports of embedded servers."""

import os
import socket
from pathlib import Path

import pytest

from foldlog.embedded import PortTaken
from foldlog.embedded._ports import FREE, claim_ports

CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_free_ports_all_differ_and_none_is_one_that_a_client_may_be_given() -> None:
    ports = [port for _ in range(50) for port in claim_ports(*[("Kafka", None)] * 3)]
    assert len(set(ports)) == len(ports)
    assert set(ports) <= set(FREE)
    if CLIENTS.exists():
        assert max(ports) < int(CLIENTS.read_text().split()[0])


def test_a_port_that_is_taken_is_passed_over_but_refused_when_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (port,) = claim_ports(("Kafka", None))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        monkeypatch.setattr(os, "getpid", lambda: 0)
        monkeypatch.setattr("foldlog.embedded._ports._chosen", iter([port - FREE.start, 7]))
        assert claim_ports(("Kafka", None)) == [FREE[7]]
        with pytest.raises(PortTaken, match=f"port {port} "):
            claim_ports(("Kafka", port))
