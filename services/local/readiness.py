"""Waits until the suite answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_PAUSE_SECONDS = 0.1


def wait_until_ready(addresses: Iterable[str], is_wanted: Callable[[], bool]) -> bool:
    """Waits until every address serves.

    First by bare connections: a process that is still forking others must not use gRPC. Then by the
    standard health check.

    Args:
        addresses: host:port of each server.
        is_wanted: Tells whether to go on waiting.

    Returns:
        True once all serve; False where it is no longer wanted.
    """
    addresses = list(addresses)
    for check in (_accepts, _serves):
        for address in addresses:
            while not check(address):
                if not is_wanted():
                    return False
                time.sleep(_PAUSE_SECONDS)
    return True


def _accepts(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _serves(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
