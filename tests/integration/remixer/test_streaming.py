"""A render as a stream: how it begins, is slowed down, and is stopped."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from mixdown.mix import Mix
from mixdown.remixer.v1 import remixer_pb2
from services.runtime.audio.formats import Encoding
from tests.patience import PATIENCE_SECONDS

from .conftest import RATE_HZ, STEMS, encode, noise

pytestmark = pytest.mark.asyncio


async def test_the_first_bytes_come_while_the_separator_still_works(remixer, song, separator):
    separator.pause_after_chunks = 1
    separator.cached = False
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio" and len(response.audio.data) > 10_000:
            break
    assert separator.chunks_sent == 1
    separator.resume.set()
    rest = [response async for response in call]
    assert rest[-1].WhichOneof("event") == "finished"


async def test_progress_tells_of_the_queue_and_of_the_separation(remixer, song, separator):
    separator.cached = False
    separator.queue_positions = (2, 1)
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    rendered = await remixer.render(track, Mix().change("vocals", gain_db=3.0))
    progress = [r.progress for r in rendered.responses if r.WhichOneof("event") == "progress"]
    stage = remixer_pb2.RenderProgress
    assert [item.queue_position for item in progress if item.stage == stage.STAGE_QUEUED] == [2, 1]
    fractions = [item.fraction for item in progress if item.stage == stage.STAGE_SEPARATING]
    assert fractions == sorted(fractions)
    assert max(fractions) > 0.5


async def until_no_partial_files(remixer) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while remixer.partial_files():  # noqa: ASYNC110 - a state of the disk
            await asyncio.sleep(0.05)


async def test_cancelling_stops_the_separator_and_leaves_no_file(remixer, song, separator):
    separator.pause_after_chunks = 1
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio":
            break
    assert remixer.partial_files()
    call.cancel()
    await asyncio.wait_for(separator.cancelled.wait(), PATIENCE_SECONDS)
    await until_no_partial_files(remixer)
    assert not list((remixer.folder / "records" / "renders").glob("*"))


async def test_a_cancelled_render_makes_room_for_another_one(remixer, song, separator):
    separator.pause_after_chunks = 0
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    calls = [remixer.call(track, Mix().change("vocals", gain_db=gain)) for gain in (1.0, 2.0)]
    for call in calls:
        await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await remixer.render(track)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):  # else they still hold their places
        while True:
            try:
                await remixer.render(track)
                return
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)


async def test_a_caller_that_does_not_read_stops_the_render_and_can_go_away(remixer, separator):
    frames = 60 * RATE_HZ
    long = noise(frames)
    separator.stems = dict.fromkeys(STEMS, long)
    track = remixer.put(encode(long, Encoding.WAV_FLOAT32))
    call = remixer.call(track, Mix().change("vocals", gain_db=3.0))
    async for response in call:
        if response.WhichOneof("event") == "audio":
            break
    (file,) = remixer.partial_files()
    before, written = -1, 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while before != written:  # until it comes to rest
            await asyncio.sleep(0.7)
            before, written = written, file.stat().st_size
    assert written < frames * 8 / 2
    assert separator.chunks_sent * separator.chunk_frames < frames
    call.cancel()
    await until_no_partial_files(remixer)
    await asyncio.wait_for(separator.cancelled.wait(), PATIENCE_SECONDS)
