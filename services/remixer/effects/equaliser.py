"""The equaliser: peaks and shelves of the Audio EQ Cookbook.

Formulas: R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients"
(W3C note, https://www.w3.org/TR/audio-eq-cookbook/), with α = sin ω₀ / 2Q for all three types.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from mixdown.mix import EqBand
from services.remixer.effects.biquads import Biquads, Sections


class Equaliser(Biquads):
    """Applies bands one after another.

    Args:
        bands: Frequency 20 to 20 000 Hz, gain −24 to +24 dB, Q 0.1 to 18.
        sample_rate_hz: Sampling rate. What a band does at and above half of it cannot be heard.
        channels: Number of channels.
    """

    def __init__(self, bands: Iterable[EqBand], sample_rate_hz: int, channels: int) -> None:
        super().__init__(equaliser_sections(bands, sample_rate_hz), channels)


def equaliser_sections(bands: Iterable[EqBand], sample_rate_hz: int) -> Sections:
    """Returns one second-order section for each band."""
    sections = [_section(band, sample_rate_hz) for band in bands]
    return np.array(sections, np.float64).reshape(-1, 6)


def _section(band: EqBand, sample_rate_hz: int) -> list[float]:
    amplitude = 10.0 ** (band.gain_db / 40.0)
    if band.frequency_hz >= sample_rate_hz / 2:
        # Below a shelf whose corner cannot be reached lies everything; the others are out of reach.
        flat = amplitude**2 if band.type == "low_shelf" else 1.0
        return [flat, 0.0, 0.0, 1.0, 0.0, 0.0]
    omega = 2.0 * math.pi * band.frequency_hz / sample_rate_hz
    cosine, alpha = math.cos(omega), math.sin(omega) / (2.0 * band.q)
    if band.type == "peak":
        b = (1.0 + alpha * amplitude, -2.0 * cosine, 1.0 - alpha * amplitude)
        a = (1.0 + alpha / amplitude, -2.0 * cosine, 1.0 - alpha / amplitude)
    else:
        # The high shelf is the low shelf mirrored: every cosine changes its sign, and so do b1, a1.
        sign = 1.0 if band.type == "low_shelf" else -1.0
        b, a = _shelf(amplitude, sign * cosine, alpha, sign)
    return [value / a[0] for value in (*b, *a)]


def _shelf(
    amplitude: float, cosine: float, alpha: float, sign: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    plus, minus = amplitude + 1.0, amplitude - 1.0
    slope = 2.0 * math.sqrt(amplitude) * alpha
    b = (
        amplitude * (plus - minus * cosine + slope),
        sign * 2.0 * amplitude * (minus - plus * cosine),
        amplitude * (plus - minus * cosine - slope),
    )
    a = (
        plus + minus * cosine + slope,
        sign * -2.0 * (minus + plus * cosine),
        plus + minus * cosine - slope,
    )
    return b, a
