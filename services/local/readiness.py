"""Waits until the suite answers, and then until its model is there."""

from __future__ import annotations

import math
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import grpc

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.local.suite import Suite
from services.runtime.probe import is_serving
from services.runtime.server import LIVENESS

_PAUSE_SECONDS = 0.1
_LONG_SECONDS = 15.0
_ANSWER_SECONDS = 2.0
_TURNS = "gateway-turns"  # the gateway once more, as Envoy finds it for the streams of turns
_USER = (("x-mixdown-user", "readiness"),)  # said to the gateway itself, behind Envoy


def wait_until_ready(
    suite: Suite, is_wanted: Callable[[], bool], tell: Callable[[str], None]
) -> bool:
    """Waits until a caller is served, whatever it asks, but for the model.

    First by bare connections: a process that is still forking others must not use gRPC. Then every
    server must serve; Envoy must have found every service (it looks once a second); and the gateway
    must reach them through Envoy (a connection that failed before Envoy was there is tried again
    only a while later).

    The separator need only be alive: what does without stems need not wait for its model, and a
    separation that comes before waits for it there. (Envoy asks the one separator that it knows
    even while that is not serving: where none is healthy it takes all for healthy.)

    Args:
        suite: What is waited for.
        is_wanted: Tells whether to go on waiting.
        tell: Is told what is waited for where that takes long.

    Returns:
        True once all is there; False where it is no longer wanted.
    """
    addresses = {name: suite.address_of(name) for name in suite.ports}
    others = {name: address for name, address in addresses.items() if name != "separator"}
    envoy = {"envoy": suite.address}
    checks = [
        *((f"{name} to listen", partial(_accepts, at)) for name, at in (addresses | envoy).items()),
        *((f"{name} to serve", partial(is_serving, at)) for name, at in (others | envoy).items()),
        ("separator to answer", partial(is_serving, addresses["separator"], LIVENESS)),
        ("envoy to find the services", partial(_finds, suite.admin_port, (*others, _TURNS))),
        ("gateway to reach the others", partial(_reaches_the_others, addresses["gateway"])),
    ]
    return all(
        _wait_for(check, is_wanted, partial(tell, f"Mixdown waits for {what}."))
        for what, check in checks
    )


def has_its_model(suite: Suite) -> bool:
    """Tells whether the separator serves."""
    return is_serving(suite.address_of("separator"))


def wait_for_its_model(suite: Suite, is_wanted: Callable[[], bool]) -> bool:
    """Waits until the separator serves; False where that is no longer wanted."""
    return _wait_for(partial(has_its_model, suite), is_wanted)


def _wait_for(
    check: Callable[[], bool],
    is_wanted: Callable[[], bool],
    tell: Callable[[], None] = lambda: None,
) -> bool:
    told_at = time.monotonic() + _LONG_SECONDS
    while not check():
        if not is_wanted():
            return False
        if time.monotonic() > told_at:
            tell()
            told_at = math.inf
        time.sleep(_PAUSE_SECONDS)
    return True


def _accepts(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _finds(admin_port: int, clusters: Collection[str]) -> bool:
    url = f"http://127.0.0.1:{admin_port}/clusters"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            lines = str(answer.read(), "utf-8").splitlines()
    except (urllib.error.URLError, TimeoutError):
        return False
    healthy = {line.split("::")[0] for line in lines if line.endswith("::health_flags::healthy")}
    return healthy >= set(clusters)


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
