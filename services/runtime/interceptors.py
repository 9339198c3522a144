"""What happens around every call that a server answers.

Ids are bound to the logs, a span begins, the deadline is remembered for outgoing calls, errors
become rich statuses, and when the call ends it is counted and one line is logged.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, cast

import grpc
import structlog
from grpc import aio
from grpc_status import rpc_status

from services.runtime import context as request_context
from services.runtime import tracing
from services.runtime.errors import InternalError, MixdownError, status_of
from services.runtime.malformed import check, forgiving
from services.runtime.rpc_metrics import DEFECTS, MethodMetrics, metrics_of
from services.runtime.rpc_tracing import begin_server_span, end_server_span

_log = structlog.get_logger("mixdown.rpc")

_QUIET_METHODS = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class RequestInterceptor(aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Wraps every handler as told in the module's docstring."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the handler that `continuation` finds, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:  # an unknown method: gRPC answers UNIMPLEMENTED
            return handler
        method = handler_call_details.method
        make, inner = _FACTORIES[handler.request_streaming, handler.response_streaming]
        behaviour = getattr(handler, inner)
        is_ours = not method.startswith(_QUIET_METHODS)
        deserialize = handler.request_deserializer
        if is_ours:
            deserialize = forgiving(deserialize)
        if handler.request_streaming and is_ours:
            behaviour = _read_requests(behaviour, metrics_of(method))
        # A handler that is no generator sends its answers itself, as `Watch` of the health check.
        yields = handler.response_streaming and not inspect.iscoroutinefunction(behaviour)
        wrapped = _wrap_stream(behaviour, method) if yields else _wrap_unary(behaviour, method)
        return make(
            wrapped,
            request_deserializer=deserialize,
            response_serializer=handler.response_serializer,
        )


_FACTORIES: dict[tuple[bool, bool], tuple[Callable[..., grpc.RpcMethodHandler[Any, Any]], str]] = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}


def _read_requests(behaviour: Callable[..., Any], metrics: MethodMetrics) -> Callable[..., Any]:
    def handle(requests: AsyncIterator[Any], context: aio.ServicerContext[Any, Any]) -> Any:
        return behaviour(_Requests(requests, metrics), context)

    return handle


class _Requests:
    """A stream of requests, counted and checked as they are read."""

    def __init__(self, requests: AsyncIterator[Any], metrics: MethodMetrics) -> None:
        self._requests = aiter(requests)
        self._metrics = metrics

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        request = await anext(self._requests)
        self._metrics.received.inc()
        check(request)
        return request


def _wrap_unary(behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Any]:
    async def handle(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        call = _Call(method, context)
        try:
            check(request)
            response = await behaviour(request, context)
        except BaseException as error:  # noqa: BLE001 - the one place where every error is told
            await call.fail(error)
        call.succeed()
        return response

    return handle


def _wrap_stream(behaviour: Callable[..., AsyncIterator[Any]], method: str) -> Callable[..., Any]:
    async def handle(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        call = _Call(method, context)
        responses = behaviour(request, context)
        # A caller that goes away while a message is being sent leaves us both at a `yield`, for
        # good: grpc closes no generator. So the end of the call closes it.
        # (The stubs of grpc name a class where any callable is meant.)
        context.add_done_callback(cast("Any", lambda _: _closings.start(responses)))
        try:
            check(request)
            async for response in responses:
                call.count_sent()
                yield response
        except BaseException as error:  # noqa: BLE001 - the one place where every error is told
            # A generator that is left for good cleans up now, not when it is collected.
            await _close(responses)
            await call.fail(error)
        call.succeed()

    return handle


async def _close(responses: AsyncIterator[Any]) -> None:
    close = getattr(responses, "aclose", None)
    if close is not None:
        await close()


class _Closings:
    """Generators that are being closed; kept, because a loop forgets tasks that nobody holds."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, responses: AsyncIterator[Any]) -> None:
        """Closes a generator that was left at a `yield`; one that has ended is closed already."""
        task = asyncio.create_task(self._close(responses))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, responses: AsyncIterator[Any]) -> None:
        if not getattr(responses, "ag_running", False):  # else its own task is ending it
            await _close(responses)


