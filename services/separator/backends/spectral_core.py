"""Hybrid Transformer Demucs with its Fourier transforms taken out of the graph.

Graph compilers do badly at complex numbers, and at passes that turn an array around: so the
spectrogram is made, normalised and put into the order in which the first layer reads it outside,
and what the last layer gives is taken in the order in which it lies. Samples and bins go in and
come out by fours, the stride of the outermost layers.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from demucs.htdemucs import HTDemucs
from torch import nn
from torch.nn import functional

STRIDE = 4
"""Samples of a step and bins of a band: what the outermost layers take, and give, at once."""

EDGE = 2
"""Zeros before the first sample and the first bin. Steps and bands begin there, half of one early:
a layer makes of two of them what lies in their midst."""

_FRAMES_TOGETHER = 4
"""Frames of the Fourier transform that overlap at every sample: HTDemucs' hop is a quarter."""

_WINDOW_POWER = 1.5
"""The sum of the squared Hann windows of four overlapping frames, at every sample."""

_SMALLEST_DEVIATION = 1e-5  # as in `HTDemucs.forward`


class Scale(NamedTuple):
    """What a branch was normalised by, `[batch, 1, 1, 1, 1]` each."""

    mean: torch.Tensor
    deviation: torch.Tensor


class CoreInput(NamedTuple):
    """What a core is given of a mix of so many `frames`, and what undoes its normalising.

    `steps` is `[batch, ⌈frames / 4⌉ + 1, channels · 4]`; `bands` is `[batch, bins / 4 + 1, hops,
    channels · 4 · 2]`, of each bin the real and the imaginary part.
    """

    steps: torch.Tensor
    bands: torch.Tensor
    frames: int
    time: Scale
    spectrum: Scale


class CoreOutput(NamedTuple):
    """What a core gives: steps and bands of every channel of every stem, normalised, contiguous.

    `steps` is `[batch, ⌈frames / 4⌉ + 1, stems · channels · 4]`; `bands` is `[batch, bins / 4 + 1,
    hops, stems · channels · 4 · 2]`. What lies in the edges has no meaning.
    """

    steps: torch.Tensor
    bands: torch.Tensor


class SpectralCore(nn.Module):
    """The network between the transforms, as Demucs has it: `forward` takes steps and bands.

    What comes in normalised is normalised once more, which is of no effect but where it is so
    quiet that HTDemucs would have left it smaller.
    """

    def __init__(self, network: HTDemucs) -> None:
        super().__init__()
        # HTDemucs calls these around its graph; here they hand over what they are given.
        core: Any = copy.deepcopy(network)
        core._spec = lambda mix: mix
        core._mask = lambda _, spectra: spectra
        core._ispec = lambda spectra, _: _Apart(spectra)
        self.network = core
        self._frames = int(core.segment * core.samplerate)

    def forward(self, steps: torch.Tensor, bands: torch.Tensor) -> CoreOutput:
        """Runs the network; shapes as of `CoreInput` and `CoreOutput`."""
        batch, _, hops, _ = bands.shape
        wave = torch.unflatten(steps, 2, (-1, STRIDE)).transpose(1, 2).flatten(2)
        parts = torch.unflatten(bands, 3, (-1, STRIDE, 2)).permute(0, 3, 5, 1, 4, 2)
        spectrogram = parts.flatten(3, 4).flatten(1, 2)[:, :, EDGE:-EDGE]
        self.network._magnitude = lambda _: spectrogram
        spectra, waves = self.network(wave[..., EDGE : EDGE + self._frames])
        after = steps.shape[1] * STRIDE - EDGE - self._frames
        waves = functional.pad(waves.flatten(1, 2), (EDGE, after))
        by_step = torch.unflatten(waves, 2, (-1, STRIDE)).transpose(1, 2)
        spectra = functional.pad(spectra, (0, 0, EDGE, EDGE))
        spectra = spectra.reshape(batch, -1, 2, bands.shape[1], STRIDE, hops)
        return CoreOutput(by_step.flatten(2), spectra.permute(0, 3, 5, 1, 4, 2).flatten(3))


