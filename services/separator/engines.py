"""Models in memory, each on its backend."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.separator import metrics
from services.separator.backends.backend import Backend, DeadDeviceError
from services.separator.errors import DeviceLostError, SeparatorError
from services.separator.models import SeparationModel, describe_model
from services.separator.registry import Registry
from services.separator.weights import WeightsChain
from services.separator.worker_thread import in_thread

_log = structlog.get_logger("mixdown.separator.engines")


@dataclass(frozen=True, eq=False)
class Engine:
    """A model and what computes it."""

    model: SeparationModel
    backend: Backend


@dataclass
class _Place:
    engine: Engine
    users: int = 0


class Engines:
    """Loads models when they are first needed, and keeps the ones used last.

    Args:
        registry: The names that may be asked for.
        weights: Where weights come from.
        choose: Picks the backend of a model.
        limit: Models kept in memory. More may be there for a while where all are in use.
        on_device_lost: Called when the device computes nothing any more.
    """

    def __init__(
        self,
        registry: Registry,
        weights: WeightsChain,
        choose: Callable[[SeparationModel], Backend],
        limit: int,
        on_device_lost: Callable[[], object] = lambda: None,
    ) -> None:
        self._registry = registry
        self._weights = weights
        self._choose = choose
        self._limit = limit
        self._on_device_lost = on_device_lost
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._loading = asyncio.Lock()  # one at a time: loading takes memory and every core

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Engine]:
        """Gives the engine of model `name`, and keeps it in memory meanwhile.

        Raises:
            UnknownModelError: there is no such model.
            WeightsUnavailableError: its weights cannot be had.
            BackendUnavailableError: the device that the settings name cannot compute it.
            DeviceLostError: the device computes nothing any more.
        """
        self._registry.find(name)
        place = await self._place(name)
        place.users += 1
        try:
            yield place.engine
        finally:
            place.users -= 1
            self._evict()

    def is_loaded(self, name: str) -> bool:
        """Returns whether a model is in memory."""
        return name in self._places

    def loaded(self, name: str) -> SeparationModel | None:
        """Returns a model where it is in memory."""
        place = self._places.get(name)
        return None if place is None else place.engine.model

    def close(self) -> None:
        """Frees every device."""
        for place in self._places.values():
            place.engine.backend.close()
        self._places.clear()

    async def _place(self, name: str) -> _Place:
        async with self._loading:
            if name not in self._places:
                try:
                    engine = await in_thread(self._load, name)
                except SeparatorError as error:
                    metrics.LOAD_FAILURES.labels(name, error.reason).inc()
                    raise
                except DeadDeviceError as error:
                    _log.error("the device is lost", model=name, error=str(error))
                    self._on_device_lost()
                    raise DeviceLostError from error
                self._places[name] = _Place(engine)
            self._places.move_to_end(name)
            return self._places[name]

    def _load(self, name: str) -> Engine:
        began = time.monotonic()
        network, source = self._weights.load(name)
        model = describe_model(name, network)
        backend = self._choose(model)
        metrics.tell_model(name, time.monotonic() - began)
        _log.info(
            "model loaded",
            model=name,
            source=source,
            backend=backend.name,
            weights_sha256=model.weights_sha256,
            seconds=round(time.monotonic() - began, 2),
        )
        return Engine(model, backend)

    def _evict(self) -> None:
        spare = len(self._places) - self._limit
        for name in [name for name, place in self._places.items() if not place.users][:spare]:
            self._places.pop(name).engine.backend.close()
            _log.info("model dropped from memory", model=name)
