"""A wanted loudness is reached, below the ceiling, or it is told that it cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from services.remixer.loudness_target import LoudnessTarget
from services.runtime.audio.loudness import LoudnessMeter

from .conftest import RATE_HZ, noise, tone

CEILING = 10 ** (-1 / 20)


def levelled(samples: np.ndarray, lufs: float) -> tuple[np.ndarray, LoudnessTarget]:
    target = LoudnessTarget(lufs, CEILING, RATE_HZ, samples.shape[0])
    for start in range(0, samples.shape[1], 10_000):
        target.add(samples[:, start : start + 10_000])
    out = np.concatenate(list(target.blocks()), axis=1)
    target.close()
    return out, target


def measured(samples: np.ndarray):
    meter = LoudnessMeter(RATE_HZ, samples.shape[0])
    meter.add(samples)
    return meter.result()


def music() -> np.ndarray:
    samples = noise(6 * RATE_HZ, level=0.03)
    samples[:, ::7000] *= 12.0  # peaks
    samples[:, 2 * RATE_HZ : 3 * RATE_HZ] *= 0.2
    return samples


@pytest.mark.parametrize("lufs", [-40.0, -23.0, -14.0, -9.0])
def test_a_mix_comes_out_at_the_loudness_wanted_and_below_the_ceiling(lufs):
    samples = music()
    out, target = levelled(samples, lufs)
    found = measured(out)
    assert out.shape == samples.shape
    assert found.integrated_lufs == pytest.approx(lufs, abs=0.2)
    assert target.reached_lufs == pytest.approx(found.integrated_lufs, abs=1e-6)
    assert found.true_peak <= CEILING
    assert f"for {lufs:g} LUFS" in target.note


def test_without_anything_to_limit_it_is_a_gain_alone():
    samples = tone(440.0, 3 * RATE_HZ, level=0.2)
    out, target = levelled(samples, -20.0)
    assert np.array_equal(out, samples * np.float32(10 ** (target.gain_db / 20)))
    assert target.limited_db == 0.0


def test_a_loudness_that_the_ceiling_does_not_allow_is_told():
    samples = np.zeros((2, 6 * RATE_HZ), np.float32)
    samples[:, :: RATE_HZ // 4] = 0.5  # clicks: nothing but peaks
    out, target = levelled(samples, -5.0)
    found = measured(out)
    assert found.true_peak <= CEILING
    assert target.reached_lufs is not None
    assert target.reached_lufs < -10.0
    assert f"leaves it at {target.reached_lufs:.1f} LUFS" in target.note


def test_silence_stays_silence():
    out, target = levelled(np.zeros((2, RATE_HZ), np.float32), -14.0)
    assert not out.any()
    assert out.shape == (2, RATE_HZ)
    assert "too quiet" in target.note
