"""Small services over real contracts, that answer as a test wishes.

Run as a program it prints its port, serves the slow one until SIGTERM, and prints a line for each
call that begins.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from grpc import StatusCode, aio

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.runtime.channels import connect
from services.runtime.errors import MixdownError
from services.runtime.server import Server
from services.runtime.settings import Settings

INTERPRETER = "mixdown.interpreter.v1.InterpreterService"
REMIXER = "mixdown.remixer.v1.RemixerService"

Answer = Callable[[interpreter_pb2.InterpretRequest], Awaitable[interpreter_pb2.Interpretation]]
Stream = Callable[[], AsyncIterator[remixer_pb2.RenderResponse]]


class TooBusyError(MixdownError):
    code = StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_BUSY"


async def echo(request: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(reply=request.prompt)


async def busy(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    raise TooBusyError("Come back later.", metadata={"queue": "8"}, retry_after_seconds=2.5)


async def broken(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    raise ValueError("the password is swordfish")


class Interpreter(interpreter_pb2_grpc.InterpreterServiceServicer):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def Interpret(
        self, request: interpreter_pb2.InterpretRequest, context: aio.ServicerContext[Any, Any]
    ) -> interpreter_pb2.Interpretation:
        return await self._answer(request)


class Remixer(remixer_pb2_grpc.RemixerServiceServicer):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def Render(
        self, request: remixer_pb2.RenderRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[remixer_pb2.RenderResponse]:
        async for response in self._stream():
            yield response

    async def GetEffects(
        self, request: remixer_pb2.GetEffectsRequest, context: aio.ServicerContext[Any, Any]
    ) -> remixer_pb2.Effects:
        return remixer_pb2.Effects()


@asynccontextmanager
async def serving(
    answer: Answer | None = None,
    until_ready: Callable[[], Awaitable[object]] | None = None,
    *,
    stream: Stream | None = None,
) -> AsyncIterator[str]:
    """Serves on a free port and gives its address."""

    def register(server: aio.Server) -> None:
        if answer is not None:
            interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
                Interpreter(answer), server
            )
        if stream is not None:
            remixer_pb2_grpc.add_RemixerServiceServicer_to_server(Remixer(stream), server)

    names = [
        *([INTERPRETER] if answer is not None else []),
        *([REMIXER] if stream is not None else []),
    ]
    settings = Settings(listen="127.0.0.1:0", drain_seconds=0)
    server = Server(settings, names, register, until_ready=until_ready)
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


def stub_of(channel: aio.Channel) -> interpreter_pb2_grpc.InterpreterServiceAsyncStub:
    return interpreter_pb2_grpc.InterpreterServiceStub(channel)


@asynccontextmanager
async def calling(
    answer: Answer,
) -> AsyncIterator[interpreter_pb2_grpc.InterpreterServiceAsyncStub]:
    async with serving(answer) as address, connect(address) as channel:
        yield stub_of(channel)


async def _slow(request: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    """Answers after as many seconds as the prompt says."""
    print("begun", flush=True)
    await asyncio.sleep(float(request.prompt))
    return interpreter_pb2.Interpretation(reply="here you are")


async def _main(drain_seconds: str, notice_seconds: str) -> None:
    server = Server(
        Settings(
            listen="127.0.0.1:0",
            drain_seconds=float(drain_seconds),
            drain_notice_seconds=float(notice_seconds),
        ),
        [INTERPRETER],
        lambda server: interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
            Interpreter(_slow), server
        ),
    )
    print(server.port, flush=True)
    await server.run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
