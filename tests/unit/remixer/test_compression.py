"""Compression: less range, the same loudness, the curve that is written down."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mixdown.mix import MASTER, TargetSettings
from services.remixer.chain import Track, build_chain
from services.remixer.effects.compression import (
    PRESETS,
    Compression,
    LevelDetector,
    curve_db,
    step_frames,
)
from services.runtime.audio.loudness import LoudnessMeter
from services.runtime.audio.reader import AudioReader

from .conftest import RATE_HZ, noise, run, tone

LEVELS = ("low", "medium", "high")
STREAMS = {MASTER: 0, "drums": 1, "bass": 2, "other": 3, "vocals": 4}


def loudness_lufs(samples, rate_hz=RATE_HZ) -> float:
    meter = LoudnessMeter(rate_hz, samples.shape[0])
    meter.add(samples)
    return meter.result().integrated_lufs


def dynamic_range_db(samples) -> float:
    """Range between the loud and the quiet tenth of windows of 50 ms."""
    frames = RATE_HZ // 20
    count = samples.shape[1] // frames
    windows = samples[:, : count * frames].reshape(2, count, frames)
    levels = 10 * np.log10((windows.astype(np.float64) ** 2).mean(axis=(0, 2)) + 1e-12)
    return float(np.percentile(levels, 90) - np.percentile(levels, 10))


def swell() -> np.ndarray:
    """Noise whose level moves over 30 dB."""
    steps = 10 ** (np.tile([-36, -24, -12, -18, -6, -30], 4) / 20)
    level = np.repeat(steps, RATE_HZ // 2)
    return (noise(len(level), level=0.5) * level).astype(np.float32)


@pytest.fixture(scope="module", params=list(STREAMS))
def song(request):
    spec = importlib.util.find_spec("stempeg")
    assert spec is not None and spec.submodule_search_locations
    path = next((Path(spec.submodule_search_locations[0]) / "data").glob("*.stem.mp4"))

    def read(stream: int):
        with AudioReader(path, stream) as reader:
            return reader.read(1 << 30)

    return request.param, read(STREAMS[request.param]), loudness_lufs(read(0))


def test_levels_of_compression_of_a_real_song_leave_less_range_at_the_same_loudness(song):
    target, samples, track_lufs = song
    ranges = [dynamic_range_db(samples)]
    for level in LEVELS:
        settings = TargetSettings(compression=level)
        out = run(
            build_chain(target, settings, Track(RATE_HZ, 2, samples.shape[1], track_lufs)), samples
        )
        assert loudness_lufs(out) == pytest.approx(loudness_lufs(samples), abs=1.0)
        ranges.append(dynamic_range_db(out))
    assert (np.diff(ranges) < 0).all(), ranges


def test_each_level_of_compression_leaves_less_dynamic_range():
    samples = swell()
    reference = loudness_lufs(samples)
    ranges = [dynamic_range_db(samples)]
    for level in LEVELS:
        out = run(Compression(level, RATE_HZ, 2, reference), samples)
        ranges.append(dynamic_range_db(out))
        assert loudness_lufs(out) == pytest.approx(reference, abs=1.0)
    assert (-np.diff(ranges) > 2.0).all(), ranges


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("gain_db", [-20.0, 6.0])
def test_a_quieter_track_is_compressed_as_much_as_a_louder_one(level, gain_db):
    samples = swell()[:, : 6 * RATE_HZ]
    reference = loudness_lufs(samples)
    factor = np.float32(10 ** (gain_db / 20))
    once = run(Compression(level, RATE_HZ, 2, reference), samples)
    shifted = run(Compression(level, RATE_HZ, 2, reference + gain_db), samples * factor)
    assert np.abs(shifted / factor - once).max() < 2e-3 * np.abs(once).max()


@pytest.mark.parametrize("level", LEVELS)
def test_a_steady_tone_follows_the_curve_that_is_written_down(level):
    preset = PRESETS[level]
    for over_db in (-20.0, -2.0, 0.0, 5.0, 15.0):
        # A sine in both channels has the level of its amplitude, less 0.69.
        samples = tone(1000, RATE_HZ, 10 ** (-20 / 20))
        reference = -20.0 - 0.691 - over_db - preset.threshold_lu
        compression = Compression(level, RATE_HZ, 2, reference)
        gain_db = 20 * np.log10(compression._gain(samples)[RATE_HZ // 2 :])
        slope = 1 / preset.ratio - 1
        if over_db <= -preset.knee_db / 2:
            expected = 0.0
        elif over_db >= preset.knee_db / 2:
            expected = slope * over_db
        else:
            expected = slope * (over_db + preset.knee_db / 2) ** 2 / (2 * preset.knee_db)
        # The follower rides on the ripple of the power: a little above its mean.
        assert gain_db.mean() == pytest.approx(expected, abs=0.15)


def test_the_knee_joins_both_lines_without_a_corner():
    level_db = np.linspace(-40, 0, 4001)
    slopes = np.diff(curve_db(level_db, -20.0, 4.0, 8.0)) / np.diff(level_db)
    assert slopes[0] == pytest.approx(0.0)
    assert slopes[-1] == pytest.approx(-0.75)
    assert np.abs(np.diff(slopes)).max() < 0.002


def test_the_detector_rises_and_falls_with_its_time_constants():
    rate_hz = 4410.0
    detector = LevelDetector(20.0, 200.0, rate_hz)
    power = np.zeros(13_230)
    power[2000:6410] = 1.0
    amplitude = 10 ** ((detector.level_db(power) + 0.691) / 20)
    assert amplitude[6409] == pytest.approx(1.0, abs=1e-3)
    rise = np.argmax(amplitude > 1 - np.exp(-1)) - 2000
    fall = np.argmax(amplitude[6410:] < np.exp(-1))
    assert rise / rate_hz == pytest.approx(0.020, abs=0.006)  # and 5 ms of smoothing
    assert fall / rate_hz == pytest.approx(0.200, abs=0.010)


@pytest.mark.parametrize("level", LEVELS)
def test_compression_keeps_the_stereo_image(level):
    left = noise(RATE_HZ, 1, level=0.3)
    samples = np.concatenate((left, left / 4))
    compressed = run(Compression(level, RATE_HZ, 2), samples)
    assert np.allclose(compressed[0], 4 * compressed[1], rtol=1e-5, atol=1e-7)


def test_compression_leaves_silence_silent():
    assert not run(Compression("high", RATE_HZ, 2), np.zeros((2, 10_000), np.float32)).any()


def test_a_drum_that_comes_out_of_silence_does_not_jump_over_the_rest():
    samples = noise(3 * RATE_HZ, level=0.02)
    for hit in range(RATE_HZ // 4, 3 * RATE_HZ, RATE_HZ // 2):
        decay = np.exp(-np.arange(4000) / 800)
        samples[:, hit : hit + 4000] += (noise(4000, seed=hit) * 5 * decay).astype(np.float32)
    out = run(Compression("high", RATE_HZ, 2, loudness_lufs(samples)), samples)
    assert np.abs(out).max() < np.abs(samples).max()


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_a_step_of_the_detector_divides_a_hop_and_is_short(rate_hz):
    assert round(0.1 * rate_hz) % step_frames(rate_hz) == 0
    assert step_frames(rate_hz) / rate_hz <= 0.00025
