"""Hybrid Transformer Demucs laid out for CPUs: channels last in memory, from end to end.

It computes what `SpectralCore` computes, with the same weights. What differs is how it is said:

- Every convolution has two dimensions. OpenVINO keeps four-dimensional arrays with their channels
  last, and normalises them so; around one-dimensional convolutions and their norms it copies.
- The residual branches of the frequencies take each row of the spectrogram for an item of a batch.
  Where channels are last in memory, that too is no copy.
- A transposed convolution gives the four samples that it makes of one as channels, by a plain
  convolution. They lie beside each other in memory, as they do in the longer row. So do those that
  the first and the last convolutions take and give (docs/decisions/0032).
- The norm over a whole sequence is written without turning the sequence around, and the rows of
  the spectrogram follow each other in it as they lie in memory: attention knows no order.
- Norms and gates may be said so that fewer passes go over wide arrays (`few_passes`,
  `norms_and_gates.py`).
- What depends on positions only is computed once, not in each run. (Demucs makes it on the CPU each
  time, which neither lets a GPU work ahead nor a run be recorded.)

On two cores without matrix units that saves a quarter of the time (docs/decisions/0015).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from demucs.hdemucs import HDecLayer, HEncLayer
from demucs.htdemucs import HTDemucs
from demucs.transformer import MyGroupNorm, create_2d_sin_embedding, create_sin_embedding
from torch import nn
from torch.nn import functional

from services.separator.backends.norms_and_gates import (
    Gate,
    GateInHalves,
    NarrowNorm,
    NormedGate,
    can_be_normed_narrow,
    can_take_hops_together,
)
from services.separator.backends.spectral_core import EDGE, STRIDE, CoreOutput

_KERNEL = 8
_OUTER_LAYERS = 2
"""Layers from the outside that hold most of all values: five sixths of those of four layers."""

_RESIDUAL_PARTS = 7  # without recurrence and attention: two convolutions, each with its norm, …


def can_lie_channels_last(network: HTDemucs) -> bool:
    """Returns whether `ChannelsLastCore` knows all that this network is made of.

    It knows what the published networks are made of: no norm outside of the residual branches, no
    recurrent or attending layer inside them, complex numbers as channels.
    """
    coders = [*network.encoder, *network.tencoder, *network.decoder, *network.tdecoder]
    return (
        bool(network.cac)
        and network.freq_emb is not None
        and network.use_train_segment
        and _has_fixed_positions(network.crosstransformer)
        and len(network.tencoder) == len(network.encoder)
        and all(_is_plain(coder) for coder in coders)
    )


def _has_fixed_positions(transformer: Any) -> bool:
    return transformer is not None and transformer.emb == "sin" and not transformer.sin_random_shift


def _is_plain(coder: Any) -> bool:
    if not isinstance(coder, (HEncLayer, HDecLayer)) or coder.empty:
        return False
    encodes = isinstance(coder, HEncLayer)
    return (
        (coder.kernel_size, coder.stride, coder.pad) == (_KERNEL, STRIDE, EDGE)
        and coder.rewrite is not None
        and not (encodes and any(size != 1 for size in coder.rewrite.kernel_size))
        and not coder.norm
        and all(len(branch) == _RESIDUAL_PARTS for branch in _branches(coder))
    )


def _branches(coder: Any) -> list[nn.Sequential]:
    return [] if coder.dconv is None else list(coder.dconv.layers)


class ChannelsLastCore(nn.Module):
    """The network between the Fourier transforms, as `SpectralCore` is.

    Args:
        network: One for which `can_lie_channels_last` holds.
        few_passes: Whether norms and gates are said so that fewer passes go over wide arrays. The
            result is the same; it is faster where arrays lie channels last in memory and are
            normalised so.
    """

    def __init__(self, network: HTDemucs, *, few_passes: bool = False) -> None:
        super().__init__()
        net: Any = copy.deepcopy(network)
        channels = net.audio_channels
        parts = len(net.sources) * channels
        rows = net.freq_emb_scale * net.freq_emb.weight.detach()
        self.register_buffer("row_embedding", rows[:, :, None, None])
        self.encoder = nn.ModuleList(_Encoder(layer) for layer in net.encoder)
        self.time_encoder = nn.ModuleList(_Encoder(layer) for layer in net.tencoder)
        for encoder in (self.encoder, self.time_encoder):
            first: Any = encoder[0]
            first.take_steps(channels)
        self.decoder = nn.ModuleList(_RowDecoder(layer, parts) for layer in net.decoder)
        self.time_decoder = nn.ModuleList(_TimeDecoder(layer, parts) for layer in net.tdecoder)
        self.transformer = _Transformer(net)
        self.widen, self.widen_time, self.narrow, self.narrow_time = (
            _flat(getattr(net, name)) if net.bottom_channels else nn.Identity()
            for name in (
                "channel_upsampler",
                "channel_upsampler_t",
                "channel_downsampler",
                "channel_downsampler_t",
            )
        )
        if few_passes:
            self._spare_passes()

    def _spare_passes(self) -> None:
        for branch in [part for part in self.modules() if isinstance(part, _Residual)]:
            branch.take_hops_together()
        outer: list[Any] = [
            *self.encoder[:_OUTER_LAYERS],
            *self.time_encoder[:_OUTER_LAYERS],
            *self.decoder[-_OUTER_LAYERS:],
            *self.time_decoder[-_OUTER_LAYERS:],
        ]
        for coder in outer:
            # Nowhere do roundings tell as in the spectrum's last layer (docs/decisions/0029).
            coder.spare_passes(keep_norms=coder is self.decoder[-1])

    def forward(self, steps: torch.Tensor, bands: torch.Tensor) -> CoreOutput:
        """Runs the network; shapes as of `CoreInput` and `CoreOutput`."""
        rows, wave = bands.permute(0, 3, 1, 2), steps[:, None].permute(0, 3, 1, 2)
        skips: list[torch.Tensor] = []
        time_skips: list[torch.Tensor] = []
        lengths = [0]  # the last layer gives whole steps
        for encode, encode_time in zip(self.encoder, self.time_encoder, strict=True):
            if skips:
                lengths.append(wave.shape[-1])
                wave = functional.pad(wave, (0, -wave.shape[-1] % STRIDE))
            wave = encode_time(wave)
            time_skips.append(wave)
            # Only the first layer is told which row is which.
            rows = encode(rows) if skips else encode(rows, self.row_embedding)
            skips.append(rows)
        rows, wave = self.widen(rows), self.widen_time(wave)
        rows, wave = self.transformer(rows, wave[:, :, 0])
        rows, wave = self.narrow(rows), self.narrow_time(wave[:, :, None])
        for decode, decode_time in zip(self.decoder, self.time_decoder, strict=True):
            rows = decode(rows + skips.pop())
            wave = decode_time(wave + time_skips.pop(), lengths.pop())
        steps, bands = wave.permute(0, 2, 3, 1)[:, 0], rows.permute(0, 2, 3, 1)
        return CoreOutput(steps.contiguous(), bands.contiguous())


class _Coder(nn.Module):
    """What layers of both directions and branches have: residual branches, and a gate."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rewrite: nn.Module = Gate(_flat(layer.rewrite))
        self.residual = nn.Sequential(*(_Residual(branch) for branch in _branches(layer)))

    def spare_passes(self, *, keep_norms: bool) -> None:
        if isinstance(self.rewrite, Gate):
            self.rewrite = GateInHalves(self.rewrite)
        for branch in self.residual:
            if isinstance(branch, _Residual) and not keep_norms:
                branch.norm_narrow()


