"""Weights survive the way through an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs

from services.separator.backends.spectral_core import SpectralCore
from services.separator.errors import DamagedWeightsError
from services.separator.weights_onnx import read_onnx_weights
from tests.separator_models import TINY


class Exported(HTDemucs):
    """Exports with the STFT outside, under the names that its own modules have."""

    def forward(self, mix: torch.Tensor, spectrogram: torch.Tensor) -> Any:  # type: ignore[override]
        self.__dict__["_magnitude"] = lambda _: spectrogram
        return super().forward(mix)


def exported_network() -> Exported:
    """A network with every kind of layer that htdemucs has, and no two weights alike."""
    network = Exported(**{**TINY, "dconv_mode": 3, "bottom_channels": 32, "t_layers": 5}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    return network


@pytest.mark.filterwarnings("ignore")
def test_every_weight_of_an_export_is_found_again(tmp_path: Path) -> None:
    network = exported_network()
    mix = torch.zeros(1, 2, 4000)
    spectrogram = torch.zeros(1, 4, 256, 32)
    patches = SpectralCore(HTDemucs(**TINY)).network.__dict__
    for name in ("_spec", "_mask", "_ispec"):
        network.__dict__[name] = patches[name]
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (mix, spectrogram), path, dynamo=False, opset_version=17)
    weights = read_onnx_weights(path)
    state = network.state_dict()
    assert weights.keys() == state.keys()
    for name, value in state.items():
        # The embedding went through a multiplication and back.
        assert np.allclose(weights[name], value.numpy(), rtol=1e-6, atol=0), name


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"\x0bnothing of the kind")
    with pytest.raises(DamagedWeightsError):
        read_onnx_weights(tmp_path / "network.onnx")
