"""The end of a mix: ceiling, loudness, dither, tags."""

from __future__ import annotations

import asyncio
import io

import numpy as np
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix, Output
from services.runtime.audio.formats import Encoding
from services.runtime.audio.loudness import LoudnessMeter
from services.runtime.audio.reader import AudioReader
from tests.patience import PATIENCE_SECONDS

from .conftest import RATE_HZ, encode

pytestmark = pytest.mark.asyncio


def measured(samples, rate_hz: int = RATE_HZ):
    meter = LoudnessMeter(rate_hz, samples.shape[0])
    meter.add(samples)
    return meter.result()


async def test_the_true_peak_of_a_mix_never_lies_above_the_ceiling(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    loud = Mix().change("mix", gain_db=24.0)
    rendered = await remixer.render(track, loud)
    finished = rendered.finished["mix"]
    assert measured(rendered.samples("mix")).true_peak_dbtp <= -1.0
    assert finished.loudness.true_peak_dbtp <= -1.0
    assert finished.clipped_samples == 0
    assert 10.0 < finished.limited_db < 24.0


async def test_an_original_above_the_ceiling_keeps_its_own_peak(remixer, song):
    hot = (song * np.float32(1.2 / np.abs(song).max())).astype(np.float32)
    track = remixer.put(encode(hot, Encoding.WAV_FLOAT32))
    original = measured(hot)
    louder = await remixer.render(track, Mix().change("vocals", gain_db=12.0))
    peak = measured(louder.samples("mix")).true_peak
    assert 0.9 * original.true_peak < peak <= original.true_peak
    # Nothing to limit, nothing changed.
    softer = await remixer.render(track, Mix().change("mix", gain_db=-1.0))
    assert np.array_equal(softer.samples("mix"), hot * np.float32(10 ** (-1 / 20)))
    assert softer.finished["mix"].limited_db == 0.0


async def test_loudness_and_true_peak_of_original_and_result_are_told(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, Mix().change("mix", gain_db=-6.0))
    again = await remixer.render(track, Mix().change("mix", gain_db=-6.0))
    for finished in (rendered.finished["mix"], again.finished["mix"]):
        expected = measured(song)
        assert finished.original_loudness.integrated_lufs == pytest.approx(expected.integrated_lufs)
        assert finished.original_loudness.true_peak_dbtp == pytest.approx(expected.true_peak_dbtp)
        change = finished.loudness.integrated_lufs - expected.integrated_lufs
        assert change == pytest.approx(-6.0, abs=0.02)
        change = finished.loudness.true_peak_dbtp - expected.true_peak_dbtp
        assert change == pytest.approx(-6.0, abs=0.02)


async def test_tags_are_carried_over_with_what_was_done_added(remixer, song):
    tags = {"title": "Song", "artist": "Somebody", "comment": "first take"}
    track = remixer.put(encode(song, Encoding.WAV_PCM24, tags=tags))
    mix = Mix().change("vocals", gain_db=3.0, reverb=0.3)
    for encoding in (
        audio_pb2.ENCODING_WAV_PCM24,
        audio_pb2.ENCODING_FLAC24,
        audio_pb2.ENCODING_MP3,
        audio_pb2.ENCODING_OGG_VORBIS,
        audio_pb2.ENCODING_OGG_OPUS,
        audio_pb2.ENCODING_M4A_AAC,
    ):
        rendered = await remixer.render(track, mix, encoding=encoding)
        with AudioReader(io.BytesIO(rendered.files["mix"])) as reader:
            told = reader.tags
        assert (told["title"], told["artist"]) == ("Song", "Somebody")
        done = "Mixdown (four): vocals gain_db 3, reverb 0.3"
        assert told["comment"] == f"first take | {done}", encoding
    untouched = await remixer.render(track)
    with AudioReader(io.BytesIO(untouched.files["mix"])) as reader:
        assert reader.tags["comment"] == "first take"


async def test_an_untouched_mix_is_bit_exact_at_its_own_depth_and_dithered_below(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    same = await remixer.render(track)
    assert np.array_equal(same.samples("mix"), song)
    coarse = await remixer.render(track, encoding=audio_pb2.ENCODING_WAV_PCM16)
    error = (coarse.samples("mix").astype(float) - song) * 2**15
    assert error.var() == pytest.approx(0.25, rel=0.02)


async def test_the_first_audio_of_stored_stems_comes_before_the_rest_of_them_is_there(
    remixer, song, separator
):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    await remixer.render(track)  # the first render of a track measures it
    separator.pause_after_chunks = separator.chunks_sent + 1
    mix = Mix().change("vocals", gain_db=1.0, reverb=0.2).change("drums", pan=0.3)
    call = remixer.call(track, mix)
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for response in call:
            # Beyond the header, which is known before anything is rendered.
            if response.WhichOneof("event") == "audio" and len(response.audio.data) > 1000:
                break
        else:
            pytest.fail("there was no audio")
    call.cancel()


async def test_a_mix_is_brought_to_the_loudness_wanted_and_stems_are_not(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    mix = Mix().change("vocals", gain_db=3.0, reverb=0.2)
    outputs = [Output("mix"), Output("stem", ("vocals",))]
    rendered = await remixer.render(track, mix, outputs=outputs, loudness_lufs=-16.0)
    finished = rendered.finished["mix"]
    assert finished.loudness.integrated_lufs == pytest.approx(-16.0, abs=0.2)
    assert finished.loudness.true_peak_dbtp <= -1.0
    assert rendered.started["mix"].format.loudness_lufs == -16.0
    assert rendered.started["mix"].frames == rendered.samples("mix").shape[1]
    assert any("for -16 LUFS" in note for note in rendered.notes)
    plain = await remixer.render(track, mix, outputs=outputs)
    assert plain.files["vocals"] == rendered.files["vocals"]
    assert plain.finished["vocals"].cached
    assert not plain.finished["mix"].cached
    again = await remixer.render(track, mix, outputs=outputs, loudness_lufs=-16.0)
    assert again.finished["mix"].cached
    assert again.files["mix"] == rendered.files["mix"]
    assert again.notes == rendered.notes


async def test_an_untouched_mix_can_be_brought_to_a_loudness_too(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_FLOAT32))
    rendered = await remixer.render(track, loudness_lufs=-23.0)
    assert remixer.separator.requests == []
    factor = rendered.samples("mix").std() / song.std()
    assert np.abs(rendered.samples("mix") - np.float32(factor) * song).max() < 1e-6
    assert rendered.finished["mix"].loudness.integrated_lufs == pytest.approx(-23.0, abs=0.1)
