"""Backends: held to the reference, chosen with a reason."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from hypothesis import given
from hypothesis import strategies as st

from services.separator.backends.backend import (
    DeadDeviceError,
    DeviceMemoryError,
    SegmentBatch,
    StemBatch,
    is_out_of_memory,
    meaning_of,
)
from services.separator.backends.channels_last import ChannelsLastCore, can_lie_channels_last
from services.separator.backends.choice import BackendChoice
from services.separator.backends.parity import (
    error_db,
    level_probe,
    measure_parity,
    parity_probe,
)
from services.separator.backends.spectral_core import (
    SpectralCore,
    core_input,
    join_branches,
    join_by_stem,
)
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.errors import BackendUnavailableError
from services.separator.models import SeparationModel, describe_model
from tests.separator_models import RATE_HZ, snr_db, tiny_htdemucs


@pytest.fixture
def model() -> SeparationModel:
    return describe_model("tiny", tiny_htdemucs())


def choice(folder: Path, **changes: Any) -> BackendChoice:
    settings: dict[str, Any] = {
        "device": "auto",
        "precision": "auto",
        "threads": 1,
        "max_batch": 0,
        "record_runs": True,
    }
    return BackendChoice(**{**settings, **changes}, cache_folder=folder)


class Noisy:
    """The reference, with an error of its own."""

    name = "noisy"
    is_reference = False
    max_batch = 1
    lanes = 1
    depth = 1

    def __init__(self, reference: TorchCpuBackend, error: float) -> None:
        self._reference = reference
        self._error = error

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        output = self._reference.run(member, batch)
        noise = np.random.default_rng(0).standard_normal(output.shape).astype(np.float32)
        return output + np.float32(self._error) * noise

    def close(self) -> None: ...


def with_core(core: torch.nn.Module, network: HTDemucs, mix: torch.Tensor) -> torch.Tensor:
    """Returns what a core makes of a mix, with all that is around it."""
    fed = core_input(network, mix)
    return join_branches(network, fed, core(fed.steps, fed.bands))


def test_the_core_and_the_transforms_around_it_give_what_the_network_gives() -> None:
    network = tiny_htdemucs()
    mix = torch.randn(2, 2, 4_000, generator=torch.Generator().manual_seed(0)) + 0.3
    with torch.inference_mode():
        output = with_core(SpectralCore(network), network, mix)
        # Normalising twice makes a difference of 10⁻⁵.
        assert snr_db(network(mix).numpy(), output.numpy()) > 90


def test_branches_joined_stem_by_stem_give_the_same_to_the_bit() -> None:
    network = tiny_htdemucs()
    mix = torch.randn(2, 2, 4_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        fed = core_input(network, mix)
        output = SpectralCore(network)(fed.steps, fed.bands)
        assert torch.equal(join_by_stem(network, fed, output), join_branches(network, fed, output))


@pytest.mark.parametrize("frames", [4_000, 3_997])
def test_steps_and_bands_begin_two_values_early(frames: int) -> None:
    network: Any = tiny_htdemucs(segment=Fraction(frames, RATE_HZ))
    mix = torch.randn(2, 2, frames, generator=torch.Generator().manual_seed(0)) + 0.7
    fed = core_input(network, mix, torch.float64)
    assert fed.frames == frames
    samples = fed.steps.reshape(2, 1_001, 2, 4).transpose(1, 2).flatten(2)
    magnitudes = network._magnitude(network._spec(mix))
    bins = fed.bands.reshape(2, 65, 32, 2, 4, 2).permute(0, 3, 5, 1, 4, 2)
    for held, scale, values in (
        (samples, fed.time, mix),
        (bins.reshape(2, 4, 260, 32).transpose(2, 3), fed.spectrum, magnitudes.transpose(2, 3)),
    ):
        inside = held[..., 2 : 2 + values.shape[-1]]
        every = tuple(range(1, values.ndim))
        expected = (values - values.mean(every, keepdim=True)) / values.std(every, keepdim=True)
        assert torch.allclose(inside.float(), expected, atol=1e-3)
        assert float(held.square().sum()) == float(inside.square().sum())  # zeros around them
        assert torch.allclose(scale.mean.flatten(), values.mean(every), atol=1e-5)
        assert torch.allclose(scale.deviation.flatten(), values.std(every), rtol=1e-5)


def test_silence_is_normalised_to_silence() -> None:
    fed = core_input(tiny_htdemucs(), torch.zeros(1, 2, 4_000))
    assert not fed.steps.any()
    assert not fed.bands.any()


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
@pytest.mark.parametrize("few_passes", [False, True])
def test_the_network_laid_out_channels_last_gives_what_it_gives_otherwise(
    changes: dict[str, Any], few_passes: bool
) -> None:
    network = tiny_htdemucs(**changes).double()  # so that only a wrong formula makes a difference
    assert can_lie_channels_last(network)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.endswith("scale"):  # new networks all but switch their residual branches off
            parameter.data.fill_(0.5)
        elif parameter.ndim == 1:  # and their norms treat every channel alike
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    frames = int(network.segment * network.samplerate)
    shape = (2, network.audio_channels, frames)
    mix = torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3
    with torch.inference_mode():
        output = with_core(ChannelsLastCore(network, few_passes=few_passes), network, mix)
        expected = network(mix)
    assert snr_db(expected.numpy(), output.numpy()) > 130


@pytest.mark.parametrize(
    "changes",
    [{"norm_starts": 0}, {"t_layers": 0}, {"t_sin_random_shift": 5}, {"use_train_segment": False}],
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
            model, reference, ["fp32"], "noisy", lambda _: Noisy(reference, 0.05)
        )
    errors = {"int8": 0.05, "bf16": 0.02, "fp32": 0.001}
    backend = choice(tmp_path)._first_exact(
        model,
        reference,
        ["int8", "bf16"],
        "mixed",
        lambda precision: Noisy(reference, errors[precision]),
    )
    assert measure_parity(model, backend, reference) > 40
    assert len(json.loads((tmp_path / "parity.json").read_text())) == 4


def test_the_fastest_precision_is_used_that_passes(tmp_path: Path, model: SeparationModel) -> None:
    reference = TorchCpuBackend(model, 1)
    made = []

    def make(precision: str) -> Noisy:
        made.append(precision)
        return Noisy(reference, {"int8": 0.05, "bf16": 0.001}[precision])

    choice(tmp_path)._first_exact(model, reference, ["int8", "bf16", "fp32"], "device", make)
    assert made == ["int8", "bf16"]
    choice(tmp_path, precision="bf16")._first_exact(model, reference, ["int8"], "device", make)
    assert made == ["int8", "bf16", "bf16"]


def test_the_second_probe_has_silence_and_four_levels(model: SeparationModel) -> None:
    probe = level_probe(model, 0)
    assert np.array_equal(probe, level_probe(model, 0))
    assert float(probe.std()) == pytest.approx(1, abs=1e-3)
    deviations = [float(part.std()) for part in np.array_split(probe, 5, axis=-1)]
    assert deviations[0] == pytest.approx(0, abs=1e-6)
    for quieter, louder in itertools.pairwise(deviations[1:]):
        assert 20 * math.log10(louder / quieter) == pytest.approx(20, abs=3)


def test_an_error_at_low_levels_alone_is_seen(model: SeparationModel) -> None:
    """What is exact for the first probe may fail at the second's silence."""

    class Gated(Noisy):
        def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
            if abs(float(batch[..., : batch.shape[-1] // 5].std())) > 0.01:
                return self._reference.run(member, batch)
            return super().run(member, batch)

    reference = TorchCpuBackend(model, 1)
    assert measure_parity(model, Gated(reference, 0.05), reference) < 40


def test_the_cpu_can_be_asked_for_by_name(tmp_path: Path, model: SeparationModel) -> None:
    assert choice(tmp_path, device="cpu").choose(model).name == "torch-cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an NVIDIA GPU here")
def test_a_gpu_that_is_not_there_is_told(tmp_path: Path, model: SeparationModel) -> None:
    with pytest.raises(BackendUnavailableError, match="no NVIDIA GPU"):
        choice(tmp_path, device="cuda").choose(model)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("changes", [{"dconv_mode": 3}, {"t_layers": 0}])
def test_openvino_computes_what_pytorch_computes(
    tmp_path: Path, changes: dict[str, Any], threads: int
) -> None:
    """In a lane, and with the whole device where that is another way."""
    from services.separator.backends.openvino import OpenVinoBackend

    model = describe_model("tiny", tiny_htdemucs(**changes))
    backend = OpenVinoBackend(model, tmp_path, threads, precision="fp32")
    assert backend.lanes == min(2, threads)
    assert measure_parity(model, backend, TorchCpuBackend(model, 1)) > 80
    converted = sorted(path.name for path in (tmp_path / "openvino").iterdir())
    assert len(converted) == 1  # kept for the next start, and nothing else is left
    backend.close()
    again = OpenVinoBackend(model, tmp_path, threads, precision="fp32")
    assert sorted(path.name for path in (tmp_path / "openvino").iterdir()) == converted
    again.close()


@pytest.mark.filterwarnings("ignore")
def test_openvino_takes_and_gives_what_it_computes_with(tmp_path: Path) -> None:
    """NumPy has no bf16: where a CPU has, arrays go in and come out as other 16 bits."""
    from services.separator.backends.openvino import OpenVinoBackend, native_precision

    model = describe_model("tiny", tiny_htdemucs(dconv_mode=3))
    backend = OpenVinoBackend(model, tmp_path, threads=1, precision=native_precision())
    parity_db = measure_parity(model, backend, TorchCpuBackend(model, 1))
    assert parity_db > {"bf16": 35, "fp32": 80}[native_precision()]
    backend.close()


@pytest.mark.filterwarnings("ignore")
def test_what_nobody_has_used_for_a_week_is_forgotten(tmp_path: Path) -> None:
    from services.separator.backends.openvino import OpenVinoBackend

    model = describe_model("tiny", tiny_htdemucs())
    begun = f"{model.weights_sha256[:16]}-0-2020.1.0"
    for days, name in ((8, f"{begun}-old"), (6, f"{begun}-used"), (8, "another-0-2020.1.0-old")):
        folder = tmp_path / "openvino" / name
        folder.mkdir(parents=True)
        (folder / "network.xml").touch()
        os.utime(folder, (0, time.time() - days * 24 * 3600))
    OpenVinoBackend(model, tmp_path, threads=1, precision="fp32").close()
    left = {path.name for path in (tmp_path / "openvino").iterdir()}
    assert {f"{begun}-used", "another-0-2020.1.0-old"} < left
    assert f"{begun}-old" not in left
    assert len(left) == 3


def test_openvino_cannot_report_its_use() -> None:
    program = (
        "import sys, services.separator.backends.openvino\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert told.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_openvino_refuses_networks_of_other_kinds(tmp_path: Path) -> None:
    from demucs.hdemucs import HDemucs

    from services.separator.backends.openvino import OpenVinoBackend

    other = describe_model("hdemucs", HDemucs(["a", "b"], channels=4, segment=1))
    with pytest.raises(BackendUnavailableError, match="Transformer"):
        OpenVinoBackend(other, tmp_path, threads=1, precision="fp32")


def published_like() -> HTDemucs:
    return tiny_htdemucs(dconv_mode=3, bottom_channels=16, t_layers=3)


def test_the_network_laid_out_for_devices_computes_in_mixed_precision() -> None:
    """As on a GPU: channels last, bf16 where autocast puts it, transforms in float32."""
    network = published_like()
    mix = torch.randn(3, 2, 4_000, generator=torch.Generator().manual_seed(0))
    core = ChannelsLastCore(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            output = with_core(core, network, mix)
        assert output.dtype == torch.float32
        assert 30 < snr_db(network(mix).numpy(), output.numpy()) < 90


def test_everything_that_a_run_makes_is_made_on_the_device_of_its_input() -> None:
    """PyTorch's device without memory stands for any: it refuses to meet what lies elsewhere."""
    network = published_like()
    core = ChannelsLastCore(network).to("meta")
    mix = torch.zeros(3, 2, 4_000, device="meta")
    with torch.inference_mode():
        output = with_core(core, network, mix)
    assert output.device.type == "meta"
    assert output.shape == (3, 4, 2, 4_000)


def test_cpu_backends_may_be_called_from_two_threads(model: SeparationModel) -> None:
    reference = TorchCpuBackend(model, 1)
    probe = parity_probe(model, 0)
    expected = [reference.run(0, probe), reference.run(0, -probe)]
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda batch: reference.run(0, batch), [probe, -probe] * 3))
    for number, output in enumerate(outputs):
        assert np.array_equal(output, expected[number % 2])


@given(free_bytes=st.integers(0, 200 << 30), segment_bytes=st.integers(1, 8 << 30))
def test_a_gpus_batch_is_a_power_of_two_that_fits(free_bytes: int, segment_bytes: int) -> None:
    from services.separator.backends.cuda import MOST_SEGMENTS, fitting_batch

    segments = fitting_batch(free_bytes, segment_bytes)
    assert segments in {1, 2, 4, 8, 16}
    assert segments == 1 or segments * segment_bytes <= free_bytes
    if segments < MOST_SEGMENTS:  # twice as many would take what must be left
        assert 2 * segments * segment_bytes > 0.5 * free_bytes


ILLEGAL_ACCESS = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("error", "check_fails_with", "meaning"),
    [
        # As the allocator, CUDA itself and its libraries say it.
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), None, DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), None, DeviceMemoryError),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), None, DeviceMemoryError),
        # What lasts is told by every later call, whatever it does.
        (torch.AcceleratorError(ILLEGAL_ACCESS), ILLEGAL_ACCESS, DeadDeviceError),
        (RuntimeError("CUDNN_STATUS_EXECUTION_FAILED"), "CUDA error: unknown", DeadDeviceError),
        # The device is well, or only full: the batch was at fault.
        (RuntimeError("Given groups=1, expected 2 channels"), None, RuntimeError),
        (RuntimeError("Given groups=1, expected 2 channels"), "CUDA out of memory.", RuntimeError),
    ],
)
def test_what_an_error_of_a_gpu_means_for_the_next_batch_is_found_by_asking_it(
    error: RuntimeError, check_fails_with: str | None, meaning: type[Exception]
) -> None:
    def check() -> None:
        if check_fails_with is not None:
            raise RuntimeError(check_fails_with)

    told = meaning_of(error, check)
    assert type(told) is meaning
    if meaning is RuntimeError:
        assert told is error


def test_memory_that_ran_out_while_a_run_was_recorded_is_seen_behind_the_recordings_error() -> None:
    try:
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        finally:
            raise RuntimeError("CUDA error: operation failed during capture")
    except RuntimeError as error:
        assert is_out_of_memory(error)
