"""Runs a service: listen, serve, tell health, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

import structlog
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime.channels import OPTIONS
from services.runtime.interceptors import RequestInterceptor
from services.runtime.memory import keep_freed_memory
from services.runtime.metrics import MetricsEndpoint, tell_build
from services.runtime.settings import Settings

_log = structlog.get_logger("mixdown.server")

LIVENESS = "liveness"
"""A name that the health check knows beside those of the services: SERVING from the start, though
what the services need is not there yet. For who restarts processes that hang."""


class Server:
    """A gRPC server with health and reflection.

    Args:
        settings: Where to listen and how long to drain.
        services: Full names of the services, for health and reflection.
        register: Adds the servicers to the server.
        on_drain: Called when the draining begins, to end calls that would go on for long.
        until_ready: Waits until the services have what they need. Until then the health check says
            NOT_SERVING of them; calls that come all the same are taken. What it raises, `run`
            raises.

    After `start`, `port` tells the port, and `metrics_port` that of the metrics, 0 where none are
    served; `run` serves until SIGTERM or SIGINT, or until `fail`.
    """

    def __init__(
        self,
        settings: Settings,
        services: Sequence[str],
        register: Callable[[aio.Server], None],
        on_drain: Callable[[], None] | None = None,
        until_ready: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._settings = settings
        self._services = services
        self._on_drain = on_drain
        self._until_ready = until_ready
        self._becoming_ready: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._failure: Exception | None = None
        self._health = health.aio.HealthServicer()
        self._server = aio.server(
            interceptors=[RequestInterceptor()],
            options=(*OPTIONS, ("grpc.so_reuseport", 0)),
        )
        register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (
                *services,
                reflection.SERVICE_NAME,
                health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            ),
            self._server,
        )
        self.port = (
            self._server.add_insecure_port(settings.listen)
            if settings.tls is None
            else self._server.add_secure_port(settings.listen, settings.tls.server_credentials())
        )
        self.metrics_port = 0
        self._metrics: MetricsEndpoint | None = None

    async def start(self) -> None:
        """Begins to serve, and says so to the health checks once it is ready.

        Raises:
            OSError: the address of the metrics is taken.
        """
        tell_build(self._services[0].split(".")[1])  # "mixdown.gateway.v1.GatewayService"
        if self._settings.metrics_listen:
            self._metrics = MetricsEndpoint(self._settings.metrics_listen)
            self.metrics_port = self._metrics.port
        await self._tell_health(is_ready=False)
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        if self._until_ready is None:
            await self._tell_health(is_ready=True)
        else:
            self._becoming_ready = asyncio.create_task(self._become_ready(self._until_ready))
        _log.info(
            "listening",
            address=self._settings.listen,
            port=self.port,
            metrics_port=self.metrics_port or None,
        )

    async def _become_ready(self, until_ready: Callable[[], Awaitable[object]]) -> None:
        await until_ready()
        await self._tell_health(is_ready=True)

    async def _tell_health(self, *, is_ready: bool) -> None:
        told = health_pb2.HealthCheckResponse
        status = told.SERVING if is_ready else told.NOT_SERVING
        for service in ("", *self._services):
            await self._health.set(service, status)

    def fail(self, error: Exception) -> None:
        """Has `run` stop as at a signal, and then raise `error`: only a new process can serve."""
        self._failure = self._failure or error
        self._stopping.set()

    async def stop(self) -> None:
        """Says NOT_SERVING, then takes no new call and lets the others end within `drain_seconds`.

        New calls are taken for `drain_notice_seconds` more: who balances has not yet heard of it.
        """
        await self._health.enter_graceful_shutdown()
        if self._becoming_ready is not None:
            self._becoming_ready.cancel()
        await asyncio.sleep(self._settings.drain_notice_seconds)
        if self._on_drain is not None:
            self._on_drain()
        await self._server.stop(self._settings.drain_seconds)
        if self._becoming_ready is not None:  # what it was loading is loaded to its end
            await asyncio.wait({self._becoming_ready})
        if self._metrics is not None:  # last: how the drain went is to be seen
            await asyncio.to_thread(self._metrics.close)

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains.

        Raises:
            Exception: what `until_ready` raised, or what `fail` was told.
        """
        keep_freed_memory()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stopping.set)
        await self.start()
        if self._becoming_ready is not None:
            self._becoming_ready.add_done_callback(self._fail_with)
        await self._stopping.wait()
        _log.info(
            "draining",
            notice_seconds=self._settings.drain_notice_seconds,
            seconds=self._settings.drain_seconds,
        )
        await self.stop()
        if self._failure is not None:
            raise self._failure

    def _fail_with(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self.fail(error)
