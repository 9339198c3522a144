"""A track as a model wants it: its rate, its channels, its exact length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.audio.rate import frames_at
from services.runtime.errors import UndecodableAudioError
from services.separator.track import SegmentCutter, TrackReader, measure_levels
from tests.separator_models import music, snr_db, write_wav


def read(path: Path, rate_hz: int, channels: int = 2) -> np.ndarray:
    with TrackReader(path.open("rb"), rate_hz, channels) as track:
        return np.concatenate(list(track.blocks()), axis=1)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(1, 3000),
    rate=st.sampled_from([8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000]),
)
def test_every_rate_gives_the_length_rounded_half_up(
    tmp_path_factory: pytest.TempPathFactory, frames: int, rate: int
) -> None:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    write_wav(path, music(frames / rate, rate), rate)
    assert read(path, 44_100).shape == (2, frames_at(44_100, frames, rate))
    assert frames_at(44_100, frames, rate) == int(np.floor(frames * 44_100 / rate + 0.5))


def test_the_models_own_rate_is_read_sample_for_sample(tmp_path: Path) -> None:
    samples = music(1.0, 44_100)
    write_wav(tmp_path / "song.wav", samples, 44_100)
    assert np.array_equal(read(tmp_path / "song.wav", 44_100), samples)


def test_resampling_keeps_sounds_where_they_are(tmp_path: Path) -> None:
    def tone(rate_hz: int) -> np.ndarray:
        seconds = np.arange(rate_hz * 8) / rate_hz
        fade = np.minimum(1, np.minimum(seconds, seconds[::-1]) / 0.5)
        wave = 0.5 * fade * np.sin(2 * np.pi * 440 * seconds)
        return np.stack([wave, -wave]).astype(np.float32)

    write_wav(tmp_path / "song.wav", tone(48_000), 48_000)
    assert snr_db(tone(44_100), read(tmp_path / "song.wav", 44_100)) > 70


def test_mono_is_given_to_both_channels(tmp_path: Path) -> None:
    samples = music(0.5, 44_100, channels=1)
    write_wav(tmp_path / "song.wav", samples, 44_100)
    assert np.array_equal(read(tmp_path / "song.wav", 44_100), np.repeat(samples, 2, axis=0))


def test_levels_are_those_that_torch_computes(tmp_path: Path) -> None:
    samples = music(20.0, 44_100) + np.float32(0.2)
    write_wav(tmp_path / "song.wav", samples, 44_100)
    with TrackReader((tmp_path / "song.wav").open("rb"), 44_100, 2) as track:
        levels = measure_levels(track)
    mono = torch.from_numpy(samples).double().mean(0)
    assert levels.frames == samples.shape[1]
    assert levels.mean == pytest.approx(float(mono.mean()), rel=1e-6)
    assert levels.deviation == pytest.approx(float(mono.std()) + 1e-8, rel=1e-6)


def test_silence_has_levels_that_can_be_divided_by(tmp_path: Path) -> None:
    write_wav(tmp_path / "song.wav", np.zeros((2, 1000), np.float32), 44_100)
    with TrackReader((tmp_path / "song.wav").open("rb"), 44_100, 2) as track:
        levels = measure_levels(track)
    assert (levels.mean, levels.deviation) == (0.0, 1e-8)


def test_measuring_can_be_stopped(tmp_path: Path) -> None:
    write_wav(tmp_path / "song.wav", music(1.0, 44_100), 44_100)
    with TrackReader((tmp_path / "song.wav").open("rb"), 44_100, 2) as track:
        assert measure_levels(track, lambda: True).frames == 0


def test_cuts_reach_into_the_music_around_them_and_into_silence_beyond(tmp_path: Path) -> None:
    samples = music(0.1, 1_000)
    write_wav(tmp_path / "song.wav", samples, 1_000)
    with TrackReader((tmp_path / "song.wav").open("rb"), 1_000, 2) as track:
        levels = measure_levels(track)
    with TrackReader((tmp_path / "song.wav").open("rb"), 1_000, 2) as track:
        cut = SegmentCutter(track, levels).cut(-5, 120, needed_from=0)
    expected = (samples - np.float32(levels.mean)) / np.float32(levels.deviation)
    assert np.array_equal(cut[:, 5:105], expected)
    assert not cut[:, :5].any()
    assert not cut[:, 105:].any()


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(tmp_path: Path, damage: float) -> None:
    samples = music(0.1, 44_100)
    samples[0, 50] = damage
    write_wav(tmp_path / "song.wav", samples, 44_100)
    with pytest.raises(UndecodableAudioError):
        read(tmp_path / "song.wav", 44_100)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_text("La la la. " * 1000)
    with pytest.raises(UndecodableAudioError):
        read(tmp_path / "song.mp3", 44_100)
