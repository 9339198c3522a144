"""What is refused, and with which reason."""

from __future__ import annotations

import grpc
import pytest

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import Mix, Output
from services.runtime.audio.formats import Encoding
from services.runtime.blobs import Blob
from services.runtime.errors import error_info_of

from .conftest import QueueFullError, encode

pytestmark = pytest.mark.asyncio


async def reason_of(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value.code(), error_info_of(refused.value).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"outputs": []}, "NO_OUTPUTS"),
        ({"outputs": [Output("mix"), Output("mix")]}, "NO_OUTPUTS"),
        ({"outputs": [Output("stem", ("trumpet",))]}, "UNKNOWN_STEM"),
        ({"mix": Mix().change("trumpet", gain_db=1.0)}, "UNKNOWN_TARGET"),
        ({"mix": Mix().change("vocals", gain_db=99.0)}, "MIX_OUT_OF_RANGE"),
        ({"mix": Mix().change("mix", gain_db=99.0)}, "MIX_OUT_OF_RANGE"),
        ({"encoding": 77}, "UNSUPPORTED_FORMAT"),
        ({"encoding": audio_pb2.ENCODING_MP3, "bitrate_kbps": 7}, "UNSUPPORTED_FORMAT"),
        ({"mix": Mix().change("vocals", gain_db=1.0), "model": "nine"}, "UNKNOWN_MODEL"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_with_its_reason(
    remixer, song, fields, reason
):
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    code, told = await reason_of(remixer.render(track, **fields))
    assert (code, told) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_track_that_is_not_there_is_not_found(remixer):
    missing = remixer.render(Blob("0" * 64, 5))
    assert await reason_of(missing) == (grpc.StatusCode.NOT_FOUND, "BLOB_NOT_FOUND")


async def test_a_track_that_is_no_audio_is_refused(remixer):
    track = remixer.put(b"this is a text, whatever its name says" * 100)
    refused = await reason_of(remixer.render(track))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_AUDIO")


async def test_an_error_of_the_separator_is_passed_on(remixer, song, separator):
    separator.error = QueueFullError("Too many wait.", retry_after_seconds=3.0)
    track = remixer.put(encode(song, Encoding.WAV_PCM24))
    refused = await reason_of(remixer.render(track, Mix().change("vocals", gain_db=1.0)))
    assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert remixer.partial_files() == []