_closings = _Closings()


class _Call:
    """One call: its ids, its clock, its end."""

    def __init__(self, method: str, context: aio.ServicerContext[Any, Any]) -> None:
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self._method = method
        self._context = context
        self._began = time.monotonic()
        self._metrics = None if method.startswith(_QUIET_METHODS) else metrics_of(method)
        self._has_ended = False
        self._request_id = metadata.get(request_context.REQUEST_ID_KEY) or uuid.uuid4().hex
        metadata[request_context.REQUEST_ID_KEY] = self._request_id
        request_context.forwarded_metadata.set(
            tuple((key, metadata[key]) for key in request_context.FORWARDED_KEYS if key in metadata)
        )
        left = context.time_remaining()
        request_context.deadline.set(None if left is None else self._began + left)
        ids = {
            name: metadata[f"x-mixdown-{name.replace('_', '-')}"]
            for name in ("session_id", "turn_id")
            if f"x-mixdown-{name.replace('_', '-')}" in metadata
        }
        structlog.contextvars.bind_contextvars(request_id=self._request_id, **ids)
        if self._metrics is not None:
            self._metrics.begin()
            self._span = begin_server_span(method, metadata)
            tracing.describe(request_id=self._request_id, **ids)
        # A stream whose caller left while a message was being sent ends without a word of ours.
        known = contextvars.copy_context()
        context.add_done_callback(cast("Any", lambda _: known.run(self._end, self._interrupted())))

    def _interrupted(self) -> str:
        """Returns the code of a call that ended before it was answered."""
        remaining = self._context.time_remaining()
        return "CANCELLED" if remaining is None or remaining > 0 else "DEADLINE_EXCEEDED"

    def count_sent(self) -> None:
        """Counts a message of the answer."""
        if self._metrics is not None:
            self._metrics.sent.inc()

    def succeed(self) -> None:
        """Logs the end of a call that was answered."""
        self._end("OK")

    async def fail(self, error: BaseException) -> NoReturn:
        """Tells the caller what went wrong, and logs it."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            # Swallowing a cancellation would leave the call open (grpc/grpc#43360).
            self._end(self._interrupted())
            raise error
        if isinstance(error, aio.AbortError):
            code = self._context.code()
            self._end(code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN")
            raise error
        if isinstance(error, MixdownError):
            self._end(error.code.name, reason=error.reason, error=error.message)
            await self._context.abort_with_status(status_of(error))
        if isinstance(error, aio.AioRpcError):
            await self._pass_on(error)
        if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit
            raise error
        DEFECTS.inc()
        _log.error("defect", method=self._method, exc_info=error)
        self._end("INTERNAL", reason="INTERNAL")
        defect = InternalError(f"Something went wrong on our side (request {self._request_id}).")
        await self._context.abort_with_status(status_of(defect))
        raise AssertionError("abort_with_status always raises")

    async def _pass_on(self, error: aio.AioRpcError) -> None:
        """Answers what the called service answered, reason and details included."""
        self._end(error.code().name, error=error.details() or "")
        status = rpc_status.from_call(cast("grpc.Call", error))
        if status is not None:
            await self._context.abort_with_status(rpc_status.to_status(status))
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED}:
            await self._context.abort_with_status(status_of(ServiceUnavailableError()))
        await self._context.abort(error.code(), error.details() or "")

    def _end(self, code: str, **details: str) -> None:
        if self._has_ended or self._metrics is None:
            return
        self._has_ended = True
        seconds = time.monotonic() - self._began
        self._metrics.end(seconds, code)
        _log.info("rpc", method=self._method, code=code, seconds=round(seconds, 4), **details)
        end_server_span(self._span, code, details.get("reason", ""))


class ServiceUnavailableError(MixdownError):
    """A service that is needed for the answer cannot be reached now."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "A part of Mixdown cannot be reached now. Please try again.", retry_after_seconds=1.0
        )
