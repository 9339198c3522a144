"""A collector of traces that keeps what services send it by OTLP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)

from tests.patience import PATIENCE_SECONDS

SERVER, CLIENT = 2, 3
"""Kinds of spans."""


@dataclass(frozen=True)
class Span:
    """A span, as it came; `links` are the traces that it links to."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[str, ...]
    resource: dict[str, Any]

    @property
    def was_answered(self) -> bool:
        """Tells whether it is a call of another service that ended well."""
        return self.kind == CLIENT and self.attributes.get("rpc.grpc.status_code") == 0


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps all spans."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self.address = ""

    def Export(self, request, context):
        with self._lock:
            for group in request.resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    self._spans += [_span(resource, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id: str) -> list[Span]:
        """Returns the spans of a trace so far."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]

    def settled_trace(self, trace_id: str, seconds: float = PATIENCE_SECONDS) -> list[Span]:
        """Returns the spans of a trace once all are there and no more come for a while.

        Each has its parent then, and each call that was answered the span of who answered it, which
        is sent after those below it.
        """
        limit = time.monotonic() + seconds
        while True:
            spans = self.trace(trace_id)
            time.sleep(1.0)
            known = {span.span_id for span in spans}
            rooted = [span for span in spans if span.parent_id not in known]
            served = {span.parent_id for span in spans if span.kind == SERVER}
            unserved = [span for span in spans if span.was_answered and span.span_id not in served]
            is_whole = len(rooted) == 1 and not unserved
            if len(self.trace(trace_id)) == len(spans) and is_whole:
                return spans
            odd = [(span.service, span.name) for span in (*rooted, *unserved)]
            assert time.monotonic() < limit, odd


def _span(resource: dict[str, Any], span: Any) -> Span:
    return Span(
        service=resource["service.name"],
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        links=tuple(link.trace_id.hex() for link in span.links),
        resource=resource,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value")
        for each in attributes
    }


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Runs a collector on a free port."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    collector.address = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
