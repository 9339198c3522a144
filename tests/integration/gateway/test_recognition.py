"""What a file is, its content tells; its name says what it likes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from functools import partial

import av
import numpy as np
import pytest

from mixdown.conversation.v1 import conversation_pb2
from services.runtime.audio.formats import Encoding, FileFormat
from services.runtime.audio.writer import AudioWriter
from tests.integration.gateway.conftest import Caller, noise_wav
from tests.integration.gateway.test_uploads import send, start_of

RATE_HZ = 48_000  # Opus has no other
SECONDS = 0.5
TAG_BYTES = 300_000  # a picture, as music has it


def samples() -> np.ndarray:
    noise = np.random.default_rng(6).standard_normal((2, int(RATE_HZ * SECONDS)))
    return (0.1 * noise).astype(np.float32)


def encoded(container: str, codec: str) -> Callable[[], bytes]:
    def encode() -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as target:
            stream = target.add_stream(codec, rate=RATE_HZ, layout="stereo")
            frame = av.AudioFrame.from_ndarray(samples(), "fltp", "stereo")
            frame.sample_rate = RATE_HZ
            fit = av.AudioResampler(stream.format, "stereo", RATE_HZ, stream.frame_size or None)
            for part in [*fit.resample(frame), *fit.resample(None)]:
                target.mux(stream.encode(part))
            target.mux(stream.encode(None))
        return file.getvalue()

    return encode


def ogg_vorbis() -> bytes:
    writer = AudioWriter(FileFormat(Encoding.OGG_VORBIS), RATE_HZ, 2, samples().shape[1])
    return writer.write(samples()) + writer.finish()


def mp3_behind_a_picture() -> bytes:
    size = bytes(TAG_BYTES >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + size + bytes(TAG_BYTES) + encoded("mp3", "libmp3lame")()


FILES = [
    (partial(noise_wav, SECONDS), "one.mp3", "wav", "pcm_s16le"),
    (encoded("wav", "pcm_s24le"), "two.flac", "wav", "pcm_s24le"),
    (encoded("wav", "pcm_f32le"), "three.txt", "wav", "pcm_f32le"),
    (encoded("flac", "flac"), "four.wav", "flac", "flac"),
    (encoded("aiff", "pcm_s16be"), "five.m4a", "aiff", "pcm_s16be"),
    (encoded("mp3", "libmp3lame"), "six.aiff", "mp3", "mp3"),
    (mp3_behind_a_picture, "seven.ogg", "mp3", "mp3"),
    (encoded("adts", "aac"), "eight.opus", "aac", "aac"),
    (encoded("ipod", "aac"), "nine.webm", "mov", "aac"),
    (encoded("ipod", "alac"), "ten.mp3", "mov", "alac"),
    (ogg_vorbis, "eleven.jpeg", "ogg", "vorbis"),
    (encoded("ogg", "libopus"), "twelve.aac", "ogg", "opus"),
    (encoded("webm", "libopus"), "thirteen", "matroska", "opus"),
]
"""What is in each file, the name it comes under, and what it is found to be."""


async def test_a_file_is_known_by_its_content_whatever_its_name_says(caller: Caller):
    async def find(content: Callable[[], bytes], name: str) -> conversation_pb2.Track:
        data = content()
        start = start_of(data, name.partition(".")[0], display_name=name)
        return await send(caller, start, data)

    tracks = await asyncio.gather(*(find(content, name) for content, name, *_ in FILES))
    for track, (_, name, container, codec) in zip(tracks, FILES, strict=True):
        assert track.display_name == name
        assert container in track.audio.container.split(","), name
        # Of several decoders of one codec FFmpeg names the one it took: "mp3float", "libopus".
        assert codec in track.audio.codec, name
        assert track.audio.channels == 2
        seconds = track.audio.frames / track.audio.sample_rate_hz
        assert seconds == pytest.approx(SECONDS, abs=0.1), name
