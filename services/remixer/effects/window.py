"""A processor that works for a part of the time."""

from __future__ import annotations

import numpy as np

from services.remixer.effects.processor import Processor, empty, silence
from services.runtime.audio.reader import Samples


class Window:
    """Gives a processor the frames from `start` to `stop`, and is silent before and after.

    Args:
        processor: What works meanwhile.
        start: The first frame that it gets.
        stop: The frame behind the last that it gets; None: all that come.
        channels: Number of channels.
    """

    def __init__(self, processor: Processor, start: int, stop: int | None, channels: int) -> None:
        self._processor = processor
        self._start = start
        self._stop = stop
        self._channels = channels
        self._position = 0
        self._frames_due = 0
        self._is_over = False

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block."""
        frames = block.shape[1]
        first = min(max(self._start - self._position, 0), frames)
        last = frames if self._stop is None else min(max(self._stop - self._position, 0), frames)
        self._position += frames
        parts = [silence(self._channels, first)]
        if last > first:
            self._frames_due += last - first
            parts.append(self._due(self._processor.process(block[:, first:last])))
        if self._stop is not None and self._position >= self._stop and not self._is_over:
            self._is_over = True
            parts.append(self._due(self._processor.finish()))
        parts.append(silence(self._channels, frames - max(first, last)))
        return np.concatenate(parts, axis=1)

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        if self._is_over or self._position <= self._start:
            return empty(self._channels)
        return self._processor.finish()

    def _due(self, block: Samples) -> Samples:
        kept = block[:, : self._frames_due]
        self._frames_due -= kept.shape[1]
        return kept
