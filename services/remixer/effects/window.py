"""A processor that works for a part of the time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from services.remixer.effects.processor import Processor, empty, silence
from services.runtime.audio.reader import Samples


class Window:
    """Gives a processor the frames from `start` to `stop`, and is silent before and after.

    The processor is made when its first frame comes and let go of behind its last one, so that
    many passages need no more memory than those that sound at once.

    Args:
        make: Makes what works meanwhile.
        start: The first frame that it gets.
        stop: The frame behind the last that it gets; None: all that come.
        channels: Number of channels.
    """

    def __init__(
        self, make: Callable[[], Processor], start: int, stop: int | None, channels: int
    ) -> None:
        self._make = make
        self._processor: Processor | None = None
        self._start = start
        self._stop = stop
        self._channels = channels
        self._position = 0
        self._frames_due = 0

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block."""
        frames = block.shape[1]
        first = min(max(self._start - self._position, 0), frames)
        last = frames if self._stop is None else min(max(self._stop - self._position, 0), frames)
        self._position += frames
        parts = [silence(self._channels, first)]
        if last > first:
            self._frames_due += last - first
            self._processor = self._processor or self._make()
            parts.append(self._due(self._processor.process(block[:, first:last])))
        if self._stop is not None and self._position >= self._stop and self._processor:
            parts.append(self._due(self._processor.finish()))
            self._processor = None
        parts.append(silence(self._channels, frames - max(first, last)))
        return np.concatenate(parts, axis=1)

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        return self._processor.finish() if self._processor else empty(self._channels)

    def _due(self, block: Samples) -> Samples:
        kept = block[:, : self._frames_due]
        self._frames_due -= kept.shape[1]
        return kept
