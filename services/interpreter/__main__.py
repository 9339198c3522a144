"""Starts the interpreter: `python -m services.interpreter`."""

from __future__ import annotations

import asyncio

from grpc import aio

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from services.interpreter.api import InterpreterService
from services.interpreter.engines import engines_from
from services.interpreter.settings import InterpreterSettings
from services.runtime.logs import configure_logs
from services.runtime.server import Server
from services.runtime.tracing import configure_tracing


async def main() -> None:
    """Serves until SIGTERM."""
    settings = InterpreterSettings()
    configure_logs("interpreter", settings.log_level, settings.log_format)
    configure_tracing("interpreter", settings.otlp_endpoint, settings.trace_ratio)
    async with engines_from(settings) as engines:

        def register(server: aio.Server) -> None:
            interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
                InterpreterService(engines), server
            )

        service = interpreter_pb2.DESCRIPTOR.services_by_name["InterpreterService"].full_name
        await Server(settings, [service], register).run()


if __name__ == "__main__":
    asyncio.run(main())
