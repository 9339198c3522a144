"""Backends: held to the reference, chosen with a reason."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from services.separator.backends.backend import SegmentBatch, StemBatch
from services.separator.backends.channels_last import ChannelsLastCore, can_lie_channels_last
from services.separator.backends.choice import BackendChoice
from services.separator.backends.parity import error_db, measure_parity, parity_probe
from services.separator.backends.spectral_core import (
    SpectralCore,
    join_branches,
    spectrogram_of,
)
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.errors import BackendUnavailableError
from services.separator.models import SeparationModel, describe_model
from tests.separator_models import snr_db, tiny_htdemucs

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no NVIDIA GPU that PyTorch can use"
)


@pytest.fixture
def model() -> SeparationModel:
    return describe_model("tiny", tiny_htdemucs())


def choice(folder: Path, **changes: Any) -> BackendChoice:
    settings: dict[str, Any] = {"device": "auto", "precision": "auto", "threads": 1, "max_batch": 0}
    return BackendChoice(**{**settings, **changes}, cache_folder=folder)


class Noisy:
    """The reference, with an error of its own."""

    name = "noisy"
    max_batch = 1

    def __init__(self, reference: TorchCpuBackend, error: float) -> None:
        self._reference = reference
        self._error = error

    def run(self, member: int, batch: SegmentBatch) -> StemBatch:
        output = self._reference.run(member, batch)
        noise = np.random.default_rng(0).standard_normal(output.shape).astype(np.float32)
        return output + np.float32(self._error) * noise

    def close(self) -> None: ...


def test_the_core_and_the_transforms_around_it_give_what_the_network_gives() -> None:
    network = tiny_htdemucs()
    mix = torch.randn(2, 2, 4_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = join_branches(network, *SpectralCore(network)(mix, spectrogram_of(network, mix)))
        assert torch.allclose(output, network(mix), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"dconv_mode": 3, "bottom_channels": 16, "t_layers": 5},  # as htdemucs has it
        {"dconv_mode": 1},
        {"sources": ["one", "two", "three"], "audio_channels": 1},
        {"depth": 2, "t_group_norm": 1},
        {"segment": Fraction(1001, 2000)},  # a length that no stride divides
    ],
)
def test_the_network_laid_out_channels_last_gives_what_it_gives_otherwise(
    changes: dict[str, Any],
) -> None:
    network = tiny_htdemucs(**changes).double()  # so that only a wrong formula makes a difference
    assert can_lie_channels_last(network)
    for name, parameter in network.named_parameters():
        if name.endswith("scale"):  # new networks all but switch their residual branches off
            parameter.data.fill_(0.5)
    frames = int(network.segment * network.samplerate)
    generator = torch.Generator().manual_seed(0)
    shape = (1, network.audio_channels, frames)
    mix = torch.randn(shape, generator=generator, dtype=torch.float64)
    with torch.inference_mode():
        branches = ChannelsLastCore(network)(mix, spectrogram_of(network, mix))
        expected = network(mix)
    output = join_branches(network, *branches)
    assert snr_db(expected.numpy(), output.numpy()) > 130


@pytest.mark.parametrize(
    "changes", [{"norm_starts": 0}, {"dconv_comp": 2, "norm_starts": 1}, {"t_layers": 0}]
)
def test_a_network_with_other_parts_is_left_as_it_is(changes: dict[str, Any]) -> None:
    assert not can_lie_channels_last(tiny_htdemucs(**changes))


def test_parity_is_the_distance_of_the_error_below_the_mixture(model: SeparationModel) -> None:
    reference = TorchCpuBackend(model, 1)
    assert measure_parity(model, reference, reference) == math.inf
    # Noise of 0.01 beside a mixture of deviation 1 is 40 dB below it.
    assert measure_parity(model, Noisy(reference, 0.01), reference) == pytest.approx(40, abs=0.2)


def test_an_output_that_is_no_number_never_passes(model: SeparationModel) -> None:
    probe = parity_probe(model, 0)
    output = TorchCpuBackend(model, 1).run(0, probe)
    broken = output.copy()
    broken[0, 1, 0, 7] = np.nan
    assert error_db(probe, output, broken) == math.inf


def test_the_probe_is_the_same_each_time_and_normalised(model: SeparationModel) -> None:
    probe = parity_probe(model, 0)
    assert np.array_equal(probe, parity_probe(model, 0))
    assert probe.shape == (1, 2, 4_000)
    assert float(probe.std()) == pytest.approx(1, abs=1e-3)


def test_no_backend_is_used_that_fails_the_check(tmp_path: Path, model: SeparationModel) -> None:
    reference = TorchCpuBackend(model, 1)
    with pytest.raises(BackendUnavailableError, match="40 dB are asked"):
        choice(tmp_path)._first_exact(
            model, reference, "fp32", "noisy", lambda _: Noisy(reference, 0.05)
        )
    errors = {"bf16": 0.05, "fp32": 0.001}
    backend = choice(tmp_path)._first_exact(
        model, reference, "bf16", "mixed", lambda precision: Noisy(reference, errors[precision])
    )
    assert measure_parity(model, backend, reference) > 40
    assert len(json.loads((tmp_path / "parity.json").read_text())) == 3


def test_the_cpu_can_be_asked_for_by_name(tmp_path: Path, model: SeparationModel) -> None:
    assert choice(tmp_path, device="cpu").choose(model).name == "torch-cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an NVIDIA GPU here")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, model: SeparationModel) -> None:
    with pytest.raises(BackendUnavailableError, match="no NVIDIA GPU"):
        choice(tmp_path, device="cuda").choose(model)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("changes", [{"dconv_mode": 3}, {"t_layers": 0}])
def test_openvino_computes_what_pytorch_computes(tmp_path: Path, changes: dict[str, Any]) -> None:
    from services.separator.backends.openvino import OpenVinoBackend

    model = describe_model("tiny", tiny_htdemucs(**changes))
    backend = OpenVinoBackend(model, tmp_path, threads=1, precision="fp32")
    assert measure_parity(model, backend, TorchCpuBackend(model, 1)) > 80
    converted = sorted(path.name for path in (tmp_path / "openvino").iterdir())
    assert len(converted) == 1  # kept for the next start, and nothing else is left
    backend.close()
    again = OpenVinoBackend(model, tmp_path, threads=1, precision="fp32")
    assert sorted(path.name for path in (tmp_path / "openvino").iterdir()) == converted
    again.close()


def test_openvino_refuses_networks_of_other_kinds(tmp_path: Path) -> None:
    from demucs.hdemucs import HDemucs

    from services.separator.backends.openvino import OpenVinoBackend

    other = describe_model("hdemucs", HDemucs(["a", "b"], channels=4, segment=1))
    with pytest.raises(BackendUnavailableError, match="Transformer"):
        OpenVinoBackend(other, tmp_path, threads=1, precision="fp32")


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_computes_what_pytorch_computes(model: SeparationModel, precision: Any) -> None:
    from services.separator.backends.cuda import CudaBackend

    backend = CudaBackend(model, precision)
    assert measure_parity(model, backend, TorchCpuBackend(model, 1)) > 40
    probe = parity_probe(model, 0)
    batch = backend.run(0, np.concatenate([probe, -probe, probe]))
    assert batch.shape == (3, 4, 2, 4_000)
    assert np.allclose(batch[0], batch[2], atol=1e-3)
    backend.close()
