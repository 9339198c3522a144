"""The limiter at the end of a mix: a true-peak ceiling that is not there for what lies below it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from services.remixer.effects.processor import FixedBlocks, silence
from services.runtime.audio.reader import Samples
from services.runtime.audio.true_peak import HALF_TAPS, Interpolation

_REACH_SECONDS = 0.015
"""How long before and after a peak the gain that it asks for holds. It takes as long again to get
there, and back."""

_MARGIN_DB = 0.1
"""How far below the ceiling a peak is brought: the gain moves while the wave between samples, which
depends on 32 of them, is at its peak."""

_BLOCK_FRAMES = 4096


class Limiter:
    """Keeps the true peak at or below a ceiling, for both channels alike.

    Each peak above the ceiling asks for the gain that brings it there. The lowest gain that is
    asked for within 15 ms before and after is taken, and smoothed by two boxes of 15 ms each: as
    every value that the boxes reach was low enough for the peak in their middle, so is the mean,
    and the gain falls and rises by parabolas, without a corner. Where no peak within 30 ms lies
    above the ceiling, the samples stay bit for bit as they are. The same forwards and backwards
    in time: there is no release that pumps.

    Args:
        ceiling: Highest absolute value, full scale 1.0.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.

    Attributes:
        lowest_gain: The lowest gain so far; 1.0 where nothing was limited.
    """

    def __init__(self, ceiling: float, sample_rate_hz: int, channels: int) -> None:
        self._ceiling = np.float32(ceiling)
        self._aim = float(ceiling) * 10.0 ** (-_MARGIN_DB / 20.0)
        self._channels = channels
        self._interpolation = Interpolation(sample_rate_hz)
        half_box = math.ceil(_REACH_SECONDS * sample_rate_hz / 2.0)
        self._box = 2 * half_box + 1
        self._reach = 2 * half_box
        # Around a block, on either side: what its gain depends on.
        self._context = 2 * self._reach
        self._wave = silence(channels, self._context + 2 * HALF_TAPS - 1)
        self._gains = np.ones(2 * self._context)
        self.lowest_gain = 1.0
        self._delay = self._context + HALF_TAPS
        self._frames_to_drop = self._delay
        self._frames_due = 0
        self._blocks = FixedBlocks(channels, _BLOCK_FRAMES, self._limit, takes_several=True)

    @property
    def limited_db(self) -> float:
        """By how much the highest peak was lowered, 0 or more."""
        return max(0.0, -20.0 * math.log10(self.lowest_gain))

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block, limited."""
        self._frames_due += block.shape[1]
        return self._compensated(self._blocks.process(block))

    def finish(self) -> Samples:
        """Returns the frames that waited for what lies ahead of them."""
        frames = self._blocks.waiting_frames + self._delay
        frames += -frames % _BLOCK_FRAMES
        filled = silence(self._channels, frames - self._blocks.waiting_frames)
        return self._compensated(self._blocks.process(filled))

    def _compensated(self, limited: Samples) -> Samples:
        dropped = min(self._frames_to_drop, limited.shape[1])
        self._frames_to_drop -= dropped
        ready = limited[:, dropped : dropped + self._frames_due]
        self._frames_due -= ready.shape[1]
        return ready

    def _limit(self, block: Samples) -> Samples:
        """Takes whole blocks, and returns as many frames that lie earlier by the delay."""
        frames = block.shape[1]
        wave = np.concatenate((self._wave, block), axis=1)
        self._wave = wave[:, frames:].copy()
        newest = wave[:, wave.shape[1] - frames - 2 * HALF_TAPS + 1 :]
        asked = np.concatenate((self._gains, self._asked_gains(newest)))
        self._gains = asked[frames:].copy()
        first = HALF_TAPS - 1
        ready = wave[:, first : first + frames]
        if asked.min() == 1.0:
            return ready
        around = 2 * self._context + _BLOCK_FRAMES
        # The sums of the boxes run along what they are given: each block is given its own.
        gain = np.concatenate(
            [
                self._smoothed(asked[start : start + around])
                for start in range(0, frames, _BLOCK_FRAMES)
            ]
        )
        self.lowest_gain = min(self.lowest_gain, float(gain.min()))
        limited: Samples = ready * gain.astype(np.float32)
        return limited

    def _asked_gains(self, wave: Samples) -> npt.NDArray[np.float64]:
        """Returns the gain that each frame asks for: one where its peak lies below the ceiling."""
        peaks = self._interpolation.peaks(wave, float(self._ceiling)).astype(np.float64)
        too_high = peaks > self._ceiling
        gains = np.ones(len(peaks))
        gains[too_high] = self._aim / peaks[too_high]
        return gains

    def _smoothed(self, asked: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if asked.min() == 1.0:
            return np.ones(_BLOCK_FRAMES)
        # One filter after another; what each makes of the edges is cut off at the end. Sums that
        # run along a block may end an ulp of float64 beside 1, which float32 rounds to 1.
        lowest = minimum_filter1d(asked, 2 * self._reach + 1, mode="nearest")
        smooth = uniform_filter1d(uniform_filter1d(lowest, self._box), self._box)
        gain: npt.NDArray[np.float64] = smooth[self._context : self._context + _BLOCK_FRAMES]
        return np.minimum(gain, 1.0)
