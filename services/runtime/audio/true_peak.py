"""True peak: the peak of the wave that the samples stand for, ITU-R BS.1770-4, annex 2.

The wave is looked at four times as often as it was sampled (twice from 88.2 kHz on, and as it is
from 176.4 kHz on), by a windowed sinc of 32 taps. At four times a peak can still be missed by up
to 0.5 dB at the highest frequencies, as by every meter that follows the recommendation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.runtime.audio.reader import Samples

HALF_TAPS = 16
"""Samples on either side that a value between two samples depends on."""

_SEGMENT_FRAMES = 128
"""Waves are looked at in segments; the ones too quiet to matter, most of them, are left out."""

_ROUNDED = 1.001
"""Bounds are widened by as much, for what float32 rounds: the taps, most of all."""


def oversampling(sample_rate_hz: int) -> int:
    """Returns how many values are looked at for each sample."""
    if sample_rate_hz < 88_200:
        return 4
    return 2 if sample_rate_hz < 176_400 else 1


def between_taps(factor: int) -> npt.NDArray[np.float32]:
    """Returns the filters for the values between two samples, `[factor − 1, 2 · HALF_TAPS]`.

    The value at n + k/factor, 0 < k < factor, is the sum of samples n − HALF_TAPS + 1 to
    n + HALF_TAPS with row k − 1: a sinc with a Kaiser window (β = 8), scaled to pass a constant
    as it is.
    """
    at = np.arange(-HALF_TAPS + 1, HALF_TAPS + 1)[None, :]
    distance = at - np.arange(1, factor)[:, None] / factor
    window = np.i0(8.0 * np.sqrt(1.0 - (distance / HALF_TAPS) ** 2)) / np.i0(8.0)
    taps = np.sinc(distance) * window
    scaled: npt.NDArray[np.float32] = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


class Interpolation:
    """Finds the peaks of the wave between samples.

    Most of a wave cannot hold a peak, and two bounds tell so without looking between its samples.
    A value between two samples is no higher than the highest sample around it times the sum of
    the filter's absolute taps. And it lies off the straight line between the two by no more than
    the sharpest bend around (the highest second difference) times a sum that is as small as the
    filter is close to a line: for the low frequencies that make the peaks of music, a little.

    Args:
        sample_rate_hz: Sampling rate.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._taps = between_taps(oversampling(sample_rate_hz))
        self._overshoot = float(np.abs(self._taps).sum(axis=1).max(initial=0.0)) * _ROUNDED
        self._bulge = bulge(self._taps)

    def peaks(self, wave: Samples, floor: float) -> npt.NDArray[np.float32]:
        """Returns the highest absolute value from each sample up to the next one.

        Args:
            wave: `[channels, HALF_TAPS − 1 + frames + HALF_TAPS]`: the frames asked for with
                what is around them.
            floor: Peaks that lie below may be told too low, but never as high as this.

        Returns:
            `[frames]`, over all channels.
        """
        frames = wave.shape[1] - 2 * HALF_TAPS + 1
        absolute = np.abs(wave).max(axis=0)
        first = HALF_TAPS - 1
        peaks: npt.NDArray[np.float32] = absolute[first : first + frames].copy()
        if len(self._taps) == 0:
            return peaks
        for start, stop in self._loud_segments(wave, absolute, frames, floor):
            for channel in wave:
                around = channel[start : stop + 2 * HALF_TAPS - 1]
                for taps in self._taps:
                    between = np.abs(np.correlate(around, taps))
                    np.maximum(peaks[start:stop], between, out=peaks[start:stop])
        return peaks

    def _loud_segments(
        self, wave: Samples, absolute: npt.NDArray[np.float32], frames: int, floor: float
    ) -> list[tuple[int, int]]:
        """Returns where a value between samples may reach the floor, as ranges of frames."""
        highest = _highest_around(absolute, frames)
        is_loud = highest * self._overshoot >= floor
        if not is_loud.any():
            return []
        bends = np.abs(np.diff(wave, 2, axis=1)).max(axis=0)
        is_loud &= highest * _ROUNDED + _highest_around(bends, frames) * self._bulge >= floor
        edges = np.flatnonzero(np.diff(np.concatenate(([0], is_loud.view(np.int8), [0]))))
        return [
            (int(start) * _SEGMENT_FRAMES, min(int(stop) * _SEGMENT_FRAMES, frames))
            for start, stop in edges.reshape(-1, 2)
        ]


def bulge(taps: npt.NDArray[np.float32]) -> float:
    """Returns how far values between samples are off the line, in highest second differences.

    Summed by parts twice, the filter less the line is a filter of second differences; the two
    sums that are left over, zero for taps that are not rounded, are below `_ROUNDED`.

    Args:
        taps: As `between_taps` returns them.
    """
    factor = len(taps) + 1
    highest = 0.0
    for number, row in enumerate(taps.astype(np.float64), 1):
        off_line = row.copy()
        off_line[HALF_TAPS - 1] -= 1.0 - number / factor
        off_line[HALF_TAPS] -= number / factor
        of_bends = np.cumsum(np.cumsum(off_line))[:-2]
        highest = max(highest, float(np.abs(of_bends).sum()))
    return highest * _ROUNDED


def _highest_around(values: npt.NDArray[np.float32], frames: int) -> npt.NDArray[np.float32]:
    """Returns the highest value in and around each segment of the wave."""
    count = -(-frames // _SEGMENT_FRAMES)
    padded = np.zeros((count + 1) * _SEGMENT_FRAMES, np.float32)
    padded[: len(values)] = values
    highest = padded.reshape(count + 1, _SEGMENT_FRAMES).max(axis=1)
    # The frames of a segment and those around them lie in it and in the next one.
    around: npt.NDArray[np.float32] = np.maximum(highest[:-1], highest[1:])
    return around


class TruePeakMeter:
    """The true peak of a stream.

    Args:
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._interpolation = Interpolation(sample_rate_hz)
        self._around = np.zeros((channels, 2 * HALF_TAPS - 1), np.float32)
        self._peak = 0.0

    def add(self, block: Samples) -> None:
        """Takes the next frames."""
        if block.shape[1] == 0:
            return
        wave = np.concatenate((self._around, block), axis=1)
        self._around = wave[:, wave.shape[1] - (2 * HALF_TAPS - 1) :]
        self._peak = max(self._peak, float(np.abs(block).max()))
        self._peak = max(self._peak, float(self._interpolation.peaks(wave, self._peak).max()))

    def finish(self) -> float:
        """Returns the highest absolute value, the end of the stream being silence."""
        self.add(np.zeros((self._around.shape[0], HALF_TAPS), np.float32))
        return self._peak
