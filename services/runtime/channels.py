"""Connections to other services, which carry ids, traces and deadlines on.

A call made while a request is answered gets that request's ids as metadata, a span below that
request's, and at most the time that is left of its deadline; when the request is cancelled, so is
the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from grpc import aio

from services.runtime import context as request_context
from services.runtime import tracing
from services.runtime.renewed_channel import RenewedChannel
from services.runtime.rpc_tracing import TRACEPARENT, ClientSpan
from services.runtime.tls import TlsFiles

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
    # What Envoy lets in of a caller's headers (32 KiB), and what it adds: beyond 8 KiB calls would
    # fail now and then, beyond 16 always.
    ("grpc.max_metadata_size", 40 * 1024),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A service that restarts is found again within seconds (the default backs off to two minutes).
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A rendered file waits for the client at every step: small windows keep the pipe short.
    ("grpc.http2.bdp_probe", 0),
)

AUDIO_OPTIONS: tuple[tuple[str, int], ...] = (
    *OPTIONS,
    # Audio comes in messages of half a megabyte: by the windows of 64 KiB that are usual each one
    # stops and goes on several times, and every piece wakes everybody on its way.
    ("grpc.http2.lookahead_bytes", 256 * 1024),
)


def connect(
    target: str, tls: TlsFiles | None = None, *, carries_audio: bool = False
) -> aio.Channel:
    """Opens a channel to a service; nothing is sent yet.

    Args:
        target: host:port within the cluster.
        tls: What we show and believe; None talks in the clear.
        carries_audio: Whether the service sends audio; then more of it may wait
            here, 256 KiB a call.

    Raises:
        OSError: the files of TLS cannot be read.
    """
    options = AUDIO_OPTIONS if carries_audio else OPTIONS
    interceptors = [_UnaryUnary(), _UnaryStream(), _StreamUnary()]
    if tls is None:
        return aio.insecure_channel(target, options=options, interceptors=interceptors)
    return RenewedChannel(
        tls, lambda shown: aio.secure_channel(target, shown, options, interceptors=interceptors)
    )


async def _call(continuation: Callable[..., Any], details: Any, request: Any) -> Any:
    """Makes a call, with what the request in hand gives it."""
    if not tracing.is_tracing():  # the trace that the request came with goes on all the same
        return await continuation(_carry(details, {}), request)
    method = details.method
    span = ClientSpan(method.decode() if isinstance(method, bytes) else method)
    try:
        call = await continuation(_carry(details, span.metadata()), request)
    except BaseException as error:
        span.fail(error)
        raise
    span.end_with(call)
    return call


def _carry(details: aio.ClientCallDetails, trace: Mapping[str, str]) -> aio.ClientCallDetails:
    metadata = aio.Metadata(*(details.metadata or ()))
    said = set(metadata.keys())
    forwarded = dict(request_context.forwarded_metadata.get())
    if trace:
        forwarded.pop(TRACEPARENT, None)
    for key, value in {**forwarded, **trace}.items():
        if key not in said:
            metadata.add(key, value)
    limits = (details.timeout, request_context.remaining_seconds())
    timeout = min((limit for limit in limits if limit is not None), default=None)
    return aio.ClientCallDetails(
        method=details.method,
        timeout=timeout,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class _UnaryUnary(aio.UnaryUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        return await _call(continuation, client_call_details, request)


class _UnaryStream(aio.UnaryStreamClientInterceptor):  # type: ignore[misc, unused-ignore]
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> AsyncIterator[Any]:
        call: AsyncIterator[Any] = await _call(continuation, client_call_details, request)
        return call


class _StreamUnary(aio.StreamUnaryClientInterceptor):  # type: ignore[misc, unused-ignore]
    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        return await _call(continuation, client_call_details, request_iterator)
