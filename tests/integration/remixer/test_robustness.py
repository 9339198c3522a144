"""Inputs at the edges: silence, a constant, what is no number, the lowest and highest rates."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.mix import Mix
from services.runtime.audio.formats import Encoding

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
