"""A remixer over a real socket, before a separator that streams stems it was given."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import EqBand, Filter, Mix, Output, Passage, TargetSettings
from mixdown.mix.protobuf import mix_to_message, output_to_message
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from services.remixer.api import RemixerService
from services.remixer.render import Renderer
from services.remixer.settings import RemixerSettings
from services.remixer.stems import Separator
from services.runtime.audio.formats import Encoding, file_format
from services.runtime.audio.reader import AudioReader, Samples
from services.runtime.audio.writer import AudioWriter
from services.runtime.blobs import Blob
from services.runtime.blobs.folder import FolderBlobStore
from services.runtime.channels import connect
from services.runtime.errors import MixdownError, status_of
from services.runtime.server import Server

STEMS = ("bass", "drums", "other", "vocals")
RATE_HZ = 44_100
MIX_ONLY = (Output("mix"),)
EVERYTHING = Mix(
    {
        "vocals": TargetSettings(
            gain_db=3.0, reverb=0.4, eq=(EqBand("peak", 3000, 5.0),), pitch_semitones=2.0
        ),
        "drums": TargetSettings(compression="high", pan=-0.5, echo=0.3, echo_time_ms=90.0),
        "bass": TargetSettings(filters=(Filter("lowpass", cutoff_hz=400.0),), distortion=0.3),
        "other": TargetSettings(
            chorus=0.4,
            passages=(
                Passage(0.1, 0.3, TargetSettings(pitch_semitones=-3.0, reverb=0.2)),
                Passage(0.5, None, TargetSettings(gain_db=2.0, width=1.6)),
            ),
        ),
        "mix": TargetSettings(compression="low", reverb=0.1, fade_in_s=0.05),
    }
)


class QueueFullError(MixdownError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"


@dataclass
class GivenStems(separator_pb2_grpc.SeparatorServiceServicer):
    """A separator that implements the contract with stems it was given."""

    stems: dict[str, Samples] = field(default_factory=dict)
    sample_rate_hz: int = RATE_HZ
    chunk_frames: int = 30_000
    cached: bool = True
    weights_sha256: str = "a" * 64
    is_loaded: bool = True
    queue_positions: tuple[int, ...] = ()
    error: MixdownError | None = None
    pause_after_chunks: int | None = None
    requests: list[separator_pb2.SeparateRequest] = field(default_factory=list)
    chunks_sent: int = 0
    resume: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def ListModels(self, request, context):
        return separator_pb2.ListModelsResponse(
            models=[
                separator_pb2.Model(
                    name="four",
                    stems=STEMS,
                    weights_sha256=self.weights_sha256 if self.is_loaded else "",
                )
            ],
            default_model="four",
        )

    async def Separate(self, request, context):
        self.requests.append(request)
        try:
            async for response in self._responses(request):
                yield response
        except (asyncio.CancelledError, GeneratorExit):  # in the middle of work, or of a write
            self.cancelled.set()
            raise

    async def _responses(self, request):
        if self.error:
            raise self.error
        for position in self.queue_positions:
            yield separator_pb2.SeparateResponse(queued=separator_pb2.Queued(position=position))
        channels, frames = next(iter(self.stems.values())).shape
        yield separator_pb2.SeparateResponse(
            started=separator_pb2.SeparationStarted(
                model="four",
                weights_sha256=self.weights_sha256,
                sample_rate_hz=self.sample_rate_hz,
                channels=channels,
                frames=frames,
                stems=request.stems,
                cached=self.cached,
            )
        )
        for start in range(0, frames, self.chunk_frames):
            if self.pause_after_chunks is not None and self.chunks_sent >= self.pause_after_chunks:
                await self.resume.wait()
            for stem in request.stems:
                part = self.stems[stem][:, start : start + self.chunk_frames]
                yield separator_pb2.SeparateResponse(
                    audio=separator_pb2.StemAudio(
                        stem=stem, offset_frames=start, pcm=part.T.astype("<f4").tobytes()
                    )
                )
            self.chunks_sent += 1
            yield separator_pb2.SeparateResponse(
                progress=separator_pb2.SeparationProgress(fraction=min(1.0, start / frames))
            )
        yield separator_pb2.SeparateResponse(finished=separator_pb2.SeparationFinished())


@dataclass
class Rendered:
    """All that one call of Render gave."""

    responses: list[remixer_pb2.RenderResponse]
    first_offsets: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    started: dict[str, remixer_pb2.OutputStarted] = field(default_factory=dict)
    finished: dict[str, remixer_pb2.OutputFinished] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for response in self.responses:
            match response.WhichOneof("event"):
                case "output_started":
                    assert response.output_started.name not in self.started
                    self.started[response.output_started.name] = response.output_started
                case "audio":
                    audio = response.audio
                    self.first_offsets.setdefault(audio.name, audio.offset_bytes)
                    held = self.files.setdefault(audio.name, b"")
                    assert audio.name in self.started
                    assert audio.name not in self.finished
                    assert audio.offset_bytes == len(held) + self.first_offsets[audio.name]
                    assert 0 < len(audio.data) <= 512 * 1024
                    self.files[audio.name] = held + audio.data
                case "output_finished":
                    self.finished[response.output_finished.name] = response.output_finished

    @property
    def notes(self) -> list[str]:
        assert self.responses[-1].WhichOneof("event") == "finished"
        return list(self.responses[-1].finished.notes)

    def samples(self, name: str) -> Samples:
        return decode(self.files[name])


@dataclass
class Remixer:
    """A client of the remixer."""

    stub: remixer_pb2_grpc.RemixerServiceStub
    store: FolderBlobStore
    folder: Path
    separator: GivenStems

    def put(self, data: bytes) -> Blob:
        with self.store.create() as writer:
            writer.write(data)
            return writer.commit()

    def call(self, track: Blob, mix: Mix | None = None, outputs=MIX_ONLY, **fields):
        encoding = fields.pop("encoding", audio_pb2.ENCODING_UNSPECIFIED)
        bitrate_kbps = fields.pop("bitrate_kbps", 0)
        loudness_lufs = fields.pop("loudness_lufs", None)
        return self.stub.Render(
            remixer_pb2.RenderRequest(
                track=audio_pb2.Blob(sha256=track.sha256, size_bytes=track.size_bytes),
                mix=mix_to_message(mix or Mix()),
                outputs=[output_to_message(output) for output in outputs],
                format=audio_pb2.OutputFormat(
                    encoding=encoding, bitrate_kbps=bitrate_kbps, loudness_lufs=loudness_lufs
                ),
                **fields,
            )
        )

    async def render(self, track: Blob, mix: Mix | None = None, **fields) -> Rendered:
        return Rendered([response async for response in self.call(track, mix, **fields)])

    def partial_files(self) -> list[Path]:
        return list((self.folder / "partial").iterdir())


def encode(
    samples: Samples, encoding: Encoding, rate_hz: int = RATE_HZ, tags: dict | None = None
) -> bytes:
    channels, frames = samples.shape
    with AudioWriter(file_format(encoding), rate_hz, channels, frames, tags) as writer:
        return writer.write(samples) + writer.finish()


def decode(data: bytes) -> Samples:
    with AudioReader(io.BytesIO(data)) as reader:
        return reader.read(1 << 40)


def noise(frames: int, channels: int = 2, seed: int = 0, level: float = 0.05) -> Samples:
    random = np.random.default_rng(seed)
    return (random.standard_normal((channels, frames)) * level).astype(np.float32)


def decibels(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-12)))


@pytest.fixture
def separator() -> GivenStems:
    frames = 3 * RATE_HZ + 1234
    return GivenStems({stem: noise(frames, seed=i) for i, stem in enumerate(STEMS)})


@pytest.fixture
def song(separator: GivenStems) -> Samples:
    """The stems' sum and something that no stem explains, on the grid of 24 bits."""
    total = sum(separator.stems.values()) + noise(3 * RATE_HZ + 1234, seed=9, level=0.001)
    return (np.rint(total * 2**23) / 2**23).astype(np.float32)


