"""A device that fails for good: callers are told, and the process ends for another one to come."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.runtime.errors import error_info_of
from services.separator.api import SERVICE
from services.separator.backends.backend import DeadDeviceError
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.errors import DeviceLostError
from services.separator.service import SeparatorService
from services.separator.settings import SeparatorSettings
from tests.integration.separator.conftest import Bench
from tests.integration.separator.test_api import collect, kinds
from tests.metrics import value
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import tiny_htdemucs, write_bag

Array = npt.NDArray[np.float32]
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Fuse:
    """Lets a device compute until it is blown, as a GPU does until an illegal access."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_blown = False
        run = TorchCpuBackend.run

        def with_fuse(backend: TorchCpuBackend, member: int, batch: Array, **told: bool) -> Array:
            if self.is_blown:
                raise DeadDeviceError("CUDA error: an illegal memory access was encountered")
            return run(backend, member, batch, **told)

        monkeypatch.setattr(TorchCpuBackend, "run", with_fuse)


def service_in(folder: Path, drain_notice_seconds: float) -> SeparatorService:
    write_bag(folder / "models", "tiny", {"aaaa": tiny_htdemucs(1)})
    settings = SeparatorSettings(
        default_model="tiny",
        device="cpu",
        threads=1,
        model_folder=folder / "models",
        cache_folder=folder / "cache",
        blob_store=str(folder / "blobs"),
        listen="127.0.0.1:0",
        drain_notice_seconds=drain_notice_seconds,
        drain_seconds=0,
    )
    return SeparatorService(settings)


async def lost(call: object) -> None:
    """Holds a call to have failed so that it is made again."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert error_info_of(caught.value).reason == "DEVICE_LOST"
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)


async def test_a_device_lost_ends_every_request_and_says_so_before_the_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch)
    async with asyncio.timeout(2 * PATIENCE_SECONDS), service_in(tmp_path, 600.0) as service:
        server = service.server()
        running = asyncio.create_task(server.run())
        async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            bench = Bench(tmp_path, service, channel)
            stored = bench.put_music(1.0, seed=9)
            assert kinds(await collect(bench, bench.request(stored)))[-1] == "finished"
            before = bench.files()
            tracks = [bench.put_music(60.0, seed=seed) for seed in (1, 2)]
            calls = [asyncio.create_task(collect(bench, bench.request(t))) for t in tracks]
            while service.scheduler.statistics.segments < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            fuse.is_blown = True
            for call in calls:
                await lost(call)
            health = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            async for answer in health.Watch(request):
                if answer.status == NOT_SERVING:
                    break
            assert value("mixdown_separator_ready") == 0
            await lost(collect(bench, bench.request(bench.put_music(1.0, seed=3))))
            # What needs no device is still answered, until callers have gone elsewhere.
            assert kinds(await collect(bench, bench.request(stored)))[-1] == "finished"
            assert not running.done()
            assert len(bench.files() - before) == 3  # the tracks put here; no half-written stem
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        await server._server.stop(0)  # the ten minutes of notice are not waited for


async def test_a_device_lost_at_work_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse(monkeypatch)
    async with asyncio.timeout(PATIENCE_SECONDS), service_in(tmp_path, 0.1) as service:
        server = service.server()
        running = asyncio.create_task(server.run())
        async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            bench = Bench(tmp_path, service, channel)
            call = bench.stub.Separate(bench.request(bench.put_music(60.0)))
            while not (await call.read()).HasField("audio"):
                pass
            fuse.is_blown = True
            with pytest.raises(DeviceLostError):
                await running
            call.cancel()


async def test_a_device_lost_while_it_gets_ready_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fuse(monkeypatch).is_blown = True
    async with service_in(tmp_path, 0.0) as service:
        with pytest.raises(DeviceLostError):
            await asyncio.wait_for(service.server().run(), PATIENCE_SECONDS)