class _Encoder(_Coder):
    """A layer of either branch: `[batch, channels, rows, hops]`, of which time has one row."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.convolution = _flat(layer.conv)

    def take_steps(self, parts: int) -> None:
        """Has the layer take what it strides over as channels, as `CoreInput` has them."""
        self.convolution = _steps_from_channels(self.convolution, parts)

    def forward(self, samples: torch.Tensor, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """Runs the layer, and adds what `embedding` has for each row, `[rows, channels, 1, 1]`."""
        by_row = _rows_apart(functional.gelu(self.convolution(samples)))
        by_row = self.rewrite(self.residual(by_row))
        if embedding is not None:  # added where a compiler need not turn the channels around for it
            by_row = by_row + embedding.repeat(len(samples), 1, 1, 1)
        return _rows_together(by_row, len(samples))


class _Decoder(_Coder):
    """What comes before the transposed convolution."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self._is_last = layer.last

    def rewritten(self, samples: torch.Tensor) -> torch.Tensor:
        by_row = _rows_apart(self.rewrite(samples))
        return _rows_together(self.residual(by_row), len(samples))


class _RowDecoder(_Decoder):
    """Makes four rows of one; the last layer leaves them as channels, by `parts`."""

    def __init__(self, layer: Any, parts: int) -> None:
        super().__init__(layer)
        self.widen = _steps_as_channels(layer, parts) if layer.last else layer.conv_tr

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        widened: torch.Tensor = self.widen(self.rewritten(samples))
        return widened if self._is_last else functional.gelu(widened[:, :, EDGE:-EDGE])


