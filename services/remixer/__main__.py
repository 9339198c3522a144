"""Starts the remixer: `python -m services.remixer`."""

from __future__ import annotations

import asyncio
import os

from grpc import aio

from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.remixer.api import RemixerService
from services.remixer.render import Renderer
from services.remixer.settings import RemixerSettings
from services.remixer.stems import Separator
from services.runtime.blobs import open_blob_store
from services.runtime.channels import connect
from services.runtime.logs import configure_logs
from services.runtime.server import Server
from services.runtime.tracing import configure_tracing


async def main() -> None:
    """Serves until SIGTERM."""
    settings = RemixerSettings()
    configure_logs("remixer", settings.log_level, settings.log_format)
    configure_tracing("remixer", settings.otlp_endpoint, settings.trace_ratio)
    async with connect(settings.separator_address, settings.tls, carries_audio=True) as separator:
        renderer = Renderer(
            open_blob_store(settings.blob_store, settings),
            Separator(separator),
            settings.max_renders,
            settings.chain_threads or len(os.sched_getaffinity(0)),
        )

        def register(server: aio.Server) -> None:
            remixer_pb2_grpc.add_RemixerServiceServicer_to_server(RemixerService(renderer), server)

        service = remixer_pb2.DESCRIPTOR.services_by_name["RemixerService"].full_name
        await Server(settings, [service], register).run()


if __name__ == "__main__":
    asyncio.run(main())
