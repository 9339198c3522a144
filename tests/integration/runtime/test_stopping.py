"""A server that is told to stop, as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.interpreter.v1 import interpreter_pb2
from tests.integration.runtime.servicers import stub_of
from tests.patience import PATIENCE_SECONDS

Interpretation = interpreter_pb2.Interpretation
InterpretRequest = interpreter_pb2.InterpretRequest


@asynccontextmanager
async def process(
    drain_seconds: float, notice_seconds: float = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, aio.Channel]]:
    """The slow interpreter as a process of its own."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.servicers"),
        *(str(drain_seconds), str(notice_seconds)),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            port = int(await program.stdout.readline())
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await channel.channel_ready()
            yield program, channel
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def begin(
    program: asyncio.subprocess.Process, channel: aio.Channel, seconds: str
) -> asyncio.Future[Interpretation]:
    """Begins a call that takes as many seconds, and waits until it is under way."""
    call = asyncio.ensure_future(stub_of(channel).Interpret(InterpretRequest(prompt=seconds)))
    assert program.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await program.stdout.readline() != b"begun\n":  # among lines of the log
            assert not program.stdout.at_eof()
    return call


async def first_refusal(channel: aio.Channel) -> aio.AioRpcError:
    """Calls until a call is refused."""
    while True:
        try:
            await stub_of(channel).Interpret(InterpretRequest(prompt="0"))
        except aio.AioRpcError as error:
            if error.code() != StatusCode.CANCELLED:  # it came in the very moment of the stop
                return error


async def test_sigterm_lets_calls_under_way_end_and_takes_no_new_ones() -> None:
    async with process(drain_seconds=20) as (program, channel):
        under_way = await begin(program, channel, "2")
        program.send_signal(signal.SIGTERM)
        assert (await first_refusal(channel)).code() == StatusCode.UNAVAILABLE
        assert (await under_way).reply == "here you are"
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await program.wait() == 0


async def test_new_calls_are_taken_until_who_balances_has_had_notice() -> None:
    async with process(drain_seconds=20, notice_seconds=600) as (program, channel):
        program.send_signal(signal.SIGTERM)
        health = health_pb2_grpc.HealthStub(channel)
        status = health_pb2.HealthCheckResponse.SERVING
        while status == health_pb2.HealthCheckResponse.SERVING:
            status = (await health.Check(health_pb2.HealthCheckRequest())).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = await stub_of(channel).Interpret(InterpretRequest(prompt="0"))
        assert answer.reply == "here you are"


async def test_the_notice_ends() -> None:
    async with process(drain_seconds=20, notice_seconds=1) as (program, _):
        sent = time.monotonic()
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await program.wait() == 0
        assert time.monotonic() - sent > 0.9


async def test_sigterm_waits_no_longer_than_the_drain() -> None:
    async with process(drain_seconds=0.5) as (program, channel):
        under_way = await begin(program, channel, "120")
        sent = time.monotonic()
        program.send_signal(signal.SIGTERM)
        with pytest.raises(aio.AioRpcError) as caught:
            await under_way
        assert caught.value.code() in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await program.wait() == 0
        assert time.monotonic() - sent > 0.4
