"""Waits until the suite answers, and a turn would go all the way."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.local.suite import Suite

_PAUSE_SECONDS = 0.1
_ANSWER_SECONDS = 2.0
_USER = (("x-mixdown-user", "readiness"),)  # said to the gateway itself, behind Envoy


def wait_until_ready(suite: Suite, is_wanted: Callable[[], bool]) -> bool:
    """Waits until a caller is served, whatever it asks.

    First by bare connections: a process that is still forking others must not use gRPC. Then every
    server must serve; Envoy must have found every service (it looks once a second); and the gateway
    must reach them through Envoy (a connection that failed before Envoy was there is tried again
    only a while later).

    Args:
        suite: What is waited for.
        is_wanted: Tells whether to go on waiting.

    Returns:
        True once all is there; False where it is no longer wanted.
    """
    addresses = [*map(suite.address_of, suite.ports), suite.address]
    checks = [
        *(partial(_accepts, address) for address in addresses),
        *(partial(_serves, address) for address in addresses),
        partial(_finds_every_service, suite.admin_port, len(suite.ports)),
        partial(_reaches_the_others, suite.address_of("gateway")),
    ]
    for check in checks:
        while not check():
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


def _finds_every_service(admin_port: int, services: int) -> bool:
    url = f"http://127.0.0.1:{admin_port}/clusters"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            lines = str(answer.read(), "utf-8").splitlines()
    except (urllib.error.URLError, TimeoutError):
        return False
    healthy = [line for line in lines if line.endswith("::health_flags::healthy")]
    return len(healthy) == services


def _reaches_the_others(gateway: str) -> bool:
    with grpc.insecure_channel(gateway) as channel:
        stub: Any = gateway_pb2_grpc.GatewayServiceStub(channel)
        told = {"metadata": _USER, "timeout": _ANSWER_SECONDS}
        try:
            stub.ListTracks(gateway_pb2.ListTracksRequest(), **told)
            stub.GetCapabilities(gateway_pb2.GetCapabilitiesRequest(), **told)
        except grpc.RpcError:
            return False
        return True
