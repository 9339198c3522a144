"""Translates between the contract and the domain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio

from mixdown.separator.v1 import separator_pb2 as pb
from mixdown.separator.v1 import separator_pb2_grpc
from services.separator.engines import Engines
from services.separator.events import (
    Audio,
    Event,
    Finished,
    Progress,
    Queued,
    SeparationRequest,
    Started,
)
from services.separator.registry import ModelCard, Registry
from services.separator.separation import Separator
from services.separator.worker_thread import in_thread

SERVICE = pb.DESCRIPTOR.services_by_name["SeparatorService"].full_name


class SeparatorApi(separator_pb2_grpc.SeparatorServiceServicer):
    """`mixdown.separator.v1.SeparatorService`."""

    def __init__(
        self, separator: Separator, engines: Engines, registry: Registry, default_model: str
    ) -> None:
        self._separator = separator
        self._engines = engines
        self._registry = registry
        self._default_model = default_model

    async def Separate(  # noqa: N802
        self, request: pb.SeparateRequest, context: aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.SeparateResponse]:
        """Streams stems of a track."""
        events = self._separator.separate(
            SeparationRequest(
                track_sha256=request.track.sha256,
                model=request.model,
                stems=tuple(request.stems),
                start_frame=request.start_frame,
                shifts=request.shifts,
                background=request.background,
            )
        )
        async with aclosing(events):
            async for event in events:
                yield _response_of(event)

    async def ListModels(  # noqa: N802
        self, request: pb.ListModelsRequest, context: aio.ServicerContext[Any, Any]
    ) -> pb.ListModelsResponse:
        """Lists the models."""
        cards = await in_thread(self._registry.cards)
        return pb.ListModelsResponse(
            models=[self._model_of(card) for card in cards],
            default_model=self._default_model,
        )

    def _model_of(self, card: ModelCard) -> pb.Model:
        model = pb.Model(
            name=card.name,
            stems=card.stems,
            sample_rate_hz=card.sample_rate_hz,
            channels=card.channels,
            segment_seconds=card.segment_seconds,
            tier=card.tier,
            description=card.description,
            weights_bytes=card.weights_bytes,
        )
        loaded = self._engines.loaded(card.name)
        if loaded is not None:  # the weights know better than the card
            model.loaded = True
            model.ClearField("stems")
            model.stems.extend(loaded.stems)
            model.sample_rate_hz = loaded.sample_rate_hz
            model.channels = loaded.channels
            longest = max(member.segment_frames for member in loaded.members)
            model.segment_seconds = longest / loaded.sample_rate_hz
            model.weights_bytes = loaded.weights_bytes
            model.weights_sha256 = loaded.weights_sha256
        return model


def _response_of(event: Event) -> pb.SeparateResponse:
    match event:
        case Queued():
            return pb.SeparateResponse(queued=pb.Queued(position=event.position))
        case Started():
            started = pb.SeparationStarted(
                model=event.model,
                weights_sha256=event.weights_sha256,
                sample_rate_hz=event.sample_rate_hz,
                channels=event.channels,
                frames=event.frames,
                stems=event.stems,
                cached=event.cached,
            )
            return pb.SeparateResponse(started=started)
        case Progress():
            progress = pb.SeparationProgress(fraction=event.fraction, eta_seconds=event.eta_seconds)
            return pb.SeparateResponse(progress=progress)
        case Audio():
            response = pb.SeparateResponse()  # its own audio is filled: another one would be copied
            response.audio.stem = event.stem
            response.audio.offset_frames = event.offset_frames
            response.audio.pcm = event.pcm
            return response
        case Finished():
            finished = pb.SeparationFinished(
                model=event.model,
                backend=event.backend,
                seconds=event.seconds,
                peaks=event.peaks,
                cached=event.cached,
            )
            return pb.SeparateResponse(finished=finished)
