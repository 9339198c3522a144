"""What the remixer counts and measures."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from services.remixer.events import Event, OutputAudio, OutputFinished, OutputStarted, Progress
from services.runtime.metrics import (
    OUTCOMES,
    begin_at_zero,
    counter,
    gauge,
    histogram,
    outcome_of,
)

_RENDERS = counter(
    "mixdown_remixer_renders_total",
    "Renders that ended: completed, refused, cancelled by the caller, or failed.",
    ("outcome",),
)
begin_at_zero(_RENDERS, OUTCOMES)
_IN_PROGRESS = gauge("mixdown_remixer_renders_in_progress", "Renders under way.")
_SECONDS = histogram("mixdown_remixer_render_seconds", "How long completed renders took.")
_FIRST_AUDIO_SECONDS = histogram(
    "mixdown_remixer_first_audio_seconds",
    "How long renders took until their first audio, by where its sound came from: a stored file, "
    "stems that were at hand (or none needed), or stems separated meanwhile.",
    ("source",),
)
_SPEED = histogram(
    "mixdown_remixer_real_time_factor",
    "Seconds of music that one second of a completed render gave, its reader's pace included, by "
    "where its stems came from.",
    ("source",),
    buckets=(0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
)
_OUTPUTS = counter(
    "mixdown_remixer_outputs_total",
    "Files that were handed out, by encoding, and whether they had been made before.",
    ("encoding", "cached"),
)
_AUDIO_SECONDS = counter(
    "mixdown_remixer_audio_seconds_total", "Seconds of music that were rendered, of all files."
)
_SENT_BYTES = counter("mixdown_remixer_sent_bytes_total", "Bytes of audio that were handed out.")
_CLIPPED = counter(
    "mixdown_remixer_clipped_samples_total", "Samples that the format of a file could not hold."
)
_CLIPPED_OUTPUTS = counter(
    "mixdown_remixer_clipped_outputs_total", "Files with samples that their format could not hold."
)
_LIMITED_DB = histogram(
    "mixdown_remixer_limited_db",
    "By how much the limiter lowered the highest peak of a mix, where it had to.",
    buckets=(0.1, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0),
)


class RenderWatch:
    """Counts one render, from its beginning to its end: a context manager that sees its events."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._encodings: dict[str, str] = {}
        self._audio_seconds: dict[str, float] = {}
        self._separated = False
        self._first: tuple[str, float] | None = None
        self._stored: set[str] = set()
        self._rendered_seconds = 0.0

    def __enter__(self) -> Self:
        _IN_PROGRESS.inc()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _IN_PROGRESS.dec()
        _RENDERS.labels(outcome_of(error)).inc()
        if self._first is not None:
            name, seconds = self._first
            source = "stored" if name in self._stored else self._source
            _FIRST_AUDIO_SECONDS.labels(source).observe(seconds)
        if error is None:
            seconds = time.monotonic() - self._began
            _SECONDS.observe(seconds)
            if self._rendered_seconds:
                _SPEED.labels(self._source).observe(self._rendered_seconds / seconds)

    def see(self, event: Event) -> None:
        """Takes note of what the caller is told."""
        match event:
            case Progress("separating"):
                self._separated = True
            case OutputStarted(planned):
                name = planned.output.name
                self._encodings[name] = planned.file_format.encoding.name.lower()
                self._audio_seconds[name] = planned.file_frames / planned.sample_rate_hz
            case OutputAudio():
                _SENT_BYTES.inc(len(event.data))
                self._first = self._first or (event.name, time.monotonic() - self._began)
            case OutputFinished():
                self._finish(event)

    @property
    def _source(self) -> str:
        return "separated" if self._separated else "stems"

    def _finish(self, event: OutputFinished) -> None:
        _OUTPUTS.labels(self._encodings[event.name], "yes" if event.cached else "no").inc()
        if event.cached:
            self._stored.add(event.name)
            return
        self._rendered_seconds += self._audio_seconds[event.name]
        _AUDIO_SECONDS.inc(self._audio_seconds[event.name])
        if event.clipped_samples:
            _CLIPPED.inc(event.clipped_samples)
            _CLIPPED_OUTPUTS.inc()
        if event.limited_db > 0:
            _LIMITED_DB.observe(event.limited_db)
