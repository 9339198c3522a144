"""What the true-peak meter leaves out, because it cannot matter, does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.audio.true_peak import (
    HALF_TAPS,
    Interpolation,
    TruePeakMeter,
    between_taps,
    bulge,
    oversampling,
)

RATE_HZ = 44_100


def true_peak(samples: np.ndarray, rate_hz: int = RATE_HZ, cuts=()) -> float:
    meter = TruePeakMeter(rate_hz, samples.shape[0])
    for part in np.split(samples, np.minimum(np.cumsum(cuts, dtype=int), samples.shape[1]), axis=1):
        meter.add(part)
    return meter.finish()


def looked_at_everywhere(samples: np.ndarray, rate_hz: int) -> float:
    around = np.pad(samples, ((0, 0), (2 * HALF_TAPS - 1, HALF_TAPS)))
    peaks = [float(np.abs(samples).max())]
    for taps in between_taps(oversampling(rate_hz)):
        peaks += [float(np.abs(np.correlate(channel, taps)).max()) for channel in around]
    return max(peaks)


@st.composite
def waves(draw: st.DrawFn) -> np.ndarray:
    """Of every kind: loud at the end, clipped, close to half the rate, with single clicks."""
    frames = draw(st.integers(1, 3_000))
    random = np.random.default_rng(draw(st.integers(0, 1_000)))
    time = np.arange(frames)
    period = draw(st.sampled_from([2.01, 2.3, 3.0, 4.0, 5.7, 20.0, 300.0]))
    wave = np.sin(2 * np.pi * time / period + random.uniform(0, 6, (2, 1)))
    wave = wave + draw(st.sampled_from([0.0, 0.1, 1.0])) * random.standard_normal((2, frames))
    wave *= np.linspace(draw(st.sampled_from([0.1, 0.9, 1.0, 3.0])), 1.0, frames)
    if draw(st.booleans()):
        wave = np.clip(wave, -0.8, 0.8)
    if draw(st.booleans()):
        wave[:, random.integers(0, frames, 3)] *= -1.5
    return wave.astype(np.float32)


@settings(max_examples=150, deadline=None)
@given(
    samples=waves(),
    cuts=st.lists(st.integers(0, 1_000), max_size=6),
    rate_hz=st.sampled_from([8_000, 44_100, 96_000, 192_000]),
)
def test_the_true_peak_is_the_same_bits_as_without_any_shortcut(samples, cuts, rate_hz):
    assert true_peak(samples, rate_hz, cuts) == looked_at_everywhere(samples, rate_hz)


@settings(max_examples=60, deadline=None)
@given(samples=waves(), floor=st.floats(0.3, 1.5))
def test_every_peak_above_the_floor_is_told_exactly(samples, floor):
    wave = np.pad(samples, ((0, 0), (HALF_TAPS - 1, HALF_TAPS)))
    told = Interpolation(RATE_HZ).peaks(wave, floor)
    exact = Interpolation(RATE_HZ).peaks(wave, 0.0)
    assert (told[exact >= floor] == exact[exact >= floor]).all()
    assert (told[exact < floor] < floor).all()


@pytest.mark.parametrize("factor", [2, 4])
def test_a_wave_of_the_sharpest_bends_goes_as_far_off_the_line_as_the_bulge_tells(factor):
    taps = between_taps(factor)
    farthest = 0.0
    for number, row in enumerate(taps.astype(np.float64), 1):
        to_line = np.array([1 - number / factor, number / factor])
        off_line = row.copy()
        off_line[HALF_TAPS - 1 : HALF_TAPS + 1] -= to_line
        bends = np.sign(np.cumsum(np.cumsum(off_line))[:-2])  # all pull the same way
        wave = np.concatenate(([0, 0], np.cumsum(np.cumsum(bends))))
        between = wave @ row - wave[HALF_TAPS - 1 : HALF_TAPS + 1] @ to_line
        farthest = max(farthest, abs(float(between)))
    assert farthest == pytest.approx(bulge(taps), rel=0.002)


def test_a_peak_in_the_last_samples_is_found():
    samples = np.zeros((1, 1000), np.float32)
    samples[0, -2:] = 0.8  # the wave overshoots between them
    assert true_peak(samples) > 0.9
