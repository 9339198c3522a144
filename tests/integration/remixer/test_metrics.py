"""What the remixer counts, as renders on a socket make it."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix, Output
from services.runtime.audio.formats import Encoding
from tests.metrics import growth, value
from tests.patience import PATIENCE_SECONDS

from .conftest import RATE_HZ, QueueFullError, encode

LOUDER = Mix().change("vocals", gain_db=3.0)


def renders(outcome: str):
    return growth("mixdown_remixer_renders_total", outcome=outcome)


def first_audio(source: str):
    return growth("mixdown_remixer_first_audio_seconds_count", source=source)


async def test_a_render_is_counted_with_its_music_and_its_bytes(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    completed, heard = renders("completed"), first_audio("stems")
    outputs = growth("mixdown_remixer_outputs_total", encoding="wav_pcm24", cached="no")
    audio = growth("mixdown_remixer_audio_seconds_total")
    sent = growth("mixdown_remixer_sent_bytes_total")
    speeds = growth("mixdown_remixer_real_time_factor_count", source="stems")
    rendered = await remixer.render(track, LOUDER)
    assert (completed(), heard(), outputs(), speeds()) == (1, 1, 1, 1)
    assert audio() == pytest.approx(song.shape[1] / RATE_HZ)
    assert sent() == len(rendered.files["mix"])
    assert value("mixdown_remixer_renders_in_progress") == 0


async def test_a_render_that_was_made_before_is_told_from_a_new_one(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    await remixer.render(track, LOUDER)
    stored = first_audio("stored")
    cached = growth("mixdown_remixer_outputs_total", encoding="wav_pcm24", cached="yes")
    audio = growth("mixdown_remixer_audio_seconds_total")
    await remixer.render(track, LOUDER)
    assert (stored(), cached(), audio()) == (1, 1, 0)


async def test_a_render_that_waits_for_its_stems_is_told_from_others(remixer, song, separator):
    separator.cached = False
    separated = first_audio("separated")
    await remixer.render(remixer.put(encode(song, Encoding.WAV_PCM24)), LOUDER)
    assert separated() == 1


async def test_what_is_clipped_or_limited_is_counted(remixer, song):
    track = remixer.put(encode(song, Encoding.WAV_PCM16))
    loud = Mix().change("vocals", gain_db=24.0)
    samples = growth("mixdown_remixer_clipped_samples_total")
    files = growth("mixdown_remixer_clipped_outputs_total")
    limited = growth("mixdown_remixer_limited_db_count")
    rendered = await remixer.render(track, loud, outputs=[Output("stem", ("vocals",))])
    assert samples() == rendered.finished["vocals"].clipped_samples > 0
    assert (files(), limited()) == (1, 0)
    mix = await remixer.render(track, loud, encoding=audio_pb2.ENCODING_WAV_FLOAT32)
    assert mix.finished["mix"].limited_db > 0
    assert (files(), limited()) == (1, 1)


async def test_renders_are_counted_by_how_they_end(remixer, song, separator):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    refused, failed, cancelled = renders("refused"), renders("failed"), renders("cancelled")
    with pytest.raises(grpc.aio.AioRpcError):
        await remixer.render(track, Mix().change("trumpet", gain_db=1.0))
    separator.error = QueueFullError("Too many wait.")
    with pytest.raises(grpc.aio.AioRpcError):
        await remixer.render(track, LOUDER)
    assert (refused(), failed()) == (2, 0)

    separator.error = None
    separator.pause_after_chunks = 1
    call = remixer.call(track, LOUDER)
    await anext(aiter(call))
    assert value("mixdown_remixer_renders_in_progress") == 1
    call.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not cancelled():  # noqa: ASYNC110  # no event tells of a count
            await asyncio.sleep(0.01)
    assert value("mixdown_remixer_renders_in_progress") == 0

    remixer.store.delete(track.sha256)
    missing = renders("refused")
    with pytest.raises(grpc.aio.AioRpcError):
        await remixer.render(track, Mix().change("mix", gain_db=1.0))
    assert missing() == 1
