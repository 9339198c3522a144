"""Low-pass, high-pass and band-pass: Butterworth, 24 dB per octave on each side.

Fourth order by the bilinear transform (`scipy.signal.butter`); a corner is where the response is
down by 3.01 dB. A band-pass has both corners there, however narrow it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.signal import butter

from mixdown.mix import Filter
from services.remixer.effects.biquads import Biquads, Sections

_ORDER = 4
_NOTHING: Sections = np.array([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]])
_EVERYTHING: Sections = np.zeros((0, 6))


class Filters(Biquads):
    """Applies filters one after another.

    Args:
        filters: Corners 20 to 20 000 Hz. Those at or above half the sampling rate are out of
            reach: a low-pass then lets everything through and a high-pass nothing.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(self, filters: Iterable[Filter], sample_rate_hz: int, channels: int) -> None:
        super().__init__(filter_sections(filters, sample_rate_hz), channels)


def filter_sections(filters: Iterable[Filter], sample_rate_hz: int) -> Sections:
    """Returns the second-order sections of all filters."""
    sections = [_sections(item, sample_rate_hz) for item in filters]
    return np.concatenate(sections) if sections else _EVERYTHING


def _sections(item: Filter, sample_rate_hz: int) -> Sections:
    if item.type == "lowpass":
        return _one_sided("lowpass", item.cutoff_hz, sample_rate_hz)
    if item.type == "highpass":
        return _one_sided("highpass", item.cutoff_hz, sample_rate_hz)
    assert item.low_hz is not None and item.high_hz is not None
    if item.high_hz >= sample_rate_hz / 2:
        return _one_sided("highpass", item.low_hz, sample_rate_hz)
    corners = [item.low_hz, item.high_hz]
    sections: Sections = butter(_ORDER, corners, "bandpass", fs=sample_rate_hz, output="sos")
    return sections


def _one_sided(kind: str, cutoff_hz: float | None, sample_rate_hz: int) -> Sections:
    assert cutoff_hz is not None
    if cutoff_hz >= sample_rate_hz / 2:
        return _EVERYTHING if kind == "lowpass" else _NOTHING
    sections: Sections = butter(_ORDER, cutoff_hz, kind, fs=sample_rate_hz, output="sos")
    return sections
