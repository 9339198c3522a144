"""Traces: which part of which service worked how long for one request, sent by OTLP.

Off until `configure_tracing` is given an endpoint; a span then costs next to nothing. Spans tell
names, sizes and seconds; never what users said, nor values of a statement, nor an error's message.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler

_log = structlog.get_logger("mixdown.tracing")

_STANDARD_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_SHUTDOWN_MILLIS = 1_500
"""How long a process that ends waits for its last spans to be taken."""

_tracer: trace.Tracer = trace.NoOpTracer()


def is_tracing() -> bool:
    """Returns whether spans of this process are kept."""
    return not isinstance(_tracer, trace.NoOpTracer)


def configure_tracing(service: str, endpoint: str, ratio: float = 1.0) -> None:
    """Has the spans of this process sent to a collector, where one is named.

    Args:
        service: Name of the service.
        endpoint: URL of a collector that takes OTLP over gRPC; "" for what the standard
            OTEL_EXPORTER_OTLP_ENDPOINT says. Without either nothing is traced.
        ratio: The part of the traces that is kept.
    """
    if endpoint or any(os.environ.get(name) for name in _STANDARD_ENDPOINTS):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=endpoint or None)  # None: as the environment says
        send_spans(service, exporter, ratio)
        _log.info("tracing", endpoint=endpoint or "as OTEL_EXPORTER_OTLP_ENDPOINT says")


def send_spans(service: str, exporter: SpanExporter, ratio: float = 1.0) -> None:
    """Has the spans of this process given to `exporter`, in batches, by a thread of its own.

    What cannot be sent is dropped; nobody waits for it, but at the end of the process 1.5 s.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Batches(BatchSpanProcessor):
        def shutdown(self) -> None:
            self._batch_processor.shutdown(timeout_millis=_SHUTDOWN_MILLIS)  # else 30 s

    resource = Resource.create(
        {
            "service.name": f"mixdown-{service}",
            "service.namespace": "mixdown",
            "service.version": version("mixdown"),
        }
    ).merge(OTELResourceDetector().detect())  # what the operator says comes first
    provider = TracerProvider(resource=resource, sampler=_sampler(ratio))
    provider.add_span_processor(Batches(exporter))
    use_tracer(provider.get_tracer("mixdown", version("mixdown")))


def _sampler(ratio: float) -> Sampler | None:
    """Returns who decides what is kept; None for what OTEL_TRACES_SAMPLER says.

    A trace is kept by its id, so that all services decide alike. That a caller from outside says it
    is sampled counts for nothing, or anybody could fill our store; that it says it is not, does.
    """
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    if os.environ.get("OTEL_TRACES_SAMPLER"):
        return None
    by_id = TraceIdRatioBased(ratio)
    return ParentBased(root=by_id, remote_parent_sampled=by_id)


def use_tracer(tracer: trace.Tracer) -> None:
    """Has all spans of this process made by `tracer`."""
    global _tracer  # noqa: PLW0603  # one for the process, as the logs have one
    _tracer = tracer


def begin_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[Link] | None = None,
    *,
    root: bool = False,
) -> Span:
    """Begins a span below the current one, without becoming the current one; `end_span` ends it.

    Where there is no current one nothing is begun, unless this may be a `root`: what a process does
    by itself (looking for turns to take over, cleaning) would be traces of one moment each.
    """
    if not root and not current_context().is_valid:
        return trace.INVALID_SPAN
    return _tracer.start_span(name, kind=kind, attributes=attributes, links=links)


def end_span(span: Span, error: BaseException | None = None) -> None:
    """Ends a span, marked by the kind of what it ended with."""
    if error is not None and span.is_recording():
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            span.set_attribute("mixdown.cancelled", True)
        else:
            kind = str(getattr(error, "reason", "") or type(error).__name__)
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR, kind))
    span.end()


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
    links: Sequence[Link] | None = None,
    *,
    root: bool = False,
) -> Iterator[Span]:
    """Makes what happens inside a span below the current one; arguments as for `begin_span`.

    Not around a `yield` of an async generator: its steps may run in another context each.
    """
    begun = begin_span(name, kind, attributes, links, root=root)
    with trace.use_span(begun, record_exception=False, set_status_on_exception=False):
        try:
            yield begun
        except BaseException as error:
            end_span(begun, error)
            raise
        end_span(begun)


def describe(**attributes: AttributeValue) -> None:
    """Adds attributes `mixdown.<name>` to the current span."""
    current = trace.get_current_span()
    for name, value in attributes.items():
        current.set_attribute(f"mixdown.{name}", value)


def current_context() -> SpanContext:
    """Returns what names the current span, for a link from elsewhere."""
    return trace.get_current_span().get_span_context()


def add_link(context: SpanContext) -> None:
    """Links the current span to one of another request."""
    trace.get_current_span().add_link(context)


def trace_ids() -> dict[str, str]:
    """Returns the ids of the current span for a log line; empty where there is none."""
    context = current_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