class _TimeDecoder(_Decoder):
    """Makes four samples of one; the last layer leaves them as channels, by `parts`."""

    def __init__(self, layer: Any, parts: int) -> None:
        super().__init__(layer)
        self.widen = _steps_as_channels(layer, parts if layer.last else 1)

    def forward(self, samples: torch.Tensor, length: int) -> torch.Tensor:
        widened: torch.Tensor = self.widen(self.rewritten(samples))
        if self._is_last:
            return widened
        steps = widened.permute(0, 2, 3, 1)
        longer = steps.reshape(len(steps), 1, STRIDE * steps.shape[2], -1)
        cut = longer[:, :, EDGE : EDGE + length]
        return functional.gelu(cut).permute(0, 3, 1, 2)


class _Residual(nn.Module):
    """A residual branch over time, for a batch of rows `[rows, channels, 1, hops]`."""

    def __init__(self, branch: Any) -> None:
        super().__init__()
        squeeze, norm, activation, expand, wide_norm, _, scale = branch
        self.squeeze = nn.Sequential(_flat(squeeze), norm, activation)
        self.gate: nn.Module = _WideGate(_flat(expand), wide_norm, scale.scale[None, :, None, None])

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        residual: torch.Tensor = self.gate(self.squeeze(samples))
        return samples + residual

    def take_hops_together(self) -> None:
        squeeze, norm, activation = self.squeeze
        if can_take_hops_together(norm):
            self.squeeze = nn.Sequential(squeeze, NarrowNorm(norm, activation))

    def norm_narrow(self) -> None:
        wide = self.gate
        if isinstance(wide, _WideGate) and can_be_normed_narrow(wide.expand, wide.norm):
            self.gate = NormedGate(wide.expand, wide.norm, wide.scale)


class _WideGate(nn.Module):
    """The end of a residual branch as it is: widened, normalised, gated and scaled."""

    def __init__(self, expand: Any, norm: Any, scale: torch.Tensor) -> None:
        super().__init__()
        self.expand, self.norm = expand, norm
        self.scale = nn.Parameter(scale)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        gated = functional.glu(self.norm(self.expand(samples)), dim=1)
        return self.scale * gated


class _Transformer(nn.Module):
    """`CrossTransformerEncoder` with its positions computed once."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        transformer = net.crosstransformer
        self.layers, self.time_layers = transformer.layers, transformer.layers_t
        self.norm, self.time_norm = transformer.norm_in, transformer.norm_in_t
        self._self_attending = transformer.classic_parity
        for layer in [*self.layers, *self.time_layers]:
            for name, part in layer.named_children():
                if isinstance(part, MyGroupNorm) and part.num_groups == 1:
                    setattr(layer, name, _SequenceNorm(part))
        channels = self.layers[0].linear1.in_features
        frames = int(net.segment * net.samplerate)
        hops, rows, steps = math.ceil(frames / net.hop_length), net.nfft // 2, frames
        for _ in net.encoder:
            rows, steps = rows // STRIDE, math.ceil(steps / STRIDE)
        period, share = transformer.max_period, transformer.weight_pos_embed
        table: Any = create_2d_sin_embedding
        places = table(channels, rows, hops, max_period=period)
        self.register_buffer("places", share * places.permute(0, 2, 3, 1).flatten(1, 2))
        times = create_sin_embedding(steps, channels, max_period=period)
        self.register_buffer("times", share * times.transpose(0, 1))

    def forward(
        self, samples: torch.Tensor, wave: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes and gives `[batch, channels, rows, hops]` and `[batch, channels, steps]`."""
        batch, channels, rows, hops = samples.shape
        samples = samples.permute(0, 2, 3, 1).reshape(batch, rows * hops, channels)
        samples = self.norm(samples) + self.places
        wave = self.time_norm(wave.transpose(1, 2)) + self.times
        for number, (layer, time_layer) in enumerate(
            zip(self.layers, self.time_layers, strict=True)
        ):
            if number % 2 == self._self_attending:
                samples, wave = layer(samples), time_layer(wave)
            else:
                samples, wave = layer(samples, wave), time_layer(wave, samples)
        samples = samples.reshape(batch, rows, hops, channels).permute(0, 3, 1, 2)
        return samples, wave.transpose(1, 2)


