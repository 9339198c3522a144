"""Spans of calls, on both sides, and the trace context that travels between them.

It travels as W3C `traceparent` in the metadata, which Envoy passes on untouched. What comes from
outside is only ever parsed: what is malformed begins a new trace.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import grpc
from grpc import aio
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.runtime import tracing

TRACEPARENT = "traceparent"

_FIELDS = (TRACEPARENT, "tracestate")

_OUR_FAULT = {
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
}
"""Codes that mark the span of a server as an error: what the caller did wrong does not."""

_propagator = TraceContextTextMapPropagator()
_endings: set[asyncio.Task[None]] = set()


def begin_server_span(method: str, metadata: dict[str, str]) -> Span:
    """Begins the span of a call that is answered, and makes it the current one of this task."""
    carrier = {name: metadata[name] for name in _FIELDS if name in metadata}
    otel_context.attach(_propagator.extract(carrier, otel_context.Context()))
    name = method.lstrip("/")
    span = tracing.begin_span(name, SpanKind.SERVER, _attributes(method), root=True)
    otel_context.attach(trace.set_span_in_context(span))
    return span


def end_server_span(span: Span, code: str, reason: str) -> None:
    """Ends the span of a call that was answered with this code."""
    _set_code(span, grpc.StatusCode[code])
    if reason:
        span.set_attribute("mixdown.reason", reason)
    if code in _OUR_FAULT:
        span.set_status(Status(StatusCode.ERROR, reason or code))
    span.end()


def current_trace_parent() -> str:
    """Returns the current span as W3C `traceparent`, to be kept; "" where there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def link_to(trace_parent: str) -> None:
    """Links the current span to a span that was kept, where that is of another trace."""
    found = trace.get_current_span(
        _propagator.extract({TRACEPARENT: trace_parent}, otel_context.Context())
    ).get_span_context()
    if found.is_valid and found.trace_id != tracing.current_context().trace_id:
        tracing.add_link(found)


class ClientSpan:
    """The span of a call that is made.

    What nobody asked for (looking for turns to take over, cleaning, renewing a lease) has no span:
    then the called service is told to keep none either.
    """

    def __init__(self, method: str) -> None:
        self._span = tracing.begin_span(method.lstrip("/"), SpanKind.CLIENT, _attributes(method))

    def metadata(self) -> dict[str, str]:
        """Returns what tells the called service of this trace."""
        carrier: dict[str, str] = {}
        span = self._span
        if not span.get_span_context().is_valid:
            span = trace.NonRecordingSpan(_not_sampled())
        _propagator.inject(carrier, trace.set_span_in_context(span, otel_context.Context()))
        return carrier

    def end_with(self, call: aio.Call) -> None:
        """Ends the span when the call ends."""
        if self._span.is_recording():
            call.add_done_callback(self._end)

    def fail(self, error: BaseException) -> None:
        """Ends the span of a call that could not be made."""
        tracing.end_span(self._span, error)

    def _end(self, call: Any) -> None:
        # A call that has ended tells its code at once, but only to who awaits it.
        task = asyncio.get_running_loop().create_task(self._end_by_code(call, time.time_ns()))
        _endings.add(task)
        task.add_done_callback(_endings.discard)

    async def _end_by_code(self, call: aio.Call, ended: int) -> None:
        code = await call.code()
        _set_code(self._span, code)
        if code not in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}:
            self._span.set_status(Status(StatusCode.ERROR, code.name))
        self._span.end(ended)


def _not_sampled() -> SpanContext:
    return SpanContext(secrets.randbits(128), secrets.randbits(64), is_remote=False)


def _attributes(method: str) -> dict[str, str]:
    service, _, name = method.lstrip("/").rpartition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _set_code(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.grpc.status_code", code.value[0])
