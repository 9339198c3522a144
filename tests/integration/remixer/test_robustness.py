"""Inputs at the edges: silence, a constant, one frame, no numbers, missing stems, extreme rates."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.mix import Mix
from services.runtime.audio.formats import Encoding
from services.runtime.audio.wav_encoder import WavEncoder

from .conftest import EVERYTHING, RATE_HZ, STEMS, encode, noise

pytestmark = pytest.mark.asyncio


async def test_silence_has_no_loudness(remixer, separator):
    silent = np.zeros((2, RATE_HZ), np.float32)
    separator.stems = dict.fromkeys(STEMS, silent)
    track = remixer.put(encode(silent, Encoding.WAV_PCM16))
    rendered = await remixer.render(track, EVERYTHING)
    finished = rendered.finished["mix"]
    assert not rendered.samples("mix").any()
    assert not finished.loudness.HasField("integrated_lufs")
    assert not finished.loudness.HasField("true_peak_dbtp")
    assert not finished.original_loudness.HasField("integrated_lufs")


async def test_a_constant_offset_passes_through_everything(remixer, separator):
    frames = 2 * RATE_HZ
    constant = np.full((1, frames), 0.1, np.float32)
    separator.stems = dict.fromkeys(STEMS, constant)
    track = remixer.put(encode(4 * constant, Encoding.WAV_PCM24))
    rendered = await remixer.render(track, EVERYTHING)
    assert np.isfinite(rendered.samples("mix")).all()
    muted = await remixer.render(track, Mix().change("vocals", muted=True))
    assert np.abs(muted.samples("mix") - 0.3).max() < 4e-7  # dithered on both sides


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 192_000])
async def test_every_effect_works_at_the_lowest_and_highest_rates(remixer, rate_hz):
    original = noise(rate_hz, 1, seed=5, level=0.1)
    track = remixer.put(encode(original, Encoding.WAV_PCM24, rate_hz))
    rendered = await remixer.render(track, EVERYTHING)
    assert rendered.started["mix"].sample_rate_hz == rate_hz
    samples = rendered.samples("mix")
    assert samples.shape[1] == rendered.started["mix"].frames > original.shape[1]
    assert 0.05 < samples.std() < 0.5


async def test_stems_that_are_no_numbers_become_silence(remixer, song, separator):
    separator.stems["vocals"] = separator.stems["vocals"].copy()
    separator.stems["vocals"][:, 5000:6000] = np.nan
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, EVERYTHING)
    assert np.isfinite(rendered.samples("mix")).all()


async def test_stems_that_end_early_are_silent_to_the_end(remixer, song, separator):
    separator.stems = {stem: samples[:, :50_000] for stem, samples in separator.stems.items()}
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, Mix().change("vocals", muted=True))
    assert rendered.samples("mix").shape == song.shape
    assert np.array_equal(rendered.samples("mix")[:, 50_000:], song[:, 50_000:])


async def test_one_frame_can_be_rendered(remixer, separator):
    original = np.array([[0.25], [-0.5]], np.float32)
    separator.stems = dict.fromkeys(STEMS, original / 4)
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32))
    mix = Mix().change("vocals", pitch_semitones=3.0).change("drums", compression="low")
    rendered = await remixer.render(track, mix.change("bass", muted=True))
    assert rendered.samples("mix").shape == (2, 1)


async def test_samples_that_are_no_numbers_become_silence_and_are_reported(remixer, song):
    broken = song.copy()
    broken[0, 1000:1010] = np.nan
    broken[1, 2000] = np.inf
    broken[1, 3000] = 1e20
    file = WavEncoder(32, RATE_HZ, *broken.shape, {})
    track = remixer.put(file.start() + file.encode(broken))
    rendered = await remixer.render(track)
    expected = np.where(np.abs(broken) < 1e10, broken, 0.0)
    assert np.array_equal(rendered.samples("mix"), expected)
    assert rendered.notes == ["silenced 12 samples that were no numbers or far too large"]
