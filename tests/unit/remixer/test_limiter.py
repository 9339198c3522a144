"""The limiter holds its ceiling and is not there below it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.remixer.effects.limiter import Limiter
from services.runtime.audio.true_peak import TruePeakMeter

from .conftest import RATE_HZ, noise, run, tone

CEILING = 10 ** (-1 / 20)


def true_peak(samples, rate_hz=RATE_HZ) -> float:
    meter = TruePeakMeter(rate_hz, samples.shape[0])
    meter.add(samples)
    return meter.finish()


def impulses(frames: int) -> np.ndarray:
    samples = np.zeros((2, frames), np.float32)
    samples[:, 1::4999] = 3.0
    return samples


LOUD = {
    "noise": noise(RATE_HZ, level=0.4),
    "much too loud": noise(RATE_HZ, level=4.0),
    "between the samples": np.tile(
        1.2 * np.sin(np.pi / 2 * np.arange(RATE_HZ) + np.pi / 4).astype(np.float32), (2, 1)
    ),
    "low": tone(40.0, RATE_HZ, 5.0),
    "high": tone(12_345.0, RATE_HZ, 3.0),
    "impulses": impulses(RATE_HZ),
    "first and last": np.pad(
        np.zeros((2, RATE_HZ - 2), np.float32), ((0, 0), (1, 1)), constant_values=4.0
    ),
}


@pytest.mark.parametrize("samples", LOUD.values(), ids=LOUD)
def test_the_true_peak_is_never_above_the_ceiling(samples):
    limiter = Limiter(CEILING, RATE_HZ, 2)
    limited = run(limiter, samples)
    assert limited.shape == samples.shape
    assert 0.9 * CEILING < true_peak(limited) <= CEILING
    lowered_db = 20 * np.log10(true_peak(samples) / CEILING)
    assert limiter.limited_db == pytest.approx(lowered_db, abs=1.0)


@pytest.mark.parametrize("rate_hz", [8000, 48_000, 96_000, 192_000])
def test_the_ceiling_holds_at_every_rate(rate_hz):
    limited = run(Limiter(0.5, rate_hz, 1), noise(rate_hz // 2, 1, level=0.5))
    assert true_peak(limited, rate_hz) <= 0.5


@given(level=st.floats(0.001, 0.15), frames=st.integers(1, 20_000), channels=st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_below_the_ceiling_no_bit_changes(level, frames, channels):
    samples = noise(frames, channels, level=level)
    samples = np.clip(samples, -0.5, 0.5)
    limiter = Limiter(CEILING, RATE_HZ, channels)
    assert np.array_equal(run(limiter, samples), samples)
    assert limiter.limited_db == 0.0


def test_far_from_a_peak_no_bit_changes():
    samples = noise(RATE_HZ, level=0.05)
    samples[:, 20_000] = 3.0
    limited = run(Limiter(CEILING, RATE_HZ, 2), samples)
    reach = int(0.031 * RATE_HZ)
    changed = np.flatnonzero((limited != samples).any(axis=0))
    assert changed.min() >= 20_000 - reach
    assert changed.max() <= 20_000 + reach


@given(cuts=st.lists(st.integers(0, 9000), max_size=10))
@settings(max_examples=20, deadline=None)
def test_the_same_samples_give_the_same_bits_however_they_are_cut(cuts):
    samples = noise(30_000, level=0.5)
    assert np.array_equal(
        run(Limiter(CEILING, RATE_HZ, 2), samples), run(Limiter(CEILING, RATE_HZ, 2), samples, cuts)
    )


def test_both_channels_get_the_same_gain():
    left = noise(RATE_HZ, 1, level=0.5)
    limited = run(Limiter(CEILING, RATE_HZ, 2), np.concatenate((left, left / 8)))
    assert np.allclose(limited[0], 8 * limited[1], rtol=1e-5, atol=1e-7)


def test_the_gain_moves_without_a_step():
    samples = np.full((1, RATE_HZ), 0.5, np.float32)
    samples[0, 20_000] = 4.0
    gain = run(Limiter(CEILING, RATE_HZ, 1), samples)[0] / samples[0]
    assert np.abs(np.diff(gain)).max() < 0.005
    assert gain.min() < 0.25
