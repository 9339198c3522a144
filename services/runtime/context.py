"""What travels with a request through every service: ids and the deadline.

The server interceptor takes them from the metadata and the deadline of the call; the client
interceptors of `channels.py` pass them on.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

from services.runtime import tracing

REQUEST_ID_KEY = "x-request-id"
"""Metadata key of the request id; Envoy sets it."""

FORWARDED_KEYS = (REQUEST_ID_KEY, "x-mixdown-session-id", "x-mixdown-turn-id", "traceparent")
"""Metadata that a service passes on to the services it calls."""

forwarded_metadata: ContextVar[tuple[tuple[str, str], ...]] = ContextVar(
    "forwarded_metadata", default=()
)
"""Metadata of the request in hand that outgoing calls carry too."""

deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When the request in hand must be answered, on the clock of `time.monotonic`; None for never."""


_MAX_ID_CHARACTERS = 128


def forward(**ids: str) -> None:
    """Adds ids to what outgoing calls carry, and to the span: `forward(turn_id=…)`.

    What cannot be an id of ours is left out: callers write what they like, and metadata holds only
    printable ASCII.
    """
    ids = {
        name: value
        for name, value in ids.items()
        if value.isascii() and value.isprintable() and len(value) <= _MAX_ID_CHARACTERS
    }
    tracing.describe(**ids)
    added = tuple((f"x-mixdown-{name.replace('_', '-')}", value) for name, value in ids.items())
    names = {name for name, _ in added}
    kept = tuple(pair for pair in forwarded_metadata.get() if pair[0] not in names)
    forwarded_metadata.set((*kept, *added))


def remaining_seconds() -> float | None:
    """Returns the time left for the request in hand, at least 0; None where it has no deadline."""
    limit = deadline.get()
    return None if limit is None else max(0.0, limit - time.monotonic())
