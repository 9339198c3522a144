"""What traces tell of calls between services, over real sockets, and that they cannot do harm."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.runtime import context as request_context
from services.runtime import tracing
from services.runtime.channels import connect
from services.runtime.errors import MixdownError
from services.runtime.rpc_tracing import begin_server_span, end_server_span
from services.runtime.tracing import (
    configure_tracing,
    send_spans,
    span,
    trace_ids,
    use_tracer,
)
from tests.integration.runtime.servicers import INTERPRETER, serving
from tests.integration.telemetry.collector import running_collector
from tests.patience import PATIENCE_SECONDS

INTERPRET = f"{INTERPRETER}/Interpret"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class TooBusyError(MixdownError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_BUSY"


class Spans:
    """The spans of this process that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    async def of(self, kind: SpanKind, count: int = 1) -> list[ReadableSpan]:
        """Returns the spans of a kind, in the order of their end, once there are as many."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := [each for each in self.all() if each.kind == kind]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(found) == count
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    kept = Spans()
    use_tracer(kept.tracer)
    yield kept
    use_tracer(trace.NoOpTracer())


async def echo(request: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(reply=request.prompt)


async def tell_ids(_: interpreter_pb2.InterpretRequest) -> interpreter_pb2.Interpretation:
    """Answers with what a log line of the call says of its trace."""
    forwarded = dict(request_context.forwarded_metadata.get())
    return interpreter_pb2.Interpretation(reply=json.dumps({**trace_ids(), **forwarded}))


async def interpret(answer: Callable, **options) -> str:
    async with serving(answer) as address, aio.insecure_channel(address) as channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        found = await stub.Interpret(interpreter_pb2.InterpretRequest(prompt="hi"), **options)
        return found.reply


def traceparent(text: str) -> dict:
    return {"metadata": (("traceparent", text),)}


def parent_of(found: ReadableSpan) -> int | None:
    return found.parent.span_id if found.parent else None


async def test_a_call_of_another_service_lies_below_the_call_that_made_it(spans: Spans):
    async with serving(echo) as inner_address, connect(inner_address) as channel:
        inner = interpreter_pb2_grpc.InterpreterServiceStub(channel)

        async def first(request):
            request_context.forward(turn_id="t-1")
            return await inner.Interpret(request)

        await interpret(first, **traceparent(f"00-{TRACE}-{PARENT}-01"))
    called, caller = await spans.of(SpanKind.SERVER, 2)
    (between,) = await spans.of(SpanKind.CLIENT)
    assert caller.name == between.name == called.name == INTERPRET
    assert parent_of(caller) == int(PARENT, 16)
    assert parent_of(between) == caller.context.span_id
    assert parent_of(called) == between.context.span_id
    assert {each.context.trace_id for each in spans.all()} == {int(TRACE, 16)}
    assert caller.attributes["rpc.service"] == INTERPRETER
    assert caller.attributes["rpc.method"] == "Interpret"
    assert caller.attributes["rpc.grpc.status_code"] == 0
    assert between.attributes["rpc.grpc.status_code"] == 0
    assert caller.attributes["mixdown.turn_id"] == called.attributes["mixdown.turn_id"] == "t-1"


@pytest.mark.parametrize(
    "text",
    ["00-abc", "", "f" * 4000, f"00-{'0' * 32}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01", "'; --"],
)
async def test_a_malformed_trace_context_begins_a_new_trace(spans: Spans, text: str):
    await interpret(echo, **traceparent(text))
    (found,) = await spans.of(SpanKind.SERVER)
    assert found.parent is None
    assert found.context.is_valid


async def test_a_caller_that_wants_no_trace_gets_none(spans: Spans):
    told = json.loads(await interpret(tell_ids, **traceparent(f"00-{TRACE}-{PARENT}-00")))
    assert told["trace_id"] == TRACE
    assert spans.all() == ()


async def test_without_a_collector_logs_still_tell_the_trace_that_a_request_came_with():
    given = f"00-{TRACE}-{PARENT}-01"
    told = json.loads(await interpret(tell_ids, **traceparent(given)))
    assert told["trace_id"] == TRACE
    assert told["traceparent"] == given  # and it goes on to other services
    assert "trace_id" not in json.loads(await interpret(tell_ids))


async def test_log_lines_name_the_trace_and_the_span(spans: Spans):
    told = json.loads(await interpret(tell_ids))
    (found,) = await spans.of(SpanKind.SERVER)
    assert told["trace_id"] == trace.format_trace_id(found.context.trace_id)
    assert told["span_id"] == trace.format_span_id(found.context.span_id)


async def busy(_):
    raise TooBusyError("The secret word is swordfish.")


async def broken(_):
    raise ValueError("the password is swordfish")


@pytest.mark.parametrize(
    ("answer", "code", "reason", "status"),
    [(busy, 8, "TOO_BUSY", StatusCode.UNSET), (broken, 13, "INTERNAL", StatusCode.ERROR)],
)
async def test_an_error_marks_the_span_by_its_reason_and_never_by_its_words(
    spans: Spans, answer, code, reason, status
):
    with pytest.raises(aio.AioRpcError):
        await interpret(answer)
    (found,) = await spans.of(SpanKind.SERVER)
    assert found.attributes["rpc.grpc.status_code"] == code
    assert found.attributes["mixdown.reason"] == reason
    assert found.status.status_code == status
    assert "swordfish" not in found.to_json()


async def test_a_stream_has_one_span_on_each_side_until_its_end(spans: Spans):
    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        for _ in range(3):
            await asyncio.sleep(0.05)
            yield remixer_pb2.RenderResponse()

    async with serving(stream=stream) as address, connect(address) as channel:
        with span("a turn", root=True):
            call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
            assert len([response async for response in call]) == 3
        (server,) = await spans.of(SpanKind.SERVER)
        (client,) = await spans.of(SpanKind.CLIENT)
    assert parent_of(server) == client.context.span_id
    for found in (server, client):
        assert found.end_time - found.start_time >= 0.14e9  # three sleeps, by another clock


async def test_a_stream_that_the_caller_leaves_ends_its_spans(spans: Spans):
    async def stream() -> AsyncIterator[remixer_pb2.RenderResponse]:
        while True:
            yield remixer_pb2.RenderResponse(audio=remixer_pb2.OutputAudio(data=bytes(1 << 16)))
            await asyncio.sleep(0)

    async with serving(stream=stream) as address, connect(address) as channel:
        with span("a turn", root=True):
            call = remixer_pb2_grpc.RemixerServiceStub(channel).Render(remixer_pb2.RenderRequest())
            await anext(aiter(call))
            call.cancel()
        (server,) = await spans.of(SpanKind.SERVER)
        (client,) = await spans.of(SpanKind.CLIENT)
    for found in (server, client):
        assert found.attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
        assert found.status.status_code == StatusCode.UNSET


async def test_what_nobody_asked_for_leaves_no_trace(spans: Spans):
    async with serving(echo) as address, connect(address) as channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        await stub.Interpret(interpreter_pb2.InterpretRequest())
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    await asyncio.sleep(0.1)
    assert spans.all() == ()


async def test_work_that_outlives_its_request_stays_in_its_trace(spans: Spans):
    tasks = []
    has_been_answered = asyncio.Event()

    async def detach(request):
        async def work() -> None:
            await has_been_answered.wait()
            with span("work"):
                tracing.describe(size=3)

        tasks.append(asyncio.create_task(work()))
        return interpreter_pb2.Interpretation()

    await interpret(detach)
    has_been_answered.set()
    await asyncio.gather(*tasks)
    (request,) = await spans.of(SpanKind.SERVER)
    (work,) = await spans.of(SpanKind.INTERNAL)
    assert work.context.trace_id == request.context.trace_id
    assert parent_of(work) == request.context.span_id
    assert work.start_time > request.end_time
    assert work.attributes == {"mixdown.size": 3}


async def test_work_that_is_cancelled_is_no_error(spans: Spans):
    with pytest.raises(asyncio.CancelledError), span("work", root=True):
        raise asyncio.CancelledError
    (work,) = await spans.of(SpanKind.INTERNAL)
    assert work.attributes == {"mixdown.cancelled": True}
    assert work.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize(
    ("ratio", "flags", "kept"),
    [(1.0, "01", 200), (1.0, "00", 0), (0.5, "01", 100), (0.0, "01", 0)],
)
def test_a_part_of_the_traces_is_kept_whatever_callers_ask_for(ratio, flags, kept):
    def answer(parent: str) -> None:
        server = begin_server_span("/a.B/C", {"traceparent": parent})
        end_server_span(server, "OK", "")

    exporter = InMemorySpanExporter()
    send_spans("test", exporter, ratio)
    try:
        random = Random(1)
        for _ in range(200):
            parent = f"00-{random.getrandbits(128):032x}-{PARENT}-{flags}"
            contextvars.copy_context().run(answer, parent)
        assert tracing._tracer.span_processor.force_flush()
    finally:
        use_tracer(trace.NoOpTracer())
    assert len(exporter.get_finished_spans()) == pytest.approx(kept, abs=25 if kept == 100 else 0)


@pytest.mark.parametrize("by", ["our setting", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_spans_are_sent_to_the_collector_that_is_named(by: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with running_collector() as collector:
        if by != "our setting":
            monkeypatch.setenv(by, collector.address)
        configure_tracing("test", collector.address if by == "our setting" else "")
        try:
            assert tracing.is_tracing()
            with span("work", root=True) as begun:
                pass
            assert tracing._tracer.span_processor.force_flush()
        finally:
            use_tracer(trace.NoOpTracer())
        trace_id = trace.format_trace_id(begun.get_span_context().trace_id)
        (found,) = collector.trace(trace_id)
    assert (found.service, found.name) == ("mixdown-test", "work")
    assert found.resource["deployment.environment.name"] == "test"


def test_nothing_is_traced_where_no_collector_is_named(monkeypatch: pytest.MonkeyPatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    configure_tracing("test", "")
    assert not tracing.is_tracing()


PROGRAM = """
import asyncio, logging, sys, time
from services.runtime.logs import configure_logs
from services.runtime.tracing import configure_tracing, span
configure_logs("test", "info", "json")
configure_tracing("test", sys.argv[1])
for _ in range(10_000):
    with span("work", root=True):
        pass
print(time.monotonic(), flush=True)
time.sleep(0.5)
"""


@pytest.mark.parametrize("kind", ["refuses", "says nothing"])
def test_a_collector_that_is_away_delays_neither_the_work_nor_the_end(kind: str, tmp_path: Path):
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if kind == "says nothing":
            silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, endpoint],
            capture_output=True,
            text=True,
            check=True,
            timeout=2 * PATIENCE_SECONDS,
            cwd=Path(__file__).parents[3],
            # An export that is waited for takes ten minutes.
            env={
                **os.environ,
                "OTEL_BSP_SCHEDULE_DELAY": "100",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
            },
        )
        ended = time.monotonic()  # by a clock that all processes share
    worked = float(done.stdout)
    assert ended - worked < 25  # the SDK's own end takes thirty seconds
    lines = done.stderr.splitlines()
    assert all(json.loads(line)["service"] == "test" for line in lines)  # log lines, no traceback
    assert len(lines) < 20
