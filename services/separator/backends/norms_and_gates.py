"""Norms and gates in other words, so that fewer passes go over wide arrays.

The outermost layers hold millions of values, and a pass over all of them takes as long as many a
convolution. What is here gives the same result as what it stands for, in exact arithmetic, and
reads and writes less on the way, where a compiler keeps channels last in memory
(docs/decisions/0015). Roundings fall otherwise.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_MOST_HOPS = 8
"""Hops that a norm takes for one: of six channels, the fewest that there are, 48."""

_NARROW = 48
"""Norms of so many channels, and of fewer, take several hops for one."""

_VECTOR = 16
"""Values that a CPU's vectors hold in float32: channels beside a multiple of it are slow."""


class Gate(nn.Module):
    """A convolution of which one half of the channels, by a sigmoid, gates the other."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Takes as many channels as the convolution does, and gives half of those it makes."""
        return functional.glu(self.convolution(samples), dim=1)


class GateInHalves(nn.Module):
    """A `Gate` by a convolution for each half, so that nothing is split, which would copy it."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        half = gate.convolution.out_channels // 2
        self.value = _outputs_of(gate.convolution, slice(half))
        self.gate = _outputs_of(gate.convolution, slice(half, None))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Does what `Gate` does."""
        gated: torch.Tensor = self.value(samples) * torch.sigmoid(self.gate(samples))
        return gated


def _outputs_of(convolution: nn.Conv2d, outputs: slice) -> nn.Conv2d:
    """Returns a convolution that gives these channels of another one's, and no others."""
    part = copy.deepcopy(convolution)
    part.weight = nn.Parameter(convolution.weight[outputs])
    part.out_channels = len(part.weight)
    if convolution.bias is not None:
        part.bias = nn.Parameter(convolution.bias[outputs])
    return part


class NarrowNorm(nn.Module):
    """A norm over all of an item, and the activation after it, with several hops for one.

    Vectors are full that way where there are few channels.

    Args:
        norm: One that `can_take_hops_together`.
        activation: By element. It is in here so that a compiler finds it right after the norm.
    """

    def __init__(self, norm: Any, activation: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self._epsilon = norm.weight, norm.bias, norm.eps
        self.activation = activation

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Takes and gives `[rows, channels, 1, hops]`."""
        rows, channels, _, hops = samples.shape
        together = next(count for count in range(_MOST_HOPS, 0, -1) if hops % count == 0)
        in_order = samples.permute(0, 2, 3, 1).reshape(rows, 1, -1, together * channels)
        weight, bias = self.weight.repeat(together), self.bias.repeat(together)
        wider = in_order.permute(0, 3, 1, 2)
        normed = self.activation(functional.group_norm(wider, 1, weight, bias, self._epsilon))
        apart = normed.permute(0, 2, 3, 1).reshape(rows, 1, hops, channels)
        result: torch.Tensor = apart.permute(0, 3, 1, 2)
        return result


def can_take_hops_together(norm: nn.Module) -> bool:
    """Whether a norm has few channels, and one group, so that it asks not what is a channel."""
    return isinstance(norm, nn.GroupNorm) and norm.num_groups == 1 and norm.num_channels <= _NARROW


class NormedGate(nn.Module):
    """What widens a residual branch, normalises it and gates it, with the norm of few channels.

    Of x, h channels at each hop, a residual branch makes y = W x + b, 2C = 16 h channels, and
    normalises them by their mean μ and deviation σ over all channels and hops, (y − μ) / σ. Here
    n channels z = A x + a are normalised instead, and widened behind the norm. They are such that,
    at every hop,

    - the mean over the channels of z is that of y,
    - so is their mean square. Then μ and σ over all hops are the same, too;
    - y is a linear function of z, by weights E of which each row sums to 1. Then what normalises
      z normalises y: (y − μ) / σ = E (z − μ) / σ.

    With M = [W b] less its mean row m, its singular value decomposition M = P S Vᵀ, and F, n rows
    of h + 1 orthonormal columns that each sum to 0 (cosines):

        [A a] = 1 mᵀ + √(n / 2C) F V S Vᵀ,    E = 1 1ᵀ / n + √(2C / n) P Vᵀ Fᵀ

    Scale and shift of the norm, and the scale of the whole branch, go into the convolutions
    behind it, of which there is one for each half of the gate.

    Fewer channels average roundings less: where they tell, the wide norm is better.

    Args:
        expand: The convolution that widens, of one hop.
        norm: The norm of its output, of one group.
        scale: What the branch's output is multiplied by, a factor for each of the C channels.
    """

    def __init__(self, expand: Any, norm: Any, scale: torch.Tensor) -> None:
        super().__init__()
        narrowed, widened = _same_moments(expand)
        # The branch's scale is that of the half which is gated; a sigmoid must not be scaled.
        factors = torch.cat([scale.double().flatten(), scale.new_ones(scale.numel()).double()])
        weight = (factors * norm.weight)[:, None] * widened
        wide = _pointwise(weight, factors * norm.bias, expand.weight.dtype)
        self.narrow = _pointwise(narrowed[:, :-1], narrowed[:, -1], expand.weight.dtype)
        self.norm = nn.GroupNorm(1, len(narrowed), norm.eps, affine=False)
        self.gate = GateInHalves(Gate(wide))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Takes `[rows, h, 1, hops]` and gives `[rows, C, 1, hops]`."""
        gated: torch.Tensor = self.gate(self.norm(self.narrow(samples)))
        return gated


def can_be_normed_narrow(expand: nn.Module, norm: nn.Module) -> bool:
    """Whether `NormedGate` can stand for a convolution, the norm behind it and their gate."""
    return (
        isinstance(expand, nn.Conv2d)
        and tuple(expand.kernel_size) == (1, 1)
        and expand.bias is not None
        and isinstance(norm, nn.GroupNorm)
        and norm.num_groups == 1
    )


def _same_moments(expand: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns `[A a]` and `E` as `NormedGate` tells, of the fewest channels that fill vectors."""
    affine = torch.cat([expand.weight.flatten(1), expand.bias[:, None]], dim=1).detach().double()
    mean = affine.mean(0)
    left, sizes, right = torch.linalg.svd(affine - mean, full_matrices=False)
    wide, inputs = affine.shape
    few = _VECTOR * math.ceil((inputs + 1) / _VECTOR)
    frame = _cosines(few, inputs) @ right.T
    narrowed = mean + math.sqrt(few / wide) * frame @ (sizes[:, None] * right)
    widened = 1 / few + math.sqrt(wide / few) * left @ frame.T
    return narrowed, widened


def _cosines(rows: int, columns: int) -> torch.Tensor:
    """Returns orthonormal columns, fewer than rows, that each sum to zero (a DCT-II's)."""
    places = torch.arange(rows, dtype=torch.float64)[:, None] + 0.5
    waves = torch.arange(1, columns + 1, dtype=torch.float64)
    return math.sqrt(2 / rows) * torch.cos(math.pi / rows * places * waves)


def _pointwise(weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> nn.Conv2d:
    """Returns a convolution of one sample, with weights `[outputs, inputs]`."""
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    convolution.weight = nn.Parameter(weight.detach()[:, :, None, None].to(dtype))
    convolution.bias = nn.Parameter(bias.detach().to(dtype))
    return convolution
