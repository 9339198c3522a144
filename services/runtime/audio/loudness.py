"""Loudness and true peak of a stream: ITU-R BS.1770-4 (EBU R 128).

Everything is measured as it goes by: memory does not grow with the length, and the blocks that the
samples come in change nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.runtime.audio.reader import Samples
from services.runtime.audio.sections import Sections
from services.runtime.audio.true_peak import TruePeakMeter

MEASURED_CHANNELS = 2
"""The most channels that are measured: weights for more depend on where they are heard from."""

_LOWEST_RATE_HZ = 4_000
"""Twice the frequency that the shelf of the K-weighting turns at, and a little."""

_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_HOPS_PER_WINDOW = 4
_BIN_LU = 0.05
_LOUDEST_LUFS = 50.0
_BINS = round((_LOUDEST_LUFS - _ABSOLUTE_GATE_LUFS) / _BIN_LU)


@dataclass(frozen=True)
class Loudness:
    """How loud something is.

    Args:
        integrated_lufs: Integrated loudness; None where nothing reaches the gate of −70 LUFS, or
            nothing lasts as long as the window of 400 ms.
        true_peak: Highest absolute value of the wave between the samples, too; full scale is 1.0.
    """

    integrated_lufs: float | None
    true_peak: float

    @property
    def true_peak_dbtp(self) -> float | None:
        """True peak in decibels to full scale; None for silence."""
        return 20.0 * math.log10(self.true_peak) if self.true_peak > 0.0 else None


def is_measurable(sample_rate_hz: int, channels: int) -> bool:
    """Tells whether there is a loudness of such audio."""
    return sample_rate_hz >= _LOWEST_RATE_HZ and 1 <= channels <= MEASURED_CHANNELS


def hop_frames(sample_rate_hz: int) -> int:
    """Returns the length of the step of the windows, 100 ms."""
    return round(0.1 * sample_rate_hz)


def k_weighting(sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Returns the K-weighting as two second-order sections.

    BS.1770 gives coefficients for 48 kHz only. These are the analogue filters behind them at any
    rate (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement", 2018);
    at 48 kHz they are the same to 1e-8.
    """
    shelf_k, shelf_q = math.tan(math.pi * 1681.974450955533 / sample_rate_hz), 0.7071752369554196
    high = 10.0 ** (3.999843853973347 / 20.0)
    band = high**0.4996667741545416
    pass_k, pass_q = math.tan(math.pi * 38.13547087602444 / sample_rate_hz), 0.5003270373238773

    def denominator(k: float, q: float) -> tuple[float, float, float]:
        a0 = 1.0 + k / q + k * k
        return 1.0, 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0

    scale = 1.0 + shelf_k / shelf_q + shelf_k * shelf_k
    shelf = (
        (high + band * shelf_k / shelf_q + shelf_k * shelf_k) / scale,
        2.0 * (shelf_k * shelf_k - high) / scale,
        (high - band * shelf_k / shelf_q + shelf_k * shelf_k) / scale,
    )
    return np.array(
        [[*shelf, *denominator(shelf_k, shelf_q)], [1.0, -2.0, 1.0, *denominator(pass_k, pass_q)]]
    )


class KWeighting:
    """Applies the K-weighting to a stream.

    Args:
        sample_rate_hz: Sampling rate; at least 4 kHz, for the shelf.
        channels: Number of channels.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._sections = Sections(k_weighting(sample_rate_hz), channels)

    def process(self, block: Samples) -> npt.NDArray[np.float64]:
        """Returns the block, weighted."""
        return self._sections.process(block)


class IntegratedLoudness:
    """Integrated loudness of a stream that comes in steps of 100 ms.

    Windows of 400 ms, each 100 ms after the one before, go into a histogram with bins of 0.05 LU
    that keeps the exact power of each bin: only which windows pass the relative gate is rounded.
    """

    def __init__(self) -> None:
        self._hops: list[float] = []
        self._counts = np.zeros(_BINS)
        self._powers = np.zeros(_BINS)
        self._count = 0
        self._power = 0.0
        self._highest = 0

    def add(self, power: float) -> None:
        """Takes the mean K-weighted power of the next 100 ms, summed over the channels."""
        self._hops.append(power)
        if len(self._hops) < _HOPS_PER_WINDOW:
            return
        power = sum(self._hops) / _HOPS_PER_WINDOW
        del self._hops[0]
        level = lufs(power)
        if level > _ABSOLUTE_GATE_LUFS:
            index = min(int((level - _ABSOLUTE_GATE_LUFS) / _BIN_LU), _BINS - 1)
            self._counts[index] += 1
            self._powers[index] += power
            self._count += 1
            self._power += power
            self._highest = max(self._highest, index)

    def lufs(self) -> float | None:
        """Returns the integrated loudness so far; None where no window passed the gate."""
        if self._count == 0:
            return None
        gate = lufs(self._power / self._count) + _RELATIVE_GATE_LU
        first = max(0, math.ceil((gate - _ABSOLUTE_GATE_LUFS) / _BIN_LU))
        # Beyond the loudest bin, which holds all that is louder still, the gate tells nothing.
        first, last = min(first, self._highest), self._highest + 1
        return lufs(float(self._powers[first:last].sum() / self._counts[first:last].sum()))


class LoudnessMeter:
    """Loudness and true peak of a stream.

    Args:
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._weighting = KWeighting(sample_rate_hz, channels)
        self._integrated = IntegratedLoudness()
        self._true_peak = TruePeakMeter(sample_rate_hz, channels)
        self._hop = np.zeros((channels, hop_frames(sample_rate_hz)), np.float32)
        self._filled_frames = 0

    def add(self, block: Samples) -> None:
        """Takes the next frames, any number of them."""
        self._true_peak.add(block)
        length = self._hop.shape[1]
        taken = 0
        while taken < block.shape[1]:
            part = block[:, taken : taken + length - self._filled_frames]
            stop = self._filled_frames + part.shape[1]
            self._hop[:, self._filled_frames : stop] = part
            taken += part.shape[1]
            self._filled_frames = stop % length
            if self._filled_frames == 0:
                self._weigh()

    def result(self) -> Loudness:
        """Returns what was measured, the end of the stream being reached."""
        return Loudness(self._integrated.lufs(), self._true_peak.finish())

    def _weigh(self) -> None:
        weighted = self._weighting.process(self._hop)
        self._integrated.add(float(np.einsum("cf,cf->", weighted, weighted)) / weighted.shape[1])


def lufs(power: float) -> float:
    """Returns the loudness of a K-weighted power, summed over the channels."""
    return -0.691 + 10.0 * math.log10(max(power, 1e-30))
