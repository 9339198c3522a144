"""What the separator counts and measures."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from services.runtime.metrics import begin_at_zero, counter, gauge, histogram

_SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

WAITING_TRACKS = gauge("mixdown_separator_waiting_tracks", "Tracks that wait in the queue.")
RUNNING_TRACKS = gauge("mixdown_separator_running_tracks", "Tracks that are being separated.")
WAITING_SEGMENTS = gauge("mixdown_separator_waiting_segments", "Segments that wait for the device.")
REFUSED = counter("mixdown_separator_refused_total", "Tracks refused because the queue was full.")

REQUESTS = counter(
    "mixdown_separator_requests_total",
    "Requests by where the stems came from: the store, a computation of their own, or one that "
    "was under way for another request.",
    ("source",),
)
SEPARATIONS = counter(
    "mixdown_separator_separations_total",
    "Tracks whose computation ended: completed, failed, or cancelled because nobody wanted it.",
    ("model", "outcome"),
)
QUEUE_SECONDS = histogram(
    "mixdown_separator_queue_seconds", "How long tracks waited before their computation began."
)
SECONDS = histogram(
    "mixdown_separator_separation_seconds",
    "How long completed computations took, without waiting.",
    ("model",),
)
FIRST_AUDIO_SECONDS = histogram(
    "mixdown_separator_first_audio_seconds",
    "How long computations took until the first audio could be sent, without waiting.",
    ("model",),
)
SPEED = histogram(
    "mixdown_separator_real_time_factor",
    "Seconds of music that one second of a completed computation gave.",
    ("model",),
    buckets=_SPEEDS,
)
LIVE_SEGMENTS = counter(
    "mixdown_separator_live_segments_total",
    "Segments for somebody who listens meanwhile, after the first audio: whose audio was there "
    "before the listener had played what came before (in_time), or not (late).",
    ("outcome",),
)
SILENCE_SECONDS = histogram(
    "mixdown_separator_silence_seconds", "How long listeners waited for segments that were late."
)
AUDIO_SECONDS = counter(
    "mixdown_separator_audio_seconds_total", "Seconds of music that were separated.", ("model",)
)

SEGMENTS = counter("mixdown_separator_segments_total", "Segments computed.", ("backend",))
BATCHES = counter("mixdown_separator_batches_total", "Batches computed.", ("backend",))
BUSY_SECONDS = counter(
    "mixdown_separator_busy_seconds_total",
    "Time that batches took, each by its share of the device.",
    ("backend",),
)
OCCUPANCY = histogram(
    "mixdown_separator_batch_occupancy_ratio",
    "Segments of a batch, as a part of the most that the device takes at once.",
    ("backend",),
    buckets=(0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0),
)
MEMORY_EXHAUSTED = counter(
    "mixdown_separator_out_of_memory_total", "Batches that did not fit into the device's memory."
)

READY = gauge(
    "mixdown_separator_ready",
    "1 once the health check says SERVING: the default model is loaded and has computed, or is not "
    "to be loaded before the first request (MIXDOWN_PRELOAD); until then 0.",
)
LOAD_FAILURES = counter(
    "mixdown_separator_model_load_failures_total",
    "Times that a model could not be loaded, by the reason of the error.",
    ("model", "reason"),
)
LOAD_SECONDS = histogram(
    "mixdown_separator_model_load_seconds",
    "How long models took to be loaded and checked.",
    ("model",),
)
DEVICE_MEMORY = gauge(
    "mixdown_separator_device_memory_bytes",
    "Memory of the GPU: used by tensors, reserved by this process, free, and in total. "
    "On a CPU see process_resident_memory_bytes.",
    ("kind",),
)


def observe(
    waiting_tracks: Callable[[], int],
    running_tracks: Callable[[], int],
    waiting_segments: Callable[[], int],
) -> None:
    """Has the queues, and the memory of a GPU, looked at whenever metrics are fetched."""
    WAITING_TRACKS.set_function(waiting_tracks)
    RUNNING_TRACKS.set_function(running_tracks)
    WAITING_SEGMENTS.set_function(waiting_segments)
    begin_at_zero(REQUESTS, ["store", "computed", "shared"])
    begin_at_zero(LIVE_SEGMENTS, ["in_time", "late"])
    if torch.cuda.is_available():
        DEVICE_MEMORY.labels("allocated").set_function(torch.cuda.memory_allocated)
        DEVICE_MEMORY.labels("reserved").set_function(torch.cuda.memory_reserved)
        DEVICE_MEMORY.labels("free").set_function(lambda: _memory_info()[0])
        DEVICE_MEMORY.labels("total").set_function(lambda: _memory_info()[1])


def _memory_info() -> tuple[float, float]:
    try:
        return torch.cuda.mem_get_info()
    except RuntimeError:  # of a GPU that has failed nothing is known; all else can be told
        return math.nan, math.nan


def tell_model(model: str, load_seconds: float) -> None:
    """Says that a model was loaded, and in how long."""
    LOAD_SECONDS.labels(model).observe(load_seconds)
    begin_at_zero(SEPARATIONS, [model], ["completed", "failed", "cancelled"])


def count_batch(backend: str, segments: int, most: int, seconds: float) -> None:
    """Counts a batch that was computed, out of the most segments that it could have had."""
    BATCHES.labels(backend).inc()
    SEGMENTS.labels(backend).inc(segments)
    BUSY_SECONDS.labels(backend).inc(seconds)
    OCCUPANCY.labels(backend).observe(segments / most)


def count_silence(seconds: float) -> None:
    """Counts a segment for a listener who had been without sound for so long; 0 is in time."""
    LIVE_SEGMENTS.labels("late" if seconds else "in_time").inc()
    if seconds:
        SILENCE_SECONDS.observe(seconds)


def count_separation(
    model: str, audio_seconds: float, seconds: float, first_audio_seconds: float
) -> None:
    """Counts a computation that was completed."""
    AUDIO_SECONDS.labels(model).inc(audio_seconds)
    SECONDS.labels(model).observe(seconds)
    SPEED.labels(model).observe(audio_seconds / seconds)
    FIRST_AUDIO_SECONDS.labels(model).observe(first_audio_seconds)