class _SequenceNorm(nn.Module):
    """`MyGroupNorm` with one group: the norm over all of `[batch, steps, channels]`."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.bias, self._epsilon = norm.weight, norm.bias, norm.eps

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        shape = list(samples.shape[1:])
        normed = functional.layer_norm(samples, shape, eps=self._epsilon)
        scaled: torch.Tensor = normed * self.weight + self.bias
        return scaled


def _rows_apart(samples: torch.Tensor) -> torch.Tensor:
    """Turns `[batch, channels, rows, hops]` to `[batch · rows, channels, 1, hops]`.

    Said by way of the order that lies in memory, so that a compiler sees that nothing moves.
    """
    batch, channels, rows, hops = samples.shape
    in_order = samples.permute(0, 2, 3, 1).reshape(batch * rows, 1, hops, channels)
    return in_order.permute(0, 3, 1, 2)


def _rows_together(by_row: torch.Tensor, batch: int) -> torch.Tensor:
    """Undoes `_rows_apart`."""
    count, channels, _, hops = by_row.shape
    in_order = by_row.permute(0, 2, 3, 1).reshape(batch, count // batch, hops, channels)
    return in_order.permute(0, 3, 1, 2)


def _flat(convolution: Any) -> Any:
    """Returns a convolution over time as one over rows of one sample height."""
    if isinstance(convolution, nn.Conv2d):
        return convolution
    flat = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        (1, *convolution.kernel_size),
        (1, *convolution.stride),
        (0, *convolution.padding),
        (1, *convolution.dilation),
    )
    flat.weight = nn.Parameter(convolution.weight[:, :, None])
    flat.bias = convolution.bias
    return flat


def _steps_from_channels(convolution: Any, parts: int) -> nn.Conv2d:
    """Returns a layer's first convolution for what it strides over as channels.

    Of steps that begin where its padding did, output j is a sum over steps j and j + 1.

    Args:
        convolution: Of a kernel of 8, a stride of 4, and as much padding as `EDGE` has.
        parts: The channels taken are ordered by part, then by step, then within the part.
    """
    weight = convolution.weight
    outputs, inputs = weight.shape[:2]
    taps = weight.reshape(outputs, parts, inputs // parts, 2, STRIDE).permute(0, 1, 4, 2, 3)
    kernel = (2, 1) if convolution.kernel_size[1] == 1 else (1, 2)
    taken = nn.Conv2d(STRIDE * inputs, outputs, kernel)
    taken.weight = nn.Parameter(taps.reshape(outputs, -1, *kernel))
    taken.bias = convolution.bias
    return taken


def _steps_as_channels(layer: Any, parts: int) -> nn.Conv2d:
    """Returns a layer's transposed convolution as one that gives the steps as channels.

    Nothing is cut. Sample 4j + q is a sum over the inputs j and j − 1, with the weights that the
    transposed convolution has for the distances q and 4 + q.

    Args:
        layer: Has `conv_tr`, of a kernel of 8 and a stride of 4.
        parts: The output's channels are ordered by part, then by step, then within the part.
    """
    weight = layer.conv_tr.weight
    inputs, outputs = weight.shape[:2]
    taps = weight.reshape(inputs, parts, outputs // parts, 2, STRIDE).flip(3).permute(1, 4, 2, 0, 3)
    bias = layer.conv_tr.bias.reshape(parts, 1, -1).repeat(1, STRIDE, 1)
    kernel, padding = ((2, 1), (1, 0)) if layer.freq else ((1, 2), (0, 1))
    convolution = nn.Conv2d(inputs, STRIDE * outputs, kernel, padding=padding)
    convolution.weight = nn.Parameter(taps.reshape(-1, inputs, *kernel))
    convolution.bias = nn.Parameter(bias.reshape(-1))
    return convolution
