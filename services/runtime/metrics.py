"""What a process counts and measures, and where Prometheus fetches it.

A service declares its metrics once, in its `metrics.py`, and counts where things happen:

    TURNS = counter("mixdown_gateway_turns_total", "Turns that ended, by outcome.", ("outcome",))
    TURNS.labels("completed").inc()

Names follow Prometheus: `mixdown_<service>_<what>_<unit>`, counters end in `_total`. Labels take
few values that the code knows: never a user, a session, a track, or words that somebody said.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

# When each count began: twice as many samples, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""All metrics of this process."""

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

SECONDS_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""From a look into a table to an hour of music."""

OUTCOMES = ("completed", "cancelled", "refused", "failed")
"""What `outcome_of` returns."""

_PREFIX = "mixdown_"

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def counter(name: str, description: str, labels: Sequence[str] = ()) -> Counter:
    """Declares a count that only grows; its name ends in `_total`."""
    _check(name)
    assert name.endswith("_total"), name
    return Counter(name, description, labels, registry=REGISTRY)


def gauge(name: str, description: str, labels: Sequence[str] = ()) -> Gauge:
    """Declares a value that goes up and down."""
    _check(name)
    return Gauge(name, description, labels, registry=REGISTRY)


def histogram(
    name: str,
    description: str,
    labels: Sequence[str] = (),
    buckets: Sequence[float] = SECONDS_BUCKETS,
) -> Histogram:
    """Declares a distribution; seconds by default, in buckets from 5 ms to 10 min."""
    _check(name)
    return Histogram(name, description, labels, registry=REGISTRY, buckets=buckets)


def begin_at_zero(metric: Counter, *labels: Sequence[str]) -> None:
    """Exports a count for each combination of label values before anything is counted.

    Prometheus sees a growth only after it has seen where it began: the first failure would be lost.
    """
    for values in itertools.product(*labels):
        metric.labels(*values)


def _check(name: str) -> None:
    assert name.startswith(_PREFIX), name


_BUILD = gauge(
    "mixdown_build_info", "1, with what runs in this process as labels.", ("component", "version")
)


def tell_build(service: str) -> None:
    """Says which service runs in this process, and its version."""
    _BUILD.labels(service, version("mixdown")).set(1)


class MetricsEndpoint:
    """Serves `/metrics` over HTTP, in threads of its own: a busy event loop is seen too.

    Args:
        listen: host:port; port 0 takes a free one.

    Raises:
        OSError: the address is taken.

    Attributes:
        port: The port that is listened on.
    """

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._server, self._thread = start_http_server(
            int(port), host.strip("[]"), registry=REGISTRY
        )
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Ends serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def outcome_of(error: BaseException | None) -> str:
    """Returns how work ended that ended with `error`, as a label.

    "completed"; "cancelled" where nobody wanted it any more; "refused" where the caller was told
    what to do better, or to come back later; "failed" where it was our fault.
    """
    if error is None:
        return "completed"
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        return "cancelled"
    code: object = getattr(error, "code", None)  # a MixdownError's, or what a called service said
    return "refused" if (code() if callable(code) else code) in _REFUSALS else "failed"


@contextmanager
def counted(ended: Counter) -> Iterator[None]:
    """Counts what happens inside by its outcome, the one label of `ended`."""
    try:
        yield
    except BaseException as error:
        ended.labels(outcome_of(error)).inc()
        raise
    ended.labels(outcome_of(None)).inc()
