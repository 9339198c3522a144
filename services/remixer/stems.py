"""The separator's client: stems as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import numpy as np
from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from services.remixer.errors import StemsLostError, UnknownModelError
from services.runtime.audio.reader import Samples
from services.runtime.blobs import Blob


@dataclass(frozen=True)
class Model:
    """A separation model.

    Args:
        name: Its name.
        stems: Its stems.
        weights_sha256: Its weights; "" where the separator does not know them yet.
    """

    name: str
    stems: tuple[str, ...]
    weights_sha256: str = ""


@dataclass(frozen=True)
class StemsQueued:
    """The separation waits behind `position` others."""

    position: int


@dataclass(frozen=True)
class StemsStarted:
    """Stems are coming.

    Args:
        sample_rate_hz: At this rate.
        channels: With these channels.
        cached: Whether they come from the store.
        weights_sha256: The weights that they were made with.
    """

    sample_rate_hz: int
    channels: int
    cached: bool
    weights_sha256: str = ""


@dataclass(frozen=True)
class StemsProgress:
    """How far the separation is: `fraction` 0 to 1, `eta_seconds` 0 where unknown."""

    fraction: float
    eta_seconds: float


@dataclass(frozen=True)
class StemBlock:
    """The next frames of one stem, `[channels, frames]` at the model's rate."""

    stem: str
    samples: Samples


StemEvent = StemsQueued | StemsStarted | StemsProgress | StemBlock


class Separator:
    """Asks the separator.

    Its errors come through as they are (`grpc.aio.AioRpcError`), to be passed on.

    Args:
        channel: Connection to the separator.
    """

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = separator_pb2_grpc.SeparatorServiceStub(channel)

    async def model(self, name: str) -> Model:
        """Returns the model of that name; the default one for "".

        Raises:
            UnknownModelError: there is none.
        """
        answer = await self._stub.ListModels(separator_pb2.ListModelsRequest())
        wanted = name or answer.default_model
        for model in answer.models:
            if model.name == wanted:
                return Model(model.name, tuple(model.stems), model.weights_sha256)
        known = ", ".join(model.name for model in answer.models)
        raise UnknownModelError(
            f"There is no model {wanted!r}; there are {known}.",
            metadata={"model": wanted, "known": known},
        )

    async def separate(
        self, track: Blob, model: str, stems: Sequence[str], *, background: bool = False
    ) -> AsyncGenerator[StemEvent, None]:
        """Yields what the separator sends. Closing the iterator cancels the call.

        Args:
            track: The track.
            model: The model.
            stems: The stems.
            background: Whether nobody listens or waits meanwhile.

        Raises:
            StemsLostError: the stream has a gap, or no end.
        """
        call = self._stub.Separate(
            separator_pb2.SeparateRequest(
                track=audio_pb2.Blob(sha256=track.sha256, size_bytes=track.size_bytes),
                model=model,
                stems=stems,
                background=background,
            )
        )
        frames = dict.fromkeys(stems, 0)
        channels = 0
        is_finished = False
        try:
            async for message in call:
                match message.WhichOneof("event"):
                    case "queued":
                        yield StemsQueued(message.queued.position)
                    case "started":
                        channels = message.started.channels
                        yield StemsStarted(
                            message.started.sample_rate_hz,
                            channels,
                            message.started.cached,
                            message.started.weights_sha256,
                        )
                    case "progress":
                        yield StemsProgress(message.progress.fraction, message.progress.eta_seconds)
                    case "audio":
                        block = _block(message.audio, channels, frames)
                        frames[block.stem] += block.samples.shape[1]
                        yield block
                    case "finished":  # the status is still to come
                        is_finished = True
            if not is_finished:
                raise StemsLostError("The stream of the stems ended too early. Please try again.")
        finally:
            call.cancel()  # does nothing to a call that has ended


def _block(audio: separator_pb2.StemAudio, channels: int, frames: dict[str, int]) -> StemBlock:
    if channels == 0 or frames.get(audio.stem) != audio.offset_frames:
        raise StemsLostError("The stream of the stems has a gap. Please try again.")
    interleaved = np.frombuffer(audio.pcm, "<f4").reshape(-1, channels)
    return StemBlock(audio.stem, np.ascontiguousarray(interleaved.T, dtype=np.float32))
