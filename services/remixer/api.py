"""Translates the remixer's contract to the domain and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from grpc import aio

from mixdown.audio.v1 import audio_pb2
from mixdown.mix import MixOutOfRangeError as MixRangeError
from mixdown.mix.protobuf import mix_from_message, output_from_message, output_to_message
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.remixer import capabilities
from services.remixer.ahead import ahead
from services.remixer.errors import MixOutOfRangeError, NoOutputsError
from services.remixer.events import (
    Event,
    OutputAudio,
    OutputFinished,
    OutputStarted,
    Progress,
    RenderFinished,
)
from services.remixer.plan import RenderRequest
from services.remixer.render import Renderer
from services.runtime.audio.formats import Encoding
from services.runtime.audio.loudness import Loudness
from services.runtime.blobs import Blob
from services.runtime.errors import UnsupportedFormatError

_ENCODINGS: dict[audio_pb2.Encoding.ValueType, Encoding] = {
    audio_pb2.ENCODING_WAV_PCM16: Encoding.WAV_PCM16,
    audio_pb2.ENCODING_WAV_PCM24: Encoding.WAV_PCM24,
    audio_pb2.ENCODING_WAV_FLOAT32: Encoding.WAV_FLOAT32,
    audio_pb2.ENCODING_FLAC16: Encoding.FLAC16,
    audio_pb2.ENCODING_FLAC24: Encoding.FLAC24,
    audio_pb2.ENCODING_MP3: Encoding.MP3,
    audio_pb2.ENCODING_OGG_VORBIS: Encoding.OGG_VORBIS,
    audio_pb2.ENCODING_OGG_OPUS: Encoding.OGG_OPUS,
    audio_pb2.ENCODING_M4A_AAC: Encoding.M4A_AAC,
}
_AHEAD_EVENTS = 2
"""What is rendered at most before it can be sent: up to 512 KiB each."""

_ENCODING_VALUES = {encoding: value for value, encoding in _ENCODINGS.items()}
_STAGES = {
    "queued": remixer_pb2.RenderProgress.STAGE_QUEUED,
    "separating": remixer_pb2.RenderProgress.STAGE_SEPARATING,
    "rendering": remixer_pb2.RenderProgress.STAGE_RENDERING,
}


class RemixerService(remixer_pb2_grpc.RemixerServiceServicer):
    """Answers `mixdown.remixer.v1.RemixerService`."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def Render(  # noqa: N802 - the name in the contract
        self,
        request: remixer_pb2.RenderRequest,
        context: aio.ServicerContext[remixer_pb2.RenderRequest, remixer_pb2.RenderResponse],
    ) -> AsyncIterator[remixer_pb2.RenderResponse]:
        """Renders outputs of a track and streams them."""
        rendering = self._renderer.render(request_from_message(request))
        async with aclosing(ahead(rendering, _AHEAD_EVENTS)) as events:
            async for event in events:
                yield event_to_message(event)

    async def GetEffects(  # noqa: N802 - the name in the contract
        self,
        request: remixer_pb2.GetEffectsRequest,
        context: aio.ServicerContext[remixer_pb2.GetEffectsRequest, remixer_pb2.Effects],
    ) -> remixer_pb2.Effects:
        """Tells what can be rendered."""
        return remixer_pb2.Effects(
            effects=[
                remixer_pb2.Effect(
                    setting=effect.setting,
                    unit=effect.unit,
                    minimum=effect.minimum,
                    maximum=effect.maximum,
                    neutral=effect.neutral,
                    choices=effect.choices,
                    description=effect.description,
                )
                for effect in capabilities.effects()
            ],
            encodings=list(_ENCODINGS),
        )


def request_from_message(message: remixer_pb2.RenderRequest) -> RenderRequest:
    """Reads a request.

    Raises:
        NoOutputsError: there is no output, or one of them is none.
        MixOutOfRangeError: the mix has an enum value without a meaning.
        UnsupportedFormatError: so has the format.
    """
    try:
        outputs = tuple(output_from_message(output) for output in message.outputs)
    except ValueError as error:
        raise NoOutputsError(f"{error}.") from error
    try:
        mix = mix_from_message(message.mix)
    except MixRangeError as error:
        raise MixOutOfRangeError(
            f"{error}.", metadata={"target": error.target, "setting": error.setting}
        ) from error
    encoding = message.format.encoding
    if encoding and encoding not in _ENCODINGS:
        raise UnsupportedFormatError(
            f"There is no encoding {encoding}.", metadata={"encoding": str(encoding)}
        )
    return RenderRequest(
        track=Blob(message.track.sha256, message.track.size_bytes),
        mix=mix,
        outputs=outputs,
        encoding=_ENCODINGS.get(encoding),
        bitrate_kbps=message.format.bitrate_kbps,
        loudness_lufs=message.format.loudness_lufs
        if message.format.HasField("loudness_lufs")
        else None,
        model=message.model,
        offsets_bytes={name: max(0, offset) for name, offset in message.offsets_bytes.items()},
        background=message.background,
    )


def event_to_message(event: Event) -> remixer_pb2.RenderResponse:
    """Writes an event."""
    match event:
        case Progress():
            return remixer_pb2.RenderResponse(
                progress=remixer_pb2.RenderProgress(
                    stage=_STAGES[event.stage],
                    fraction=event.fraction,
                    queue_position=event.queue_position,
                    eta_seconds=event.eta_seconds,
                )
            )
        case OutputStarted():
            return remixer_pb2.RenderResponse(output_started=_started_to_message(event))
        case OutputAudio():
            return remixer_pb2.RenderResponse(
                audio=remixer_pb2.OutputAudio(
                    name=event.name, offset_bytes=event.offset_bytes, data=event.data
                )
            )
        case OutputFinished():
            return remixer_pb2.RenderResponse(
                output_finished=remixer_pb2.OutputFinished(
                    name=event.name,
                    blob=audio_pb2.Blob(sha256=event.blob.sha256, size_bytes=event.blob.size_bytes),
                    clipped_samples=event.clipped_samples,
                    peak=event.peak,
                    cached=event.cached,
                    loudness=_loudness_to_message(event.loudness),
                    original_loudness=_loudness_to_message(event.original_loudness),
                    limited_db=event.limited_db,
                )
            )
        case RenderFinished():
            return remixer_pb2.RenderResponse(
                finished=remixer_pb2.RenderFinished(seconds=event.seconds, notes=event.notes)
            )


def _loudness_to_message(loudness: Loudness) -> audio_pb2.Loudness:
    return audio_pb2.Loudness(
        integrated_lufs=loudness.integrated_lufs, true_peak_dbtp=loudness.true_peak_dbtp
    )


def _started_to_message(event: OutputStarted) -> remixer_pb2.OutputStarted:
    planned = event.planned
    return remixer_pb2.OutputStarted(
        name=planned.output.name,
        output=output_to_message(planned.output),
        format=audio_pb2.OutputFormat(
            encoding=_ENCODING_VALUES[planned.file_format.encoding],
            bitrate_kbps=planned.file_format.bitrate_kbps,
            loudness_lufs=planned.loudness_lufs,
        ),
        sample_rate_hz=planned.sample_rate_hz,
        channels=planned.channels,
        frames=planned.file_frames,
        size_bytes=event.size_bytes,
        media_type=planned.file_format.media_type,
        extension=planned.file_format.extension,
    )
