"""Hybrid Transformer Demucs with its Fourier transforms taken out of the graph.

Graph compilers do badly at complex numbers. What is left inside takes a waveform and its
spectrogram and gives one result in time and one in frequency; their sum, after the inverse
transform, is what the whole network gives.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from torch import nn


class SpectralCore(nn.Module):
    """The network between the transforms.

    `forward` takes `[batch, channels, frames]` and `[batch, 2 · channels, bins, hops]` (real and
    imaginary part of each channel) and gives `[batch, stems, 2 · channels, bins, hops]` and
    `[batch, stems, channels, frames]`.
    """

    def __init__(self, network: HTDemucs) -> None:
        super().__init__()
        # HTDemucs calls these around its graph; here they hand over what they are given.
        core: Any = copy.deepcopy(network)
        core._spec = lambda mix: mix
        core._mask = lambda _, spectra: spectra
        core._ispec = lambda spectra, _: _Apart(spectra)
        self.network = core

    def forward(
        self, mix: torch.Tensor, spectrogram: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs the network; shapes as told for the class."""
        self.network._magnitude = lambda _: spectrogram
        result: tuple[torch.Tensor, torch.Tensor] = self.network(mix)
        return result


class _Apart:
    """Stands for the waveform of the spectral branch: adding it keeps both branches apart."""

    def __init__(self, spectra: torch.Tensor) -> None:
        self._spectra = spectra

    def __radd__(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._spectra, waveforms


def spectrogram_of(network: Any, mix: torch.Tensor) -> torch.Tensor:
    """Returns the spectrogram that `SpectralCore` wants of a waveform."""
    spectrogram: torch.Tensor = network._magnitude(network._spec(mix))
    return spectrogram


def join_branches(network: Any, spectra: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
    """Returns `[batch, stems, channels, frames]` of what a `SpectralCore` gave."""
    spectral: torch.Tensor = network._ispec(network._mask(None, spectra), waveforms.shape[-1])
    return spectral + waveforms
