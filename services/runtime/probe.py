"""Asks the server of this container whether it serves: `python -m services.runtime.probe`.

For where nothing speaks the health protocol itself, such as a container's health check. Ends with
status 0 where the server says SERVING, else with 1.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SECONDS = 3.0


def is_serving(address: str, service: str = "") -> bool:
    """Tells whether the server at `address` (host:port) says SERVING of a service.

    Args:
        address: Where it listens.
        service: Full name of a gRPC service; "" asks for the server as a whole.
    """
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> None:
    """Asks the server that MIXDOWN_LISTEN tells of."""
    port = os.environ["MIXDOWN_LISTEN"].rsplit(":", 1)[1]
    sys.exit(0 if is_serving(f"127.0.0.1:{port}") else 1)


if __name__ == "__main__":
    main()
