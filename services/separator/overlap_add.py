"""Puts the results of overlapping segments together, and hands out what is final."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.runtime.audio.reader import Samples
from services.separator.segments import Gains, Segment

StemSamples = npt.NDArray[np.float32]
"""`[stems, channels, frames]`."""

Interleaved = npt.NDArray[np.float32]
"""`[frames, channels]`: as stems are written."""


class OverlapAdd:
    """Adds up the weighted segments of one stem, from left to right; holds no more than they span.

    The sums lie interleaved from the start: turning them round later takes longer than all adding.

    Args:
        channels: Number of channels.
        total_frames: Length of the track.
    """

    def __init__(self, channels: int, total_frames: int) -> None:
        self._total = total_frames
        self._first = 0
        self._held = 0
        # Kept for the whole track: a new array for each segment costs more than the adding.
        self._sums: Interleaved = np.zeros((0, channels), np.float32)

    @property
    def held_frames(self) -> int:
        """Frames that it holds now."""
        return self._held

    def add(self, segment: Segment, output: Samples, gains: Gains) -> None:
        """Adds what a network made of a segment.

        Args:
            segment: The segment. Nothing of it may lie before what `take` gave out.
            output: `[channels, input_frames]`, all that the network gave for this stem.
            gains: What each of the segment's frames counts.
        """
        begin = max(0, segment.offset)
        end = min(self._total, segment.offset + segment.length)
        if begin >= end:  # a shifted grid's segment wholly before the track
            return
        self._hold(end - self._first)
        skipped = begin - segment.offset
        left = segment.margin_frames + skipped
        kept = output[:, left : left + end - begin]
        target = self._sums[begin - self._first : end - self._first]
        for channel, samples in enumerate(kept):
            target[:, channel] += samples * gains[skipped:]

    def take(self, until: int) -> Interleaved:
        """Returns the frames from where the last call ended up to `until`, and forgets them."""
        count = until - self._first
        self._hold(count)
        taken = self._sums[:count].copy()
        if count:
            rest = self._held - count
            self._sums[:rest] = self._sums[count : self._held]  # NumPy minds the overlap
            self._sums[rest : self._held] = 0
            self._first, self._held = until, rest
        return taken

    def _hold(self, frames: int) -> None:
        missing = frames - len(self._sums)
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, missing), (0, 0)))
        self._held = max(self._held, frames)
