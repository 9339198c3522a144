"""What every service's server does, over a real socket."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.runtime import context as request_context
from services.runtime.channels import connect
from services.runtime.errors import MixdownError, error_info_of
from services.runtime.server import LIVENESS, Server
from services.runtime.settings import Settings
from tests.integration.runtime.servicers import INTERPRETER, Answer, serving
from tests.patience import PATIENCE_SECONDS

Interpretation = interpreter_pb2.Interpretation
InterpretRequest = interpreter_pb2.InterpretRequest


class TooBusyError(MixdownError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_BUSY"


async def echo(request: InterpretRequest) -> Interpretation:
    return Interpretation(reply=request.prompt)


async def busy(_: InterpretRequest) -> Interpretation:
    raise TooBusyError("Come back later.", metadata={"queue": "8"}, retry_after_seconds=2.5)


async def broken(_: InterpretRequest) -> Interpretation:
    raise ValueError("the password is swordfish")


def stub_of(channel: aio.Channel) -> interpreter_pb2_grpc.InterpreterServiceAsyncStub:
    return interpreter_pb2_grpc.InterpreterServiceStub(channel)


@asynccontextmanager
async def calling(
    answer: Answer,
) -> AsyncIterator[interpreter_pb2_grpc.InterpreterServiceAsyncStub]:
    async with serving(answer) as address, connect(address) as channel:
        yield stub_of(channel)


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
    left = asyncio.Event()

    async def forever(_: InterpretRequest) -> Interpretation:
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        raise AssertionError("nobody waits a minute")

    async with calling(forever) as stub:
        with pytest.raises(aio.AioRpcError) as caught:
            # Time enough to connect and to begin.
            await stub.Interpret(InterpretRequest(), timeout=1)
        assert caught.value.code() == StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(PATIENCE_SECONDS):
            await left.wait()


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
                timeout=20,
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
    assert 10 < seen["remaining"] <= 20.2
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
    async with process(drain_seconds=20, notice_seconds=3) as (program, channel):
        sent = time.monotonic()
        program.send_signal(signal.SIGTERM)
        health = health_pb2_grpc.HealthStub(channel)
        status = health_pb2.HealthCheckResponse.SERVING
        while status == health_pb2.HealthCheckResponse.SERVING:
            status = (await health.Check(health_pb2.HealthCheckRequest())).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = await stub_of(channel).Interpret(InterpretRequest(prompt="0"))
        assert answer.reply == "here you are"
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await program.wait() == 0
        assert time.monotonic() - sent > 2.9


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
        assert 0.4 < time.monotonic() - sent < PATIENCE_SECONDS
