"""The health check of a container."""

import asyncio
import os
import sys

from mixdown.interpreter.v1 import interpreter_pb2
from services.local.ports import free_port
from services.runtime.probe import is_serving
from services.runtime.server import LIVENESS
from tests.integration.runtime.servicers import INTERPRETER, serving
from tests.patience import PATIENCE_SECONDS


async def answer(request: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(reply=request.prompt)


async def found(*asked: str) -> None:
    """Asks until a server is found to serve: who asks waits for a few seconds only."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(is_serving, *asked):
            pass


async def test_a_server_that_serves_is_found_to_do_so() -> None:
    async with serving(answer) as address:
        await found(address)
        await found(address, INTERPRETER)
        assert not await asyncio.to_thread(is_serving, address, "mixdown.Unknown")


async def test_a_server_that_is_not_ready_is_alive_and_does_not_serve() -> None:
    async with serving(answer, asyncio.Event().wait) as address:
        await found(address, LIVENESS)
        assert not await asyncio.to_thread(is_serving, address)


async def test_the_command_ends_with_a_status_that_tells() -> None:
    async def probe(address: str, *names: str) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.runtime.probe",
            *names,
            env={**os.environ, "MIXDOWN_LISTEN": address},
        )
        return await process.wait()

    async def serves(*asked: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await probe(*asked) != 0:
                pass

    async with serving(answer) as address:
        # A container listens on all addresses; the probe asks its own.
        everywhere = f"0.0.0.0:{address.rsplit(':', 1)[1]}"
        await serves(everywhere)
        await serves(everywhere, LIVENESS)
        assert await probe(everywhere, "mixdown.Unknown") == 1
    assert await probe(f"0.0.0.0:{free_port()}") == 1
