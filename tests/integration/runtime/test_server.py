"""What every service's server does, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.rpc import error_details_pb2
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.runtime.channels import connect
from services.runtime.errors import error_info_of
from services.runtime.server import LIVENESS, Server
from services.runtime.settings import Settings
from tests.integration.runtime.servicers import (
    INTERPRETER,
    TooBusyError,
    broken,
    busy,
    calling,
    echo,
    serving,
    stub_of,
)
from tests.patience import PATIENCE_SECONDS

Interpretation = interpreter_pb2.Interpretation
InterpretRequest = interpreter_pb2.InterpretRequest


async def test_health_is_told_for_the_server_and_each_service() -> None:
    async with serving(echo) as address, connect(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", INTERPRETER):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="mixdown.Unknown"))
        assert caught.value.code() == StatusCode.NOT_FOUND


async def test_a_server_serves_once_it_has_what_it_needs() -> None:
    """And is alive before."""
    has_all = asyncio.Event()

    async def until_ready() -> None:
        await has_all.wait()

    statuses = health_pb2.HealthCheckResponse
    async with serving(echo, until_ready) as address, connect(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", INTERPRETER):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == statuses.NOT_SERVING
        alive = await stub.Check(health_pb2.HealthCheckRequest(service=LIVENESS))
        assert alive.status == statuses.SERVING
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=INTERPRETER))
        assert (await watching.read()).status == statuses.NOT_SERVING
        assert (await stub_of(channel).Interpret(InterpretRequest(prompt="la"))).reply == "la"
        has_all.set()
        assert (await watching.read()).status == statuses.SERVING
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == statuses.SERVING


async def test_a_server_that_cannot_get_ready_ends_with_what_was_in_the_way() -> None:
    async def until_ready() -> None:
        raise ValueError("no way")

    server = Server(
        Settings(listen="127.0.0.1:0"), [INTERPRETER], lambda _: None, until_ready=until_ready
    )
    with pytest.raises(ValueError, match="no way"):
        await asyncio.wait_for(server.run(), PATIENCE_SECONDS)


async def test_a_server_that_is_stopped_before_it_is_ready_stops() -> None:
    async with serving(echo, asyncio.Event().wait) as address, connect(address) as channel:
        assert (await stub_of(channel).Interpret(InterpretRequest(prompt="la"))).reply == "la"


async def test_reflection_tells_services_and_their_contracts() -> None:
    async with serving(echo) as address, connect(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=INTERPRETER),
        ]
        listed, described = [item async for item in stub.ServerReflectionInfo(iter(requests))]
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        INTERPRETER,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    files = described.file_descriptor_response.file_descriptor_proto
    assert any(b"InterpreterService" in file for file in files)


async def test_an_error_travels_with_code_reason_variables_and_retry() -> None:
    async with calling(busy) as stub:
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Interpret(InterpretRequest())
    assert caught.value.code() == StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "Come back later."
    info = error_info_of(caught.value)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "TOO_BUSY",
        "mixdown",
        {"queue": "8"},
    )
    status = rpc_status.from_call(caught.value)
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5


async def test_a_defect_tells_the_request_and_nothing_else() -> None:
    async with calling(broken) as stub:
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Interpret(InterpretRequest(), metadata=(("x-request-id", "r-77"),))
    assert caught.value.code() == StatusCode.INTERNAL
    assert error_info_of(caught.value).reason == "INTERNAL"
    assert "r-77" in (caught.value.details() or "")
    assert "swordfish" not in (caught.value.details() or "")


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a\x02\xff\xfe", b"\xff" * 20])
async def test_bytes_that_are_no_message_are_the_callers_fault(data):
    async with serving(echo) as address, aio.insecure_channel(address) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{INTERPRETER}/Interpret")(data)
        assert caught.value.code() == StatusCode.INVALID_ARGUMENT
        assert error_info_of(caught.value).reason == "MALFORMED_MESSAGE"
        assert (await stub_of(channel).Interpret(InterpretRequest(prompt="yes"))).reply == "yes"


async def test_an_unknown_method_is_unimplemented() -> None:
    async with serving(echo) as address, connect(address) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/mixdown.interpreter.v1.InterpreterService/Nothing")(b"")
    assert caught.value.code() == StatusCode.UNIMPLEMENTED


async def test_an_error_in_the_middle_of_a_stream_ends_it_with_its_reason() -> None:
    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        yield remixer_pb2.RenderResponse(progress=remixer_pb2.RenderProgress(fraction=0.5))
        raise TooBusyError("Come back later.")

    async with serving(stream=stream) as address, connect(address) as channel:
        call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
        responses = aiter(call)
        assert (await anext(responses)).progress.fraction == 0.5
        with pytest.raises(aio.AioRpcError) as caught:
            await anext(responses)
    assert error_info_of(caught.value).reason == "TOO_BUSY"


async def test_a_stream_that_the_caller_leaves_is_cleaned_up_at_once() -> None:
    left = asyncio.Event()

    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        try:
            while True:
                yield remixer_pb2.RenderResponse()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async with serving(stream=stream) as address, connect(address) as channel:
        call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
        await anext(aiter(call))
        call.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await left.wait()


async def test_a_call_that_the_caller_leaves_is_cancelled() -> None:
    began, left = asyncio.Event(), asyncio.Event()

    async def forever(_: InterpretRequest) -> Interpretation:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError("nobody waits a minute")

    async with calling(forever) as stub:
        call = stub.Interpret(InterpretRequest())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(began.wait(), asyncio.sleep(0))
            call.cancel()
            await left.wait()


async def test_a_deadline_that_passes_ends_the_call_on_both_sides() -> None:
    began, left = asyncio.Event(), asyncio.Event()

    async def forever(_: InterpretRequest) -> Interpretation:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError("nobody waits a minute")

    async with calling(forever) as stub:
        while not began.is_set():  # a deadline may pass before the call has reached the server
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Interpret(InterpretRequest(), timeout=1)
            assert caught.value.code() == StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE_SECONDS):
            await left.wait()
