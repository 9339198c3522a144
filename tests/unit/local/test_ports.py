"""Ports for servers that are started a moment later."""

import socket
from pathlib import Path

import pytest

from services.local.ports import free_port

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_given_twice():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == len(ports)


def test_a_port_that_is_listened_on_is_not_given():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with socket.socket() as free:
            free.bind(("127.0.0.1", free_port()))
            assert free.getsockname()[1] != server.getsockname()[1]


@pytest.mark.skipif(not EPHEMERAL.exists(), reason="only Linux tells its ephemeral range")
def test_outgoing_connections_do_not_take_a_port_that_was_given():
    first, last = map(int, EPHEMERAL.read_text().split())
    assert not any(first <= free_port() <= last for _ in range(50))
