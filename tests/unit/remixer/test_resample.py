"""Resampling keeps length and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.remixer.resample import Resampler, resampled_frames

from .conftest import noise, run, tone


@pytest.mark.parametrize("to_hz", [8000, 22_050, 44_100, 48_000, 96_000, 192_000])
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000), max_size=8))
def test_the_length_is_exact_and_the_bits_do_not_depend_on_the_blocks(to_hz, cuts):
    samples = noise(10_001)
    frames = resampled_frames(10_001, 44_100, to_hz)
    whole = run(Resampler(44_100, to_hz, 2, frames), samples)
    assert whole.shape == (2, frames)
    assert np.array_equal(whole, run(Resampler(44_100, to_hz, 2, frames), samples, cuts))


def test_equal_rates_change_no_sample():
    samples = noise(5000)
    assert np.array_equal(run(Resampler(48_000, 48_000, 2, 5000), samples), samples)


@pytest.mark.parametrize("frames_out", [4000, 6000])
def test_what_is_too_long_is_cut_and_what_is_too_short_is_filled_up(frames_out):
    samples = noise(5000)
    out = run(Resampler(44_100, 44_100, 2, frames_out), samples, [1000, 2000])
    expected = np.pad(samples, ((0, 0), (0, 1000)))[:, :frames_out]
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("to_hz", [48_000, 96_000, 32_000])
def test_a_tone_stays_where_it_was_in_time(to_hz):
    samples = tone(1000.0, 44_100)
    out = run(Resampler(44_100, to_hz, 2, to_hz), samples)
    expected = tone(1000.0, to_hz, rate_hz=to_hz)
    middle = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(out - expected)[:, middle].max() < 3e-6
