"""A separator serves once its default model has computed, and not before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from grpc_health.v1 import health_pb2
from huggingface_hub import constants
from structlog.testing import capture_logs

from mixdown.separator.v1 import separator_pb2 as pb
from services.separator.api import SERVICE
from services.separator.backends.torch_cpu import TorchCpuBackend
from tests.integration.separator.conftest import Bench, running_separator, until_serving
from tests.integration.separator.test_api import collect, kinds
from tests.metrics import growth, value
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import tiny_htdemucs, write_bag

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def told(bench: Bench, service: str = "") -> int:
    answer = await bench.health.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose default model has a name and no weights, on a machine without a network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    models = tmp_path / "models"
    models.mkdir()
    (models / "tiny.yaml").write_text(json.dumps({"models": ["aaaa"]}))
    return tmp_path


async def test_without_weights_it_does_not_serve_and_says_why_until_they_come(
    folder: Path,
) -> None:
    failures = growth(
        "mixdown_separator_model_load_failures_total", model="tiny", reason="WEIGHTS_UNAVAILABLE"
    )
    with capture_logs() as logs:
        async with running_separator(folder) as bench:
            await _wait_for_weights(bench, folder, failures)
    reasons = [log["reason"] for log in logs if log["event"] == "not ready"]
    assert set(reasons) == {"WEIGHTS_UNAVAILABLE"}
    assert len(reasons) >= 2
    assert [log["event"] for log in logs].count("ready") == 1


async def _wait_for_weights(bench: Bench, folder: Path, failures: Callable[[], float]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while failures() < 2:  # it tries again  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await told(bench) == await told(bench, SERVICE) == NOT_SERVING
    assert await told(bench, "liveness") == SERVING
    assert value("mixdown_separator_ready") == 0
    models = await bench.stub.ListModels(pb.ListModelsRequest())
    assert not any(model.loaded for model in models.models)
    write_bag(folder / "models", "tiny", {"aaaa": tiny_htdemucs(1)})
    await until_serving(bench)
    assert await told(bench) == SERVING
    assert value("mixdown_separator_ready") == 1
    assert bench.service.engines.is_loaded("tiny")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
async def test_without_the_device_that_it_is_to_use_it_does_not_serve(tmp_path: Path) -> None:
    failures = growth(
        "mixdown_separator_model_load_failures_total", model="tiny", reason="BACKEND_UNAVAILABLE"
    )
    async with running_separator(tmp_path, device="cuda") as bench:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not failures():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await told(bench, SERVICE) == NOT_SERVING


async def test_each_network_has_computed_before_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the parity check may have been passed by an earlier process."""
    computed = []
    run = TorchCpuBackend.run

    def watched(backend: TorchCpuBackend, member: int, batch: object, **told: bool) -> object:
        computed.append(member)
        return run(backend, member, batch, **told)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchCpuBackend, "run", watched)
    async with running_separator(tmp_path, default_model="pair") as bench:
        await until_serving(bench)
        assert computed == [0, 1]


async def test_where_nothing_is_to_be_preloaded_it_serves_at_once(folder: Path) -> None:
    async with running_separator(folder, preload=False) as bench:
        assert await told(bench) == await told(bench, SERVICE) == SERVING
        write_bag(folder / "models", "tiny", {"aaaa": tiny_htdemucs(1)})
        responses = await collect(bench, bench.request(bench.put_music(1.0)))
        assert kinds(responses)[-1] == "finished"


async def test_a_request_that_comes_before_the_model_waits_for_it(tmp_path: Path) -> None:
    async with running_separator(tmp_path) as bench:
        responses = await collect(bench, bench.request(bench.put_music(1.0)))
        assert kinds(responses)[-1] == "finished"


async def test_one_that_is_stopped_while_it_waits_for_weights_stops(folder: Path) -> None:
    async with running_separator(folder) as bench:
        assert await told(bench) == NOT_SERVING
    assert not bench.service.engines.is_loaded("tiny")
