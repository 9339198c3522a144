"""A circuit breaker: after failures in a row a service is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed while calls succeed, open after `failures` in a row, then one call is let through.

    Args:
        failures: Failures in a row that open it.
        open_seconds: How long it stays open.
        clock: Seconds that never go back.
    """

    def __init__(
        self, failures: int, open_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures_allowed = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether the service is left alone, or only one call tries it."""
        return self._opened_at is not None

    def allows_call(self) -> bool:
        """Whether a call may be made now. When it opens again, only one call tries."""
        if self._opened_at is None:
            return True
        if self._clock() - self._opened_at < self._open_seconds or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures, self._opened_at, self._trying = 0, None, False

    def failed(self) -> None:
        """A call was not answered."""
        self._failures += 1
        if self._trying or self._failures >= self._failures_allowed:
            self._opened_at = self._clock()
        self._trying = False

    def abandoned(self) -> None:
        """A call ended without telling anything about the service: it was cancelled."""
        self._trying = False