class _Apart:
    """Stands for the waveform of the spectral branch: adding it keeps both branches apart."""

    def __init__(self, spectra: torch.Tensor) -> None:
        self._spectra = spectra

    def __radd__(self, waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._spectra, waveforms


def core_input(network: Any, mix: torch.Tensor, dtype: torch.dtype | None = None) -> CoreInput:
    """Returns what a core wants of a mix, `[batch, channels, frames]`.

    What `HTDemucs` does before its first layer, without the frames of the Fourier transform that
    it computes and drops, and without the check that makes a GPU wait.

    Args:
        network: Tells the transform's size.
        mix: The mix.
        dtype: Of steps and bands; the mix's own where there is none.
    """
    dtype = dtype or mix.dtype
    batch, channels, frames = mix.shape
    wave = mix.new_zeros(batch, channels, EDGE + frames + EDGE + -frames % STRIDE)
    time = _normalise(mix, wave[..., EDGE : EDGE + frames])
    by_step = torch.unflatten(wave.to(dtype), 2, (-1, STRIDE))
    steps = _in_order(by_step, 0, 2, 1, 3)
    spectrogram = _spectrogram(network, mix)
    hops, bins = spectrogram.shape[2:4]
    padded = mix.new_zeros(batch, channels, hops, EDGE + bins + EDGE, 2)
    spectrum = _normalise(spectrogram, padded[..., EDGE : EDGE + bins, :])
    by_band = torch.unflatten(padded.to(dtype).flatten(3), 3, (-1, 2 * STRIDE))
    bands = _in_order(by_band, 0, 3, 2, 1, 4)
    return CoreInput(steps.flatten(2), bands.flatten(3), frames, time, spectrum)


def _in_order(array: torch.Tensor, *order: int) -> torch.Tensor:
    """Returns an array in another order of its dimensions, of which the last one stays the last.

    What lies together there is moved as one value: by its elements it takes ten times as long.
    """
    group_bytes = array.shape[-1] * array.element_size()
    whole = torch.complex128 if group_bytes % 16 == 0 else torch.int64
    moved = array.view(whole).permute(order).clone(memory_format=torch.contiguous_format)
    return moved.view(array.dtype)


def _spectrogram(network: Any, mix: torch.Tensor) -> torch.Tensor:
    """Returns `[batch, channels, hops, bins, 2]` as `HTDemucs._spec` has it."""
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
    parts = torch.view_as_real(spectrogram[:, :-1]).transpose(1, 2)
    return torch.unflatten(parts, 0, (batch, channels))


def _normalise(samples: torch.Tensor, normalised: torch.Tensor) -> Scale:
    """Normalises the samples of each item of a batch, as `HTDemucs.forward` does.

    Deviations are taken in two passes: PyTorch's own function takes several times as long.
    """
    every = tuple(range(1, samples.ndim))
    mean = samples.mean(every, keepdim=True)
    torch.sub(samples, mean, out=normalised)
    squares = normalised.square().sum(every, keepdim=True)
    deviation = (squares / (samples[0].numel() - 1)).sqrt()
    normalised /= _SMALLEST_DEVIATION + deviation
    return Scale(*(figure.view(-1, 1, 1, 1, 1) for figure in (mean, deviation)))


def join_branches(network: Any, given: CoreInput, output: CoreOutput) -> torch.Tensor:
    """Returns `[batch, stems, channels, frames]` of what a core gave.

    What `HTDemucs._ispec` does with PyTorch's general inverse transform is done here for its one
    case, frames that overlap by three quarters: there the sum of the squared windows is the same
    at every sample, and the frames add up by plain slices.
    """
    stems = len(network.sources)
    steps, bands = (torch.unflatten(array, -1, (stems, -1)) for array in output)
    return _join(network, given, steps, bands)


def join_by_stem(network: Any, given: CoreInput, output: CoreOutput) -> torch.Tensor:
    """Returns what `join_branches` returns, to the bit, made for one stem after another.

    On a CPU that takes less than half the time: what a stem needs is found in the cache, and its
    memory is used again for the next one; that of all at once goes back to the system each time.
    """
    stems = len(network.sources)
    steps, bands = (torch.unflatten(array, -1, (stems, 1, -1)) for array in output)
    mean = given.time.mean
    shape = (len(mean), stems, network.audio_channels, given.frames)
    joined = torch.empty(shape, dtype=mean.dtype, device=mean.device)
    for stem in range(stems):
        joined[:, stem : stem + 1] = _join(
            network, given, steps[..., stem, :, :], bands[..., stem, :, :]
        )
    return joined


def _join(network: Any, given: CoreInput, steps: torch.Tensor, bands: torch.Tensor) -> torch.Tensor:
    """Joins steps `[…, stems, channels · 4]` and bands `[…, stems, channels · 4 · 2]`."""
    added = _waves_of(network, given.spectrum, bands)
    # Before the first sample lie the paddings of `_spec`, less the two hops that it drops.
    begin = 3 * network.hop_length // 2
    mean, deviation = (figure[..., 0] for figure in given.time)
    by_part = _in_order(torch.unflatten(steps, 3, (-1, STRIDE)), 0, 2, 3, 1, 4)
    waves = by_part.flatten(3)[..., EDGE : EDGE + given.frames].to(mean.dtype)
    return torch.addcmul(mean, waves, deviation).add_(added[..., begin : begin + given.frames])


def _waves_of(network: Any, scale: Scale, bands: torch.Tensor) -> torch.Tensor:
    """Returns the inverse transform of bands, `[batch, stems, channels, padded frames]`."""
    size, hop = network.nfft, network.hop_length
    mean, deviation = scale
    by_part = _in_order(torch.unflatten(bands, 4, (-1, 2 * STRIDE)), 0, 3, 4, 2, 1, 5)
    bins = torch.unflatten(by_part.to(mean.dtype).flatten(4), 4, (-1, 2))
    spectra = bins[..., EDGE : EDGE + size // 2 + 1, :]
    spectra[..., -1, :] = 0  # HTDemucs leaves the highest frequency out
    frames = torch.fft.irfft(torch.view_as_complex(spectra), n=size, norm="ortho")
    window = torch.hann_window(size, dtype=frames.dtype, device=frames.device) / _WINDOW_POWER
    constant = mean * window * _wave_of_ones(size, frames)
    torch.addcmul(constant, frames, deviation * window, out=frames)
    hops = frames.shape[3]
    quarters = torch.unflatten(frames, 4, (_FRAMES_TOGETHER, hop))
    added = frames.new_zeros(*frames.shape[:3], hops + _FRAMES_TOGETHER - 1, hop)
    for number in range(_FRAMES_TOGETHER):
        added[..., number : number + hops, :] += quarters[..., number, :]
    waves: torch.Tensor = added.flatten(3)
    return waves


def _wave_of_ones(size: int, like: torch.Tensor) -> torch.Tensor:
    """Returns what the inverse transform makes of a frame of 1 + i: what a mean adds to each."""
    ones = torch.ones(size // 2 + 1, 2, dtype=like.dtype, device=like.device)
    ones[-1] = 0
    wave: torch.Tensor = torch.fft.irfft(torch.view_as_complex(ones), n=size, norm="ortho")
    return wave
