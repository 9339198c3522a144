"""Rates, channels and encodings of what comes out."""

from __future__ import annotations

import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import RANGES, Mix, Output
from mixdown.remixer.v1 import remixer_pb2
from services.runtime.audio.formats import Encoding

from .conftest import RATE_HZ, STEMS, decibels, encode, noise

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(48_000, 2), (44_100, 1), (22_050, 1), (96_000, 2)]
)
async def test_rate_channels_and_length_of_the_original_are_kept(remixer, rate_hz, channels):
    frames = 2 * rate_hz + 77
    original = noise(frames, channels, seed=5)
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32, rate_hz))
    rendered = await remixer.render(track, Mix().change("vocals", gain_db=3.0))
    assert rendered.samples("mix").shape == original.shape
    assert rendered.started["mix"].sample_rate_hz == rate_hz
    expected_notes = (rate_hz != RATE_HZ) + (channels != 2)
    assert len(rendered.notes) == expected_notes


async def test_resampled_stems_stay_in_time(remixer, separator):
    seconds = np.arange(2 * 48_000) / 48_000
    tone = np.sin(2 * np.pi * 1000 * seconds)
    original = np.tile(0.3 * tone, (2, 1)).astype(np.float32)
    at_model = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE_HZ) / RATE_HZ)
    separator.stems = {stem: np.tile(0.3 * at_model, (2, 1)).astype(np.float32) for stem in STEMS}
    track = remixer.put(encode(original, Encoding.WAV_FLOAT32, 48_000))
    rendered = await remixer.render(track, Mix().change("vocals", muted=True))
    middle = rendered.samples("mix")[:, 4800:-4800]
    assert decibels(np.abs(middle).max() / 0.3) < -100


async def test_clipping_in_an_integer_format_is_counted_and_reported(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM16))
    loud = Mix().change("vocals", gain_db=24.0)  # stems are not limited
    vocals = {"outputs": [Output("stem", ("vocals",))]}
    rendered = await remixer.render(track, loud, **vocals)
    finished = rendered.finished["vocals"]
    expected = np.abs(remixer.separator.stems["vocals"] * np.float32(10 ** (24 / 20)))
    assert finished.peak == pytest.approx(expected.max(), rel=1e-5)
    assert finished.clipped_samples == pytest.approx(np.count_nonzero(expected > 1.0), rel=0.01)
    assert finished.limited_db == 0.0
    as_float = await remixer.render(track, loud, **vocals, encoding=audio_pb2.ENCODING_WAV_FLOAT32)
    assert as_float.finished["vocals"].clipped_samples == 0
    assert np.abs(as_float.samples("vocals")).max() == pytest.approx(finished.peak)


@pytest.mark.parametrize("encoding", [value for value in audio_pb2.Encoding.values() if value != 0])
async def test_every_encoding_can_be_rendered_and_decoded(remixer, song, encoding):
    track = remixer.put(encode(song, Encoding.WAV_PCM24, tags={"title": "Song"}))
    rendered = await remixer.render(track, encoding=encoding)
    started = rendered.started["mix"]
    samples = rendered.samples("mix")
    assert samples.shape[0] == 2
    # A fragmented MP4 cannot tell where its last block ends, and FFmpeg ends Vorbis on a block, a
    # little earlier or later.
    loose = {audio_pb2.ENCODING_M4A_AAC, audio_pb2.ENCODING_OGG_VORBIS}
    assert abs(samples.shape[1] - started.frames) < (1024 if encoding in loose else 1)
    assert started.format.encoding == encoding


async def test_an_encoding_without_the_original_rate_is_resampled_and_says_so(remixer):
    original = noise(96_000 * 2, seed=3)
    track = remixer.put(encode(original, Encoding.WAV_PCM24, 96_000))
    rendered = await remixer.render(track, encoding=audio_pb2.ENCODING_MP3)
    assert rendered.started["mix"].sample_rate_hz == 48_000
    assert rendered.started["mix"].frames == 96_000
    assert any("48000 Hz" in note for note in rendered.notes)
    again = await remixer.render(track, encoding=audio_pb2.ENCODING_MP3)
    assert again.notes == rendered.notes


async def test_effects_and_encodings_are_told(remixer):
    answer = await remixer.stub.GetEffects(remixer_pb2.GetEffectsRequest())
    effects = {effect.setting: effect for effect in answer.effects}
    assert (effects["gain_db"].minimum, effects["gain_db"].maximum) == (-60.0, 24.0)
    assert effects["gain_db"].unit == "dB"
    assert effects["width"].neutral == 1.0
    told = {name: (effect.minimum, effect.maximum) for name, effect in effects.items()}
    assert {name: told[name] for name in RANGES} == {
        name: (item.minimum, item.maximum) for name, item in RANGES.items()
    }
    assert list(effects["compression"].choices) == ["none", "low", "medium", "high"]
    assert set(answer.encodings) == {value for value in audio_pb2.Encoding.values() if value}
