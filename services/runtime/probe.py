"""Asks the server of this container whether it serves: `python -m services.runtime.probe [NAME]`.

For where nothing speaks the health protocol itself, such as a container's health check. Ends with
status 0 where the server says SERVING, else with 1. NAME is what the health check is asked for: a
service, "liveness", or without it the server as a whole.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime.settings import Settings
from services.runtime.tls import TlsFiles

_SECONDS = 3.0


def is_serving(
    address: str, service: str = "", tls: TlsFiles | None = None, tls_name: str = ""
) -> bool:
    """Tells whether the server at `address` (host:port) says SERVING of a service.

    Args:
        address: Where it listens.
        service: Full name of a gRPC service; "" asks for the server as a whole.
        tls: What we show and believe; None talks in the clear.
        tls_name: The name in the server's certificate, where it is not that of the address.
    """
    options = [("grpc.ssl_target_name_override", tls_name)] if tls_name else []
    channel = (
        grpc.insecure_channel(address)
        if tls is None
        else grpc.secure_channel(address, tls.channel_credentials(), options=options)
    )
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> None:
    """Asks the server that MIXDOWN_LISTEN tells of; its certificate names MIXDOWN_TLS_NAME."""
    service = sys.argv[1] if len(sys.argv) > 1 else ""
    port = os.environ["MIXDOWN_LISTEN"].rsplit(":", 1)[1]
    name = os.environ.get("MIXDOWN_TLS_NAME", "")
    address = f"127.0.0.1:{port}"
    sys.exit(0 if is_serving(address, service, Settings().tls, name) else 1)


if __name__ == "__main__":
    main()
