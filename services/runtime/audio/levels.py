"""How loud a track is over its whole length, measured once and kept beside it.

A model of separation wants every track at mean 0 and deviation 1, which takes a look at all of it
before the first sample can be worked on. Whoever decodes a whole track anyway measures its levels
by the way and keeps them, so that nobody has to do it again: the check of an upload does.

Sums run in float64 and block by block; blocks of `LEVEL_BLOCK_FRAMES` give the same bits whoever
measures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.runtime.audio.reader import Samples

LEVEL_BLOCK_FRAMES = 1 << 13
"""Frames that are decoded and measured at a time: what is at hand stays in the CPU's cache.

Blocks of 100 kB and more cost four times as much, in fresh pages from the system.
"""

LEVEL_RATE_HZ = 44_100
"""The rate of every published model: levels of tracks at this rate are kept, whatever theirs is."""

LEVEL_CHANNELS = 2
"""The channels of every published model; a mono track is given to both."""


@dataclass(frozen=True)
class Levels:
    """What normalising a track needs to know, over the mean of its channels at a model's rate.

    Args:
        frames: Length of the track at that rate.
        mean: Mean.
        deviation: Standard deviation (of a sample: divided by n − 1) plus 1e−8, as Demucs does.
    """

    frames: int
    mean: float
    deviation: float


class LevelMeter:
    """Measures a track block by block.

    Sums run around the first block's mean, so that an hour costs no precision.
    """

    def __init__(self) -> None:
        self._frames = 0
        self._pivot = self._total = self._squares = 0.0

    def add(self, block: Samples) -> None:
        """Takes the next frames, `[channels, frames]`."""
        mono = block.mean(axis=0, dtype=np.float64)
        if not self._frames and mono.size:
            self._pivot = float(mono.mean())
        mono -= self._pivot
        self._frames += mono.size
        self._total += float(mono.sum())
        self._squares += float(mono @ mono)

    def levels(self) -> Levels:
        """Returns the levels of all that it was given."""
        frames = self._frames
        mean = self._total / max(1, frames)
        variance = max(0.0, self._squares - frames * mean * mean) / max(1, frames - 1)
        return Levels(frames, self._pivot + mean, float(np.sqrt(variance)) + 1e-8)
