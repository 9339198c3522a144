"""Compression of a real song: less range, the same loudness."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from mixdown.mix import MASTER, TargetSettings
from services.remixer.chain import build_chain
from services.runtime.audio_reader import AudioReader

from .conftest import run

STREAMS = {MASTER: 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4}


def song() -> Path:
    spec = importlib.util.find_spec("stempeg")
    assert spec is not None and spec.submodule_search_locations
    return next((Path(spec.submodule_search_locations[0]) / "data").glob("*.stem.mp4"))


def loudness_lufs(samples: np.ndarray, rate_hz: int) -> float:
    """Integrated loudness, ITU-R BS.1770-4: K-weighting, 400 ms windows, both gates."""
    weighted = samples.astype(np.float64)
    for b, a in (_shelf(rate_hz), _high_pass(rate_hz)):
        weighted = lfilter(b, a, weighted, axis=1)
    window, hop = int(0.4 * rate_hz), int(0.1 * rate_hz)
    starts = range(0, samples.shape[1] - window, hop)
    powers = np.array([(weighted[:, s : s + window] ** 2).mean(axis=1).sum() for s in starts])
    loud = powers[_lufs(powers) > -70]
    return float(_lufs(loud[_lufs(loud) > _lufs(loud.mean()) - 10].mean()))


def _lufs(power):
    return -0.691 + 10 * np.log10(power + 1e-15)


def _shelf(rate_hz: int):
    k, q = np.tan(np.pi * 1681.974450955533 / rate_hz), 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = [(high + band * k / q + k * k), 2 * (k * k - high), (high - band * k / q + k * k)]
    return np.array(b) / a0, np.array([a0, 2 * (k * k - 1), 1 - k / q + k * k]) / a0


def _high_pass(rate_hz: int):
    k, q = np.tan(np.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    a0 = 1 + k / q + k * k
    return np.array([1.0, -2.0, 1.0]), np.array([a0, 2 * (k * k - 1), 1 - k / q + k * k]) / a0


def test_a_full_scale_sine_at_1_khz_measures_minus_3_lufs():
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000)[None, :]
    assert loudness_lufs(sine, 48_000) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("target", list(STREAMS))
def test_compression_keeps_the_loudness_of_a_real_song_within_1_lu(target):
    with AudioReader(song(), STREAMS[target]) as reader:
        samples = reader.read(1 << 30)
        rate_hz = reader.sample_rate_hz
    before = loudness_lufs(samples, rate_hz)
    for level in ("low", "medium", "high"):
        chain = build_chain(target, TargetSettings(compression=level), rate_hz, 2)
        assert loudness_lufs(run(chain, samples), rate_hz) == pytest.approx(before, abs=1.0)
