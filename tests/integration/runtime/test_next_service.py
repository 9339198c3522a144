"""A service that calls another one: what goes on to it, and what comes back."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from grpc import StatusCode, aio

from mixdown.interpreter.v1 import interpreter_pb2
from services.runtime import context as request_context
from services.runtime.channels import connect
from services.runtime.errors import error_info_of
from tests.integration.runtime.servicers import busy, calling, stub_of
from tests.patience import PATIENCE_SECONDS

Interpretation = interpreter_pb2.Interpretation
InterpretRequest = interpreter_pb2.InterpretRequest


async def test_ids_and_the_deadline_travel_to_the_next_service() -> None:
    seen: dict[str, object] = {}

    async def last(request: InterpretRequest) -> Interpretation:
        seen["metadata"] = dict(request_context.forwarded_metadata.get())
        seen["remaining"] = request_context.remaining_seconds()
        seen["logged"] = structlog.contextvars.get_contextvars()
        return Interpretation(reply=request.prompt)

    async with calling(last) as inner:

        async def first(request: InterpretRequest) -> Interpretation:
            request_context.forward(session_id="s-1", turn_id="t-1")
            return await inner.Interpret(request)

        async with calling(first) as stub:
            answer = await stub.Interpret(
                InterpretRequest(prompt="hello"),
                metadata=(("x-request-id", "r-1"), ("traceparent", "00-abc"), ("x-other", "x")),
                timeout=2 * PATIENCE_SECONDS,
            )
    assert answer.reply == "hello"
    assert seen["metadata"] == {
        "x-request-id": "r-1",
        "traceparent": "00-abc",
        "x-mixdown-session-id": "s-1",
        "x-mixdown-turn-id": "t-1",
    }
    assert isinstance(seen["remaining"], float)
    # gRPC writes a timeout in steps of up to a hundredth of it, and rounds up.
    assert PATIENCE_SECONDS < seen["remaining"] <= 1.01 * 2 * PATIENCE_SECONDS
    logged = seen["logged"]
    assert isinstance(logged, dict)
    ids = {name: logged[name] for name in ("request_id", "session_id", "turn_id")}
    assert ids == {"request_id": "r-1", "session_id": "s-1", "turn_id": "t-1"}


async def test_an_error_of_the_next_service_is_passed_on_whole() -> None:
    async with calling(busy) as inner:

        async def first(request: InterpretRequest) -> Interpretation:
            return await inner.Interpret(request)

        async with calling(first) as stub:
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Interpret(InterpretRequest())
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
    assert error_info_of(caught.value).reason == "TOO_BUSY"
    assert dict(error_info_of(caught.value).metadata) == {"queue": "8"}


async def test_a_next_service_that_is_away_is_unavailable() -> None:
    async with connect("127.0.0.1:1") as away:

        async def first(request: InterpretRequest) -> Interpretation:
            return await stub_of(away).Interpret(request)

        async with calling(first) as stub:
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Interpret(InterpretRequest())
    assert caught.value.code() == StatusCode.UNAVAILABLE
    assert error_info_of(caught.value).reason == "SERVICE_UNAVAILABLE"
    assert "127.0.0.1" not in (caught.value.details() or "")


async def test_cancelling_reaches_the_next_service() -> None:
    began, left = asyncio.Event(), asyncio.Event()

    async def forever(_: InterpretRequest) -> Interpretation:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError("nobody waits a minute")

    async with calling(forever) as inner:

        async def first(request: InterpretRequest) -> Interpretation:
            return await inner.Interpret(request)

        async with calling(first) as stub:
            call = stub.Interpret(InterpretRequest())
            waiting = asyncio.ensure_future(call)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await began.wait()
                call.cancel()
                await left.wait()
            await asyncio.gather(waiting, return_exceptions=True)
