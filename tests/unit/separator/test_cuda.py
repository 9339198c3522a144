"""The GPU's backend, on a GPU: `make test-gpu`. Skipped with the reason where there is none.

What of it needs no GPU is held in `test_backends.py` and `test_recordings.py`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixdown.separator.v1 import separator_pb2 as pb
from services.separator.backends.backend import DeviceMemoryError
from services.separator.backends.cuda import CudaBackend, cuda_precision, roomier_precision
from services.separator.backends.parity import measure_parity, parity_probe
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.models import SeparationModel, describe_model
from tests.integration.separator.conftest import running_separator
from tests.integration.separator.test_api import collect, pcm
from tests.metrics import value
from tests.separator_models import STEMS, snr_db, tiny_htdemucs

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="there is no NVIDIA GPU that PyTorch can use"
    ),
]


@pytest.fixture
def model() -> SeparationModel:
    return describe_model("tiny", tiny_htdemucs(dconv_mode=3))


def random_batch(segments: int, seed: int = 0) -> Any:
    shape = (segments, 2, 4_000)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("record", [False, True])
def test_a_gpu_computes_what_a_cpu_computes(
    model: SeparationModel, precision: Any, record: bool
) -> None:
    backend = CudaBackend(model, precision, record=record)
    assert measure_parity(model, backend, TorchCpuBackend(model, 1)) > 40
    probe = parity_probe(model, 0)
    batch = backend.run(0, np.concatenate([probe, -probe, probe]))
    assert batch.shape == (3, 4, 2, 4_000)
    assert np.allclose(batch[0], batch[2], atol=1e-3)
    backend.close()


def test_every_size_of_batch_is_recorded_before_the_first_request(model: SeparationModel) -> None:
    backend = CudaBackend(model, "fp32", max_batch=4)
    assert backend._recordings.count == 3  # of 4, 2 and 1
    for segments in (1, 2, 3, 4):
        backend.run(0, random_batch(segments))
    assert backend._recordings.count == 3
    backend.close()


def test_recorded_runs_give_what_plain_runs_give(model: SeparationModel) -> None:
    plain = CudaBackend(model, "fp32", max_batch=4, record=False)
    recorded = CudaBackend(model, "fp32", max_batch=4)
    for number, segments in enumerate((1, 2, 3, 4, 3, 1)):  # each size again after others
        batch = random_batch(segments, number)
        assert snr_db(plain.run(0, batch), recorded.run(0, batch)) > 60
    plain.close()
    recorded.close()


def test_batches_of_two_threads_and_two_models_do_not_mix(model: SeparationModel) -> None:
    other = describe_model("other", tiny_htdemucs(5, dconv_mode=3))
    backends = [CudaBackend(model, "fp32", max_batch=2), CudaBackend(other, "fp32", max_batch=2)]
    work = [(backends[number % 3 % 2], random_batch(2, number)) for number in range(30)]
    expected = [backend.run(0, batch) for backend, batch in work]
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda item: item[0].run(0, item[1]), work))
    for one, same in zip(expected, outputs, strict=True):
        assert np.array_equal(one, same)
    for backend in backends:
        backend.close()


@pytest.mark.parametrize("record", [False, True])
def test_a_gpu_out_of_memory_says_so_and_works_on_with_less(
    model: SeparationModel, record: bool
) -> None:
    backend = CudaBackend(model, "fp32", max_batch=1, record=record)
    expected = backend.run(0, random_batch(1))
    total = torch.cuda.get_device_properties(0).total_memory
    taken = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (taken + (1 << 30)) / total))
    try:
        with pytest.raises(DeviceMemoryError):
            backend.run(0, np.zeros((1 << 13, 2, 4_000), np.float32))
        assert backend._recordings.count == 0  # what they took is free
        assert snr_db(expected, backend.run(0, random_batch(1))) > 60
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        backend.close()


def loud_model() -> SeparationModel:
    """A model whose values leave fp16 whatever it hears."""
    network: Any = tiny_htdemucs(dconv_mode=3)
    with torch.no_grad():
        network.decoder[-1].conv_tr.weight.mul_(1e7)
    return describe_model("loud", network)


def test_a_model_that_is_too_large_for_fp16_is_computed_in_another_precision() -> None:
    model = loud_model()
    backend = CudaBackend(model, "fp16", max_batch=2)
    assert backend._precision == roomier_precision(torch.cuda.get_device_capability())
    overflows = backend._overflows
    probe = parity_probe(model, 0)
    assert snr_db(TorchCpuBackend(model, 1).run(0, probe), backend.run(0, probe)) > 30
    assert backend._overflows == overflows
    backend.close()


def test_a_segment_that_is_too_large_for_fp16_is_computed_again_in_fp32() -> None:
    model = loud_model()
    backend = CudaBackend(model, "fp32", max_batch=1, record=False)
    backend._precision = "fp16"  # as though only this segment were too large
    probe = parity_probe(model, 0)
    output = backend.run(0, probe)
    assert backend._overflows == 1
    assert snr_db(TorchCpuBackend(model, 1).run(0, probe), output) > 50
    backend.close()


def test_a_gpu_that_has_failed_is_told_apart_and_can_be_closed() -> None:
    """In a process of its own: what fails so stays failed until the process ends."""
    program = """
import numpy as np, torch
from services.separator.backends.backend import DeadDeviceError
from services.separator.backends.cuda import CudaBackend
from services.separator.models import describe_model
from tests.separator_models import tiny_htdemucs
backend = CudaBackend(describe_model("tiny", tiny_htdemucs(dconv_mode=3)), "fp32", max_batch=1)
torch.ones(1, device="cuda")[torch.tensor([5], device="cuda")]  # outside of the array
try:
    backend.run(0, np.zeros((1, 2, 4_000), np.float32))
except DeadDeviceError:
    print("dead")
backend.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert done.stdout.strip() == "dead", done.stderr


async def test_many_tracks_at_once_on_a_gpu_give_what_a_cpu_gives(tmp_path: Path) -> None:
    """By way of the service: segments of all tracks meet in the same batches."""

    async def stems(device: str, folder: Path) -> list[dict[str, Any]]:
        settings: dict[str, Any] = {"device": device, "precision": "fp32", "running_tracks": 4}
        async with running_separator(folder, **settings) as bench:
            tracks = [bench.put_music(4.0, seed=seed) for seed in range(4)]
            answers: list[list[pb.SeparateResponse]] = await asyncio.gather(
                *(collect(bench, bench.request(track, *STEMS)) for track in tracks)
            )
            if device == "cuda":
                assert value("mixdown_separator_device_memory_bytes", kind="allocated") > 0
                assert value("mixdown_separator_device_memory_bytes", kind="free") > 0
        assert {answer[-1].finished.backend for answer in answers} == {
            "cuda" if device == "cuda" else "torch-cpu"
        }
        return [
            {stem: np.frombuffer(pcm(answer, stem), "<f4") for stem in STEMS} for answer in answers
        ]

    expected = await stems("cpu", tmp_path / "cpu")
    for one, other in zip(expected, await stems("cuda", tmp_path / "cuda"), strict=True):
        for stem in STEMS:
            assert snr_db(one[stem], other[stem]) > 30


def test_the_precision_is_one_that_this_gpu_has() -> None:
    precision = cuda_precision(torch.cuda.get_device_capability())
    assert precision == "fp32" or torch.cuda.get_device_capability() >= (7, 0)
