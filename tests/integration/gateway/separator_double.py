"""A separator that keeps the contract and computes nothing: stems are shares of the track.

Run as a process of its own. Models tell how it behaves: "shares" is quick, "slow" sends a quarter
of a second of audio every 50 ms, "stuck" stops after a second of audio, "held" does so while there
is a file `held` beside the counter, "full" has no place, "busy" has one at the third request. How
many calls run is written to a file, the counter; whether each is in the background to `background`
beside it, a line each.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc

from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from services.runtime.audio.reader import AudioReader
from services.runtime.blobs import open_blob_store
from services.runtime.errors import MixdownError
from services.runtime.server import Server
from services.runtime.settings import BlobSettings

SHARES = {"vocals": 0.5, "drums": 0.25, "bass": 0.125, "other": 0.125}
MODELS = ("shares", "slow", "stuck", "held", "full", "busy")


class QueueFullError(MixdownError):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"


class SharesSeparator(separator_pb2_grpc.SeparatorServiceServicer):
    def __init__(self, settings: BlobSettings, counter: Path) -> None:
        self._blobs = open_blob_store(settings.blob_store)
        self._counter = counter
        self._running = 0
        self._refused = 0
        self._count(0)

    async def ListModels(self, request, context):
        models = [
            separator_pb2.Model(name=name, stems=SHARES, sample_rate_hz=44_100, channels=2)
            for name in MODELS
        ]
        return separator_pb2.ListModelsResponse(models=models, default_model="shares")

    async def Separate(self, request, context):
        if request.model == "full":
            raise QueueFullError("Too many requests wait.", retry_after_seconds=10)
        if request.model == "busy":
            self._refused += 1
            if self._refused % 3:
                raise QueueFullError("Too many requests wait.", retry_after_seconds=0.1)
        self._count(1)
        with self._counter.with_name("background").open("a") as file:
            file.write(f"{request.track.sha256} {request.background}\n")
        try:
            async for response in self._stems(request):
                yield response
        finally:
            self._count(-1)

    async def _stems(self, request):
        with self._blobs.open(request.track.sha256) as file, AudioReader(file) as reader:
            samples = reader.read(1 << 40)
        channels, frames = samples.shape
        yield separator_pb2.SeparateResponse(
            started=separator_pb2.SeparationStarted(
                model=request.model,
                weights_sha256="0" * 64,
                sample_rate_hz=reader.sample_rate_hz,
                channels=channels,
                frames=frames,
                stems=request.stems,
            )
        )
        step = reader.sample_rate_hz // 4
        for start in range(request.start_frame, frames, step):
            for stem in request.stems:
                part = samples[:, start : start + step] * SHARES[stem]
                yield separator_pb2.SeparateResponse(
                    audio=separator_pb2.StemAudio(
                        stem=stem, offset_frames=start, pcm=part.T.astype("<f4").tobytes()
                    )
                )
            progress = separator_pb2.SeparationProgress(fraction=start / frames)
            yield separator_pb2.SeparateResponse(progress=progress)
            if request.model == "slow":
                await asyncio.sleep(0.05)
            if request.model == "stuck" and start >= reader.sample_rate_hz:
                await asyncio.Event().wait()
            while request.model == "held" and self._counter.with_name("held").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield separator_pb2.SeparateResponse(
            finished=separator_pb2.SeparationFinished(model=request.model, backend="double")
        )

    def _count(self, change: int) -> None:
        self._running += change
        whole = self._counter.with_name(f"{self._counter.name}.new")
        whole.write_text(str(self._running))
        whole.replace(self._counter)  # at once: nobody reads half of it


async def main() -> None:
    settings = BlobSettings()
    servicer = SharesSeparator(settings, Path(os.environ["COUNTER_FILE"]))
    await Server(
        settings,
        ["mixdown.separator.v1.SeparatorService"],
        lambda server: separator_pb2_grpc.add_SeparatorServiceServicer_to_server(servicer, server),
    ).run()


if __name__ == "__main__":
    asyncio.run(main())
