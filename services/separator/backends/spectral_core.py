"""Hybrid Transformer Demucs with its Fourier transforms taken out of the graph.

Graph compilers do badly at complex numbers. What is left inside takes a waveform and its
spectrogram and gives one result in time and one in frequency; their sum, after the inverse
transform, is what the whole network gives.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from torch import nn
from torch.nn import functional

BAND_BINS = 4
"""Neighbouring bins that a core gives together: what one step of the last layer makes."""

_FRAMES_TOGETHER = 4
"""Frames of the Fourier transform that overlap at every sample: HTDemucs' hop is a quarter."""

_WINDOW_POWER = 1.5
"""The sum of the squared Hann windows of four overlapping frames, at every sample."""


class SpectralCore(nn.Module):
    """The network between the transforms.

    `forward` takes `[batch, channels, frames]` and `[batch, 2 · channels, bins, hops]` (real and
    imaginary part of each channel). It gives spectra, `[batch, bins / 4, hops, stems · channels ·
    4 · 2]`: of four neighbouring bins (`BAND_BINS`) the real and imaginary parts; and waveforms,
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
        spectra, waveforms = self.network(mix)
        batch, _, _, bins, hops = spectra.shape
        parts = spectra.reshape(batch, -1, 2, bins // BAND_BINS, BAND_BINS, hops)
        return parts.permute(0, 3, 5, 1, 4, 2).flatten(3), waveforms


class _Apart:
    """Stands for the waveform of the spectral branch: adding it keeps both branches apart."""

    def __init__(self, spectra: torch.Tensor) -> None:
        self._spectra = spectra

    def __radd__(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._spectra, waveforms


def spectrogram_of(network: Any, mix: torch.Tensor) -> torch.Tensor:
    """Returns the spectrogram that a core wants of a waveform, `[batch, channels, frames]`.

    What `HTDemucs._spec` and `_magnitude` do, without the frames that they compute and drop, and
    without the check that makes a GPU wait.
    """
    batch, channels, frames = mix.shape
    size, hop = network.nfft, network.hop_length
    hops, edge = math.ceil(frames / hop), 3 * hop // 2
    padded = functional.pad(mix, (edge, edge + hops * hop - frames), mode="reflect")
    spectrogram = torch.stft(
        padded.flatten(0, 1),
        size,
        hop,
        window=torch.hann_window(size, dtype=mix.dtype, device=mix.device),
        center=False,
        normalized=True,
        return_complex=True,
    )
    parts = torch.view_as_real(spectrogram[:, :-1]).permute(0, 3, 1, 2)
    return parts.reshape(batch, 2 * channels, size // 2, hops)


def join_branches(network: Any, spectra: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
    """Returns `[batch, stems, channels, frames]` of what a core gave.

    What `HTDemucs._ispec` does with PyTorch's general inverse transform is done here for its one
    case, frames that overlap by three quarters: there the sum of the squared windows is the same
    at every sample, and the frames add up by plain slices.
    """
    batch, stems, channels, length = waveforms.shape
    bands, hops = spectra.shape[1:3]
    bins, hop = bands * BAND_BINS, network.hop_length
    bands_apart = (batch, bands, hops, stems, channels, BAND_BINS, 2)
    whole = spectra.new_empty(batch, stems, channels, hops, bins + 1, 2)
    whole[..., bins, :] = 0  # HTDemucs leaves the highest frequency out
    by_band = whole[..., :bins, :].view(batch, stems, channels, hops, bands, BAND_BINS, 2)
    by_band.copy_(spectra.reshape(bands_apart).permute(0, 3, 4, 2, 1, 5, 6))
    frames = torch.fft.irfft(torch.view_as_complex(whole), n=2 * bins, norm="ortho")
    frames *= torch.hann_window(2 * bins, dtype=frames.dtype, device=frames.device) / _WINDOW_POWER
    quarters = frames.view(batch, stems, channels, hops, _FRAMES_TOGETHER, hop)
    added = frames.new_zeros(batch, stems, channels, hops + _FRAMES_TOGETHER - 1, hop)
    for number in range(_FRAMES_TOGETHER):
        added[..., number : number + hops, :] += quarters[..., number, :]
    # Before the first sample lie the paddings of `_spec`, less the two hops that it drops.
    begin = 3 * hop // 2
    joined: torch.Tensor = added.flatten(3)[..., begin : begin + length] + waveforms
    return joined


def join_by_stem(network: Any, spectra: torch.Tensor, waveforms: torch.Tensor) -> torch.Tensor:
    """Returns what `join_branches` returns, to the bit, made for one stem after another.

    On a CPU that takes less than half the time: what a stem needs is found in the cache, and its
    memory is used again for the next one; that of all at once goes back to the system each time.
    """
    stems = waveforms.shape[1]
    joined = torch.empty_like(waveforms)
    by_stem = spectra.reshape(*spectra.shape[:-1], stems, -1)
    for stem in range(stems):
        only = slice(stem, stem + 1)
        joined[:, only] = join_branches(network, by_stem[..., stem, :], waveforms[:, only])
    return joined
