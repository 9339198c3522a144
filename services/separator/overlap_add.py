"""Puts the results of overlapping segments together, and hands out what is final."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.separator.segments import Segment

StemSamples = npt.NDArray[np.float32]
"""`[stems, channels, frames]`."""


class OverlapAdd:
    """Adds up weighted segments from left to right; holds no more than they span.

    Args:
        stems: Number of stems.
        channels: Number of channels.
        total_frames: Length of the track.
    """

    def __init__(self, stems: int, channels: int, total_frames: int) -> None:
        self._total = total_frames
        self._first = 0
        self._held = 0
        # Kept for the whole track: a new array for each segment costs more than the adding.
        self._sums: StemSamples = np.zeros((stems, channels, 0), np.float32)

    @property
    def held_frames(self) -> int:
        """Frames that it holds now."""
        return self._held

    def add(self, segment: Segment, output: StemSamples, shares: Sequence[float]) -> None:
        """Adds what a network made of a segment.

        Args:
            segment: The segment. Nothing of it may lie before what `take` gave out.
            output: `[stems, channels, input_frames]`, all that the network gave.
            shares: How much of each stem comes from this network, by stem.
        """
        begin = max(0, segment.offset)
        end = min(self._total, segment.offset + segment.length)
        if begin >= end:  # a shifted grid's segment wholly before the track
            return
        self._hold(end - self._first)
        skipped = begin - segment.offset
        gains = segment.grid.gains(segment.index)[skipped:] * np.float32(segment.share)
        left = segment.margin_frames + skipped
        kept = output[..., left : left + end - begin]
        target = self._sums[..., begin - self._first : end - self._first]
        for stem, share in enumerate(shares):
            if share:
                target[stem] += kept[stem] * (gains * np.float32(share))

    def take(self, until: int) -> StemSamples:
        """Returns the frames from where the last call ended up to `until`, and forgets them."""
        count = until - self._first
        self._hold(count)
        taken = self._sums[..., :count].copy()
        rest = self._held - count
        self._sums[..., :rest] = self._sums[..., count : self._held]  # NumPy minds the overlap
        self._sums[..., rest : self._held] = 0
        self._first, self._held = until, rest
        return taken

    def _hold(self, frames: int) -> None:
        missing = frames - self._sums.shape[-1]
        if missing > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, 0), (0, missing)))
        self._held = max(self._held, frames)
