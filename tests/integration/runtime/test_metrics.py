"""What a server's metrics tell of its calls, over real sockets."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.runtime.channels import connect
from services.runtime.errors import MixdownError
from services.runtime.metrics import REGISTRY, MetricsEndpoint, counter, gauge
from services.runtime.server import Server
from services.runtime.settings import Settings
from tests.integration.runtime.servicers import INTERPRETER, Interpreter, serving
from tests.metrics import growth, value
from tests.patience import PATIENCE_SECONDS

INTERPRET = {"grpc_service": INTERPRETER, "grpc_method": "Interpret"}
RENDER = {"grpc_service": "mixdown.remixer.v1.RemixerService", "grpc_method": "Render"}


class TooBusyError(MixdownError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_BUSY"


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  # no event tells of a count
            await asyncio.sleep(0.01)


async def interpret(answer, **options) -> None:
    async with serving(answer) as address, connect(address) as channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        await stub.Interpret(interpreter_pb2.InterpretRequest(prompt="hi"), **options)


async def echo(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation()


async def busy(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    raise TooBusyError("Come back later.")


async def broken(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    raise ValueError("a defect")


async def forever(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    await asyncio.sleep(60)
    raise AssertionError("nobody waits a minute")


async def test_a_call_is_counted_with_its_seconds():
    started = growth("mixdown_rpc_started_total", **INTERPRET)
    handled = growth("mixdown_rpc_handled_total", **INTERPRET, grpc_code="OK")
    timed = growth("mixdown_rpc_seconds_count", **INTERPRET)
    await interpret(echo)
    assert (started(), handled(), timed()) == (1, 1, 1)
    assert value("mixdown_rpc_in_progress", **INTERPRET) == 0


@pytest.mark.parametrize(("answer", "code"), [(busy, "RESOURCE_EXHAUSTED"), (broken, "INTERNAL")])
async def test_a_call_that_fails_is_counted_by_its_code(answer, code):
    handled = growth("mixdown_rpc_handled_total", **INTERPRET, grpc_code=code)
    fine = growth("mixdown_rpc_handled_total", **INTERPRET, grpc_code="OK")
    with pytest.raises(aio.AioRpcError):
        await interpret(answer)
    assert (handled(), fine()) == (1, 0)


async def test_a_defect_is_counted_apart_from_errors_that_are_told():
    defects = growth("mixdown_rpc_defects_total")
    for answer in (busy, broken):
        with pytest.raises(aio.AioRpcError):
            await interpret(answer)
    assert defects() == 1


async def test_a_deadline_that_passes_is_told_from_a_caller_that_leaves():
    late = growth("mixdown_rpc_handled_total", **INTERPRET, grpc_code="DEADLINE_EXCEEDED")
    left = growth("mixdown_rpc_handled_total", **INTERPRET, grpc_code="CANCELLED")
    started = growth("mixdown_rpc_started_total", **INTERPRET)
    async with serving(forever) as address, connect(address) as channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        while not started():  # a deadline may pass before the call has reached the server
            with pytest.raises(aio.AioRpcError):
                await stub.Interpret(interpreter_pb2.InterpretRequest(), timeout=1)
        await eventually(lambda: late() == 1)
        assert left() == 0
        call = stub.Interpret(interpreter_pb2.InterpretRequest())
        await eventually(lambda: value("mixdown_rpc_in_progress", **INTERPRET) == 1)
        call.cancel()
        await eventually(lambda: left() == 1)
    assert late() == 1
    assert value("mixdown_rpc_in_progress", **INTERPRET) == 0


async def test_a_stream_is_counted_by_its_messages_and_lasts_until_its_end():
    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        for _ in range(3):
            yield remixer_pb2.RenderResponse()
            await asyncio.sleep(0.05)

    sent = growth("mixdown_rpc_messages_sent_total", **RENDER)
    seconds = growth("mixdown_rpc_seconds_sum", **RENDER)
    handled = growth("mixdown_rpc_handled_total", **RENDER, grpc_code="OK")
    async with serving(stream=stream) as address, connect(address) as channel:
        call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
        assert len([response async for response in call]) == 3
    assert (sent(), handled()) == (3, 1)
    assert seconds() >= 0.14  # three sleeps, by another clock


@pytest.mark.parametrize("pause_seconds", [0.01, 0], ids=["while it waits", "while it sends"])
async def test_a_stream_that_the_caller_leaves_is_counted_as_cancelled_once(pause_seconds):
    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        while True:  # more than a connection takes in without a reader
            yield remixer_pb2.RenderResponse(audio=remixer_pb2.OutputAudio(data=bytes(1 << 16)))
            await asyncio.sleep(pause_seconds)

    handled = growth("mixdown_rpc_handled_total", **RENDER, grpc_code="CANCELLED")
    timed = growth("mixdown_rpc_seconds_count", **RENDER)
    async with serving(stream=stream) as address, connect(address) as channel:
        call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
        await anext(aiter(call))
        await asyncio.sleep(0.1)
        call.cancel()
        await eventually(lambda: handled() == 1)
    assert timed() == 1
    assert value("mixdown_rpc_in_progress", **RENDER) == 0


async def test_health_checks_and_unknown_methods_are_not_counted():
    async with serving(echo) as address, connect(address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        with pytest.raises(aio.AioRpcError):
            await channel.unary_unary(f"/{INTERPRETER}/Nothing")(b"")
    labels = [
        sample.labels
        for metric in REGISTRY.collect()
        if metric.name.startswith("mixdown_rpc")
        for sample in metric.samples
    ]
    assert not [found for found in labels if "Health" in found.get("grpc_service", "")]
    assert not [found for found in labels if found.get("grpc_method") == "Nothing"]


def scrape(port: int) -> str:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS
    ) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.read().decode()


async def test_a_server_serves_its_metrics_until_it_has_stopped():
    server = Server(
        Settings(listen="127.0.0.1:0", metrics_listen="127.0.0.1:0", drain_seconds=0),
        [INTERPRETER],
        lambda server: interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(
            Interpreter(echo), server
        ),
    )
    await server.start()
    page = await asyncio.to_thread(scrape, server.metrics_port)
    assert 'mixdown_build_info{component="interpreter"' in page
    assert "process_resident_memory_bytes" in page
    await server.stop()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(scrape, server.metrics_port)


async def test_no_metrics_are_served_unless_they_are_asked_for():
    server = Server(Settings(drain_seconds=0), [INTERPRETER], lambda _: None)
    await server.start()
    assert server.metrics_port == 0
    await server.stop()


def test_an_address_of_metrics_that_is_taken_is_an_error_at_once():
    first = MetricsEndpoint("127.0.0.1:0")
    try:
        with pytest.raises(OSError, match="in use"):
            MetricsEndpoint(f"127.0.0.1:{first.port}")
    finally:
        first.close()


def test_names_that_prometheus_users_would_not_expect_are_refused():
    with pytest.raises(AssertionError):
        counter("mixdown_gateway_turns", "Counts end in _total.")
    with pytest.raises(AssertionError):
        gauge("turns_under_way", "All begin alike.")
