"""The connection that every call of the client goes over."""

from __future__ import annotations

from dataclasses import dataclass

from mixdown.gateway.v1 import gateway_pb2_grpc


@dataclass(frozen=True)
class Link:
    """A gateway and how it is called.

    Args:
        stub: Its calls.
        address: Where it is, for error messages.
        metadata: What every call carries.
    """

    stub: gateway_pb2_grpc.GatewayServiceAsyncStub
    address: str
    metadata: tuple[tuple[str, str], ...] = ()
