"""Runs the gateway: `python -m services.gateway`."""

from __future__ import annotations

import asyncio

from mixdown.gateway.v1 import gateway_pb2_grpc
from services.gateway.api import SERVICE, GatewayApi
from services.gateway.backends import open_backends
from services.gateway.cleaning import Cleaner
from services.gateway.files import Files
from services.gateway.settings import GatewaySettings
from services.gateway.turns import Turns
from services.runtime.blobs import open_blob_store
from services.runtime.logs import configure_logs
from services.runtime.server import Server
from services.runtime.tracing import configure_tracing


async def serve(settings: GatewaySettings) -> None:
    """Serves until SIGTERM."""
    backends = open_backends(settings)
    blobs = open_blob_store(settings.blob_store, settings)
    files = Files(blobs)
    turns = Turns(backends, files, settings)
    api = GatewayApi(settings, backends, blobs, files, turns)
    server = Server(
        settings,
        [SERVICE],
        lambda server: gateway_pb2_grpc.add_GatewayServiceServicer_to_server(api, server),
    )
    cleaner = Cleaner(backends.session, blobs, settings.clean_seconds, settings.blob_sweep_seconds)
    background = {asyncio.create_task(cleaner.run()), asyncio.create_task(turns.take_over())}
    await server.run()
    for task in background:
        task.cancel()
    await asyncio.wait(background)
    await turns.drain(settings.drain_seconds)
    await backends.close()


def main() -> None:
    """Reads the settings and serves."""
    settings = GatewaySettings()
    configure_logs("gateway", settings.log_level, settings.log_format)
    configure_tracing("gateway", settings.otlp_endpoint, settings.trace_ratio)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
