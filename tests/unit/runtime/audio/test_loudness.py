"""Loudness and true peak are what ITU-R BS.1770-4 and EBU Tech 3341 say."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.audio.loudness import Loudness, LoudnessMeter, k_weighting

RATE_HZ = 44_100


def noise(frames: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((2, frames)) * 0.1).astype(np.float32)


def tone(frequency_hz: float, frames: int, level: float) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / RATE_HZ)
    return np.tile(wave.astype(np.float32), (2, 1))


def measure(samples: np.ndarray, rate_hz: int = 48_000, cuts=()) -> Loudness:
    meter = LoudnessMeter(rate_hz, samples.shape[0])
    start = 0
    for length in cuts:
        meter.add(samples[:, start : start + length])
        start = min(start + length, samples.shape[1])
    meter.add(samples[:, start:])
    return meter.result()


def sines(*parts: tuple[float, float], rate_hz: int = 48_000) -> np.ndarray:
    """Stereo sines of 1 kHz, one after another: (dBFS, seconds)."""
    levels = np.concatenate([np.full(int(s * rate_hz), 10 ** (db / 20)) for db, s in parts])
    wave = levels * np.sin(2 * np.pi * 1000 * np.arange(levels.size) / rate_hz)
    return np.tile(wave.astype(np.float32), (2, 1))


@pytest.mark.parametrize(
    ("parts", "expected_lufs"),
    [
        # EBU Tech 3341 (2016), table 1: test signals 1 to 5, shortened where that changes nothing.
        ([(-23.0, 20)], -23.0),
        ([(-33.0, 20)], -33.0),
        ([(-36.0, 10), (-23.0, 60), (-36.0, 10)], -23.0),
        ([(-72.0, 10), (-36.0, 10), (-23.0, 60), (-36.0, 10), (-72.0, 10)], -23.0),
        ([(-26.0, 20), (-20.0, 20.1), (-26.0, 20)], -23.0),
    ],
)
def test_integrated_loudness_passes_the_test_signals_of_the_ebu(parts, expected_lufs):
    assert measure(sines(*parts)).integrated_lufs == pytest.approx(expected_lufs, abs=0.1)


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_a_sine_is_equally_loud_at_every_rate(rate_hz):
    # One channel at full scale: −3.01 LUFS (BS.1770-4, at 997 Hz).
    wave = np.sin(2 * np.pi * 997 * np.arange(3 * rate_hz) / rate_hz).astype(np.float32)[None, :]
    assert measure(wave, rate_hz).integrated_lufs == pytest.approx(-3.01, abs=0.05)


def test_the_k_weighting_at_48_khz_is_that_of_the_recommendation():
    shelf, high_pass = k_weighting(48_000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241,
         0.73248077421585], abs=1e-8,
    )  # fmt: skip
    assert high_pass == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621], abs=1e-8)


@pytest.mark.parametrize("samples", [np.zeros((2, 48_000), np.float32), noise(10_000)])
def test_silence_and_what_is_shorter_than_a_window_has_no_loudness(samples):
    assert measure(samples).integrated_lufs is None


def test_silence_has_no_true_peak():
    assert measure(np.zeros((2, 100), np.float32)).true_peak_dbtp is None


@pytest.mark.parametrize(
    ("divisor", "phase_degrees", "amplitude", "expected_dbtp"),
    [
        # EBU Tech 3341, test signals 15 to 19: +0.2 / −0.4 dB.
        (4, 0.0, 0.5, -6.0),
        (4, 45.0, 0.5, -6.0),
        (6, 60.0, 0.5, -6.0),
        (8, 67.5, 0.5, -6.0),
        (4, 45.0, 1.41, 3.0),
    ],
)
def test_true_peak_passes_the_test_signals_of_the_ebu(
    divisor, phase_degrees, amplitude, expected_dbtp
):
    phase = np.deg2rad(phase_degrees)
    wave = amplitude * np.sin(2 * np.pi * np.arange(48_000) / divisor + phase)
    ramp = np.minimum(1.0, np.minimum(np.arange(48_000), np.arange(48_000)[::-1]) / 1000)
    found = measure(np.tile((wave * ramp).astype(np.float32), (2, 1))).true_peak_dbtp
    assert expected_dbtp - 0.4 <= found <= expected_dbtp + 0.2


def test_true_peak_is_that_of_a_wave_sampled_eight_times_as_often():
    for seed in range(5):
        samples = noise(20_000, seed=seed)
        # Up to 18 kHz, as in music: a filter of 32 taps has no say close to half the rate.
        spectrum = np.fft.rfft(samples, axis=1)
        spectrum[:, int(18_000 / RATE_HZ * 20_000) :] = 0.0
        limited = np.fft.irfft(spectrum, axis=1).astype(np.float32)
        limited *= np.hanning(20_000).astype(np.float32)
        finer = np.abs(soxr.resample(limited.T, RATE_HZ, 8 * RATE_HZ, "VHQ")).max()
        found = measure(limited, RATE_HZ).true_peak
        assert 20 * np.log10(found / finer) == pytest.approx(0.0, abs=0.4)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=10))
def test_the_blocks_change_nothing_that_is_measured(cuts):
    samples = noise(60_000)
    assert measure(samples, RATE_HZ, cuts) == measure(samples, RATE_HZ)


def test_the_level_of_a_tone_and_its_loudness_move_together():
    quiet, loud = (measure(tone(1000, 2 * RATE_HZ, level), RATE_HZ) for level in (0.1, 0.2))
    assert loud.integrated_lufs - quiet.integrated_lufs == pytest.approx(6.02, abs=0.01)
    assert loud.true_peak_dbtp - quiet.true_peak_dbtp == pytest.approx(6.02, abs=0.01)
