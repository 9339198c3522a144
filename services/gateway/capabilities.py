"""What this installation can do: asked of the services that do it."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass

from mixdown.gateway.v1 import gateway_pb2
from mixdown.remixer.v1 import remixer_pb2
from mixdown.separator.v1 import separator_pb2
from services.gateway.backends import Backends
from services.gateway.errors import UnknownModelError
from services.gateway.settings import GatewaySettings

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ChosenModel:
    """A separation model and its stems."""

    name: str
    stems: Sequence[str]


class Capabilities:
    """Tells models, effects, encodings and limits."""

    def __init__(self, backends: Backends, settings: GatewaySettings) -> None:
        self._backends = backends
        self._settings = settings

    async def tell(self) -> gateway_pb2.Capabilities:
        """Returns everything."""
        models, effects = await asyncio.gather(self._list_models(), self._get_effects())
        settings = self._settings
        return gateway_pb2.Capabilities(
            models=models.models,
            default_model=models.default_model,
            effects=effects.effects,
            encodings=effects.encodings,
            limits=gateway_pb2.Limits(
                upload_size_bytes=settings.upload_limit_bytes,
                track_seconds=settings.track_limit_seconds,
                minimum_sample_rate_hz=settings.minimum_sample_rate_hz,
                maximum_sample_rate_hz=settings.maximum_sample_rate_hz,
                channels=settings.channel_limit,
                prompt_characters=settings.prompt_limit_characters,
            ),
            version=importlib.metadata.version("mixdown"),
        )

    async def choose_model(self, name: str) -> ChosenModel:
        """Returns the model called `name`, the default one for "". Raises UnknownModelError."""
        known = await self._list_models()
        wanted = name or known.default_model
        for model in known.models:
            if model.name == wanted:
                return ChosenModel(model.name, tuple(model.stems))
        names = ", ".join(model.name for model in known.models)
        raise UnknownModelError(
            f"There is no model {wanted!r}: there are {names}.", metadata={"model": wanted}
        )

    async def _list_models(self) -> separator_pb2.ListModelsResponse:
        return await self._backends.separator.ListModels(
            separator_pb2.ListModelsRequest(), timeout=_TIMEOUT_SECONDS
        )

    async def _get_effects(self) -> remixer_pb2.Effects:
        return await self._backends.remixer.GetEffects(
            remixer_pb2.GetEffectsRequest(), timeout=_TIMEOUT_SECONDS
        )
