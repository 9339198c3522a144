"""What the gateway counts and measures; never who asks, and never what is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from mixdown.conversation.v1 import conversation_pb2
from services.gateway.errors import LeaseLostError
from services.runtime.interceptors import ServiceUnavailableError
from services.runtime.metrics import OUTCOMES, begin_at_zero, counter, gauge, histogram

_TURNS = counter(
    "mixdown_gateway_turns_total",
    "Turns that ended here: completed, refused for what was asked, failed, or cancelled.",
    ("outcome",),
)
_TURN_ERRORS = counter(
    "mixdown_gateway_turn_errors_total",
    "Turns that were refused or failed, by the reason of the error.",
    ("reason",),
)
begin_at_zero(_TURNS, OUTCOMES)
_TURN_SECONDS = histogram(
    "mixdown_gateway_turn_seconds",
    "How long the work on turns took that were completed, by the kind of intent.",
    ("intent",),
)
_INTERRUPTED = counter(
    "mixdown_gateway_turns_interrupted_total",
    "Times that work on a turn stopped before its end (the caller left, a service stayed away, we "
    "drain); whoever watches the turn, or a takeover, goes on with it.",
)
_LEASES_LOST = counter(
    "mixdown_gateway_leases_lost_total",
    "Times that work on a turn stopped because it was cancelled or taken over, or the lease could "
    "not be renewed.",
)
TAKEOVERS = counter(
    "mixdown_gateway_takeovers_total", "Turns taken over from a gateway that died or was too slow."
)
RETRIES = counter(
    "mixdown_gateway_retries_total",
    "Calls of other services that were made again, by what the last one ended with.",
    ("grpc_code",),
)
_TURNS_IN_PROGRESS = gauge("mixdown_gateway_turns_in_progress", "Turns that are worked on here.")

_STREAMS = gauge("mixdown_gateway_streams", "Streams of turns that are open.")
_FIRST_EVENT_SECONDS = histogram(
    "mixdown_gateway_first_event_seconds", "From the call of a new turn to its first event."
)
_REPLY_SECONDS = histogram(
    "mixdown_gateway_reply_seconds", "From the call of a new turn to what it is understood to mean."
)
_FIRST_AUDIO_SECONDS = histogram(
    "mixdown_gateway_first_audio_seconds",
    "From the call of a new turn to its first audio: with stems that were at hand (or none "
    "needed), or separated meanwhile.",
    ("stems",),
)
SENT_BYTES = counter(
    "mixdown_gateway_sent_bytes_total",
    "Bytes of audio sent to callers: in streams of turns, and in downloads.",
    ("way",),
)

UPLOADS = counter(
    "mixdown_gateway_uploads_total",
    "Uploads that ended: completed, refused, cut off by the caller (cancelled), or failed.",
    ("outcome",),
)
begin_at_zero(UPLOADS, OUTCOMES)
UPLOAD_BYTES = counter("mixdown_gateway_upload_bytes_total", "Bytes of uploads that were received.")
PROBE_SECONDS = histogram(
    "mixdown_gateway_probe_seconds", "How long the checks of uploaded files took, without waiting."
)
DELETED = counter(
    "mixdown_gateway_deleted_files_total", "Files deleted because nobody refers to them."
)

_ASKED_WRONGLY = {
    grpc.StatusCode.INVALID_ARGUMENT.value[0],
    grpc.StatusCode.NOT_FOUND.value[0],
    grpc.StatusCode.OUT_OF_RANGE.value[0],
    grpc.StatusCode.FAILED_PRECONDITION.value[0],
}


def observe_turns(count: Callable[[], int]) -> None:
    """Has the turns that are worked on counted whenever metrics are fetched."""
    _TURNS_IN_PROGRESS.set_function(count)


@contextmanager
def working() -> Iterator[None]:
    """Counts the work on a turn that stops before its end."""
    try:
        yield
    except LeaseLostError:
        _LEASES_LOST.inc()
        raise
    except (asyncio.CancelledError, ServiceUnavailableError):
        _INTERRUPTED.inc()
        raise


def count_completed(interpreted: conversation_pb2.Interpreted, seconds: float) -> None:
    """Counts a turn that was completed, and how long the work on it took."""
    _TURNS.labels("completed").inc()
    intent = interpreted.intent.WhichOneof("kind") or ""
    _TURN_SECONDS.labels(intent).observe(seconds)


def count_failed(error: conversation_pb2.Error) -> None:
    """Counts a turn that failed; apart from others what only the caller can do better."""
    outcome = "refused" if error.code in _ASKED_WRONGLY else "failed"
    _TURNS.labels(outcome).inc()
    _TURN_ERRORS.labels(error.reason).inc()


def count_cancelled() -> None:
    """Counts a turn that its user cancelled."""
    _TURNS.labels("cancelled").inc()


class StreamWatch:
    """Measures one stream of a turn.

    Args:
        is_new: Whether the stream is of a turn that begins, so that its first words are timed.
    """

    def __init__(self, *, is_new: bool) -> None:
        self._began = time.monotonic()
        self._unseen = {"event", "reply", "audio"} if is_new else set()
        self._stems = "at_hand"
        self._open = True
        _STREAMS.inc()

    def see(self, event: conversation_pb2.TurnEvent) -> None:
        """Takes note of what is sent."""
        self._time("event")
        match event.WhichOneof("event"):
            case "interpreted":
                self._time("reply")
            case "progress":
                if event.progress.stage == conversation_pb2.Progress.STAGE_SEPARATING:
                    self._stems = "separated"
            case "audio":
                self._time("audio")

    def end(self) -> None:
        """Takes note that the reader has gone; once is enough."""
        if self._open:
            self._open = False
            _STREAMS.dec()

    def _time(self, what: str) -> None:
        if what not in self._unseen:
            return
        self._unseen.remove(what)
        seconds = time.monotonic() - self._began
        match what:
            case "event":
                _FIRST_EVENT_SECONDS.observe(seconds)
            case "reply":
                _REPLY_SECONDS.observe(seconds)
            case "audio":
                _FIRST_AUDIO_SECONDS.labels(self._stems).observe(seconds)