@pytest_asyncio.fixture
async def remixer(tmp_path: Path, separator: GivenStems) -> AsyncIterator[Remixer]:
    source = aio.server(interceptors=[_RichErrors()])
    separator_pb2_grpc.add_SeparatorServiceServicer_to_server(separator, source)
    source_port = source.add_insecure_port("127.0.0.1:0")
    await source.start()
    folder = tmp_path / "blobs"
    store = FolderBlobStore(folder)
    settings = RemixerSettings(listen="127.0.0.1:0", drain_seconds=0)
    async with connect(f"127.0.0.1:{source_port}") as to_separator:
        renderer = Renderer(store, Separator(to_separator), max_renders=2)
        server = Server(
            settings,
            ["mixdown.remixer.v1.RemixerService"],
            lambda target: remixer_pb2_grpc.add_RemixerServiceServicer_to_server(
                RemixerService(renderer), target
            ),
        )
        await server.start()
        async with connect(f"127.0.0.1:{server.port}") as channel:
            yield Remixer(remixer_pb2_grpc.RemixerServiceStub(channel), store, folder, separator)
        await server.stop()
    await source.stop(0)


class _RichErrors(aio.ServerInterceptor):
    """Answers MixdownErrors as every server of the suite does."""

    async def intercept_service(self, continuation, handler_call_details):
        handler = await continuation(handler_call_details)
        if handler is None or not handler.response_streaming:
            return handler

        async def behaviour(request, context):
            try:
                async for response in handler.unary_stream(request, context):
                    yield response
            except MixdownError as error:
                await context.abort_with_status(status_of(error))

        return grpc.unary_stream_rpc_method_handler(
            behaviour,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
