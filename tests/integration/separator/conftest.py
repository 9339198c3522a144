"""A separator that answers on a socket, with a small model of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.separator.v1 import separator_pb2 as pb
from mixdown.separator.v1 import separator_pb2_grpc
from services.runtime.blobs import BlobStore, open_blob_store
from services.separator.api import SERVICE
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.service import SeparatorService
from services.separator.settings import SeparatorSettings
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import RATE_HZ, music, tiny_htdemucs, write_bag, write_wav


class Bench:
    """A running separator, its store and a client.

    Attributes:
        stub: The client.
        health: A client of its health check.
        service: The server's inside.
        blobs: The store.
        folder: Where everything lies.
    """

    def __init__(self, folder: Path, service: SeparatorService, channel: aio.Channel) -> None:
        self.folder = folder
        self.service = service
        self.stub = separator_pb2_grpc.SeparatorServiceStub(channel)
        self.health: Any = health_pb2_grpc.HealthStub(channel)
        self.blobs: BlobStore = open_blob_store(str(folder / "blobs"))

    def put(self, data: bytes) -> str:
        """Stores a blob and returns its SHA-256."""
        with self.blobs.create() as writer:
            writer.write(data)
            return writer.commit().sha256

    def put_music(self, seconds: float, seed: int = 1, rate_hz: int = RATE_HZ) -> str:
        """Stores a WAV file and returns its SHA-256."""
        path = self.folder / "song.wav"
        write_wav(path, music(seconds, rate_hz, seed=seed), rate_hz)
        return self.put(path.read_bytes())

    def request(self, sha256: str, *stems: str, **fields: Any) -> pb.SeparateRequest:
        """Returns a request for stems of a track; for the vocals where none is named."""
        request = pb.SeparateRequest(stems=stems or ("vocals",), **fields)
        request.track.sha256 = sha256
        return request

    def files(self) -> set[Path]:
        """Returns every file of audio, whole or under way, in the store and the cache."""
        store = self.folder / "blobs"
        folders = (store / "blobs", store / "partial", self.folder / "cache" / "spool")
        return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


@asynccontextmanager
async def running_separator(folder: Path, **changes: Any) -> AsyncIterator[Bench]:
    """Runs a separator whose default model is a small one; also `pair`, with one-hot weights."""
    models = folder / "models"
    if not models.exists():
        write_bag(models, "tiny", {"aaaa": tiny_htdemucs(1)})
        one_hot = [[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
        write_bag(models, "pair", {"bbbb": tiny_htdemucs(2), "cccc": tiny_htdemucs(3)}, one_hot)
    settings = {
        "default_model": "tiny",
        "device": "cpu",
        "threads": 1,
        "model_folder": models,
        "cache_folder": folder / "cache",
        "blob_store": str(folder / "blobs"),
        "listen": "127.0.0.1:0",
        "drain_seconds": 0,
    }
    async with SeparatorService(SeparatorSettings(**{**settings, **changes})) as service:
        server = service.server()
        await server.start()
        try:
            async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                yield Bench(folder, service, channel)
        finally:
            await server.stop()


async def until_serving(bench: Bench) -> None:
    """Waits until a separator has its model, and has computed with it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for answer in bench.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return


class Gate:
    """Holds the device back while it is shut, so that what is under way stays so.

    To be opened before the end.
    """

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()

    async def shut(self, *benches: Bench) -> None:
        """Shuts it once separators serve: to get ready they have to compute."""
        for bench in benches:
            await until_serving(bench)
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    def wait(self) -> None:
        assert self._is_open.wait(PATIENCE_SECONDS)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    run = TorchCpuBackend.run

    def behind_the_gate(
        backend: TorchCpuBackend, member: int, batch: npt.NDArray[np.float32], **told: bool
    ) -> npt.NDArray[np.float32]:
        gate.wait()
        return run(backend, member, batch, **told)

    monkeypatch.setattr(TorchCpuBackend, "run", behind_the_gate)
    yield gate
    gate.open()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running_separator(tmp_path) as bench:
        yield bench
