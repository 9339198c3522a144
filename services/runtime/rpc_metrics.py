"""How often the calls of a server come, how they end, and how long they take."""

from __future__ import annotations

import functools

from services.runtime.metrics import counter, gauge, histogram

_METHOD = ("grpc_service", "grpc_method")

_STARTED = counter("mixdown_rpc_started_total", "Calls that began.", _METHOD)
_HANDLED = counter(
    "mixdown_rpc_handled_total", "Calls that ended, by status code.", (*_METHOD, "grpc_code")
)
DEFECTS = counter("mixdown_rpc_defects_total", "Calls that ended with an error of our code.")
_SECONDS = histogram(
    "mixdown_rpc_seconds", "How long calls took; streams until their end.", _METHOD
)
_IN_PROGRESS = gauge("mixdown_rpc_in_progress", "Calls under way.", _METHOD)
_SENT = counter("mixdown_rpc_messages_sent_total", "Messages sent in streams.", _METHOD)
_RECEIVED = counter("mixdown_rpc_messages_received_total", "Messages received in streams.", _METHOD)


class MethodMetrics:
    """The metrics of one method.

    Args:
        method: As gRPC names it, "/package.Service/Method".
    """

    def __init__(self, method: str) -> None:
        service, _, name = method.lstrip("/").rpartition("/")
        self._labels = (service, name)
        self._started = _STARTED.labels(*self._labels)
        self._seconds = _SECONDS.labels(*self._labels)
        self._in_progress = _IN_PROGRESS.labels(*self._labels)
        self.sent = _SENT.labels(*self._labels)
        self.received = _RECEIVED.labels(*self._labels)
        _HANDLED.labels(*self._labels, "OK")  # a rate of errors needs both from the beginning

    def begin(self) -> None:
        """Counts a call that begins."""
        self._started.inc()
        self._in_progress.inc()

    def end(self, seconds: float, code: str) -> None:
        """Counts a call that has ended with this status code, after so long."""
        self._in_progress.dec()
        self._seconds.observe(seconds)
        _HANDLED.labels(*self._labels, code).inc()


@functools.cache
def metrics_of(method: str) -> MethodMetrics:
    """Returns the metrics of a method that exists (others would be without bound)."""
    return MethodMetrics(method)
