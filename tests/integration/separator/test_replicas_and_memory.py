"""Two replicas that compute the same, and a device whose memory runs out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.separator.backends.backend import DeviceMemoryError
from services.separator.backends.torch_cpu import TorchCpuBackend
from tests.integration.separator.conftest import Gate, running_separator
from tests.integration.separator.test_api import collect, pcm, started, until
from tests.metrics import growth
from tests.separator_models import STEMS

Array = npt.NDArray[np.float32]


async def test_two_replicas_that_compute_the_same_at_once_give_and_keep_the_same(
    tmp_path: Path, gate: Gate
) -> None:
    async with running_separator(tmp_path) as one, running_separator(tmp_path) as other:
        replicas = (one, other)
        track = one.put_music(4.0)
        before = one.files()
        await gate.shut(*replicas)
        collecting = [
            asyncio.create_task(collect(each, each.request(track, *STEMS))) for each in replicas
        ]
        await until(lambda: all(each.service.scheduler.waiting_segments for each in replicas))
        gate.open()
        answers = await asyncio.gather(*collecting)
        assert not any(started(answer).cached for answer in answers)
        for stem in STEMS:
            assert pcm(answers[0], stem) == pcm(answers[1], stem)
        assert len(one.files() - before) == len(STEMS)  # each stem once, and nothing half-written
        for replica in replicas:
            again = await collect(replica, replica.request(track, *STEMS))
            assert started(again).cached
            for stem in STEMS:
                assert pcm(again, stem) == pcm(answers[0], stem)


async def test_a_device_out_of_memory_gives_the_same_stems_by_smaller_batches(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_separator(tmp_path / "plenty") as bench:
        expected = await collect(bench, bench.request(bench.put_music(4.0), *STEMS))
    halved = growth("mixdown_separator_out_of_memory_total")
    sizes = []
    run = TorchCpuBackend.run

    def with_room_for_one(
        backend: TorchCpuBackend, member: int, batch: Array, **told: bool
    ) -> Array:
        sizes.append(len(batch))
        if len(batch) > 1:
            raise DeviceMemoryError("full")
        return run(backend, member, batch, **told)

    monkeypatch.setattr(TorchCpuBackend, "max_batch", 4)
    monkeypatch.setattr(TorchCpuBackend, "run", with_room_for_one)
    async with running_separator(tmp_path / "little") as bench:
        await gate.shut(bench)
        collecting = asyncio.create_task(
            collect(bench, bench.request(bench.put_music(4.0), *STEMS))
        )
        await until(lambda: bench.service.scheduler.waiting_segments > 1)
        gate.open()
        responses = await collecting
    assert max(sizes) > 1
    assert halved() >= 1
    for stem in STEMS:
        assert pcm(responses, stem) == pcm(expected, stem)
