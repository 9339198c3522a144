"""A transformer whose channels are of like size, so that few bits hold all of them.

After a norm a few channels of a token are ten times as large as the others, the same ones in any
music. A scale for the whole token is theirs, and what is left for the rest is coarse. Here the
norm divides each channel by a factor, and the layers that read it multiply their weights by it:
they compute what they did before, of numbers that are nearer to each other. (SmoothQuant, Xiao et
al. 2023, arXiv:2211.10438, with its α = ½: channels and weights share the burden.)

Attention's queries and keys are balanced in the same way: what a channel of the queries is
multiplied by, that of the keys is divided by, and their products are what they were.

Factors are powers of two: a weight is as exact after as before, and the last bit of the signal's
measure, which differs from machine to machine, is seen by none of them.

The factors are taken from one signal. For others they may be less apt, and never wrong.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from demucs.htdemucs import HTDemucs
from demucs.transformer import CrossTransformerEncoderLayer
from torch import nn
from torch.nn import functional

_SMALLEST_SHARE = 0.01
"""Channels that are smaller than this share of the largest are taken for that large."""


def balance_channels(network: HTDemucs, mix: torch.Tensor) -> HTDemucs:
    """Returns the network in other words.

    Args:
        network: Any Hybrid Transformer Demucs; left as it is.
        mix: `[batch, channels, frames]`, a signal that tells how large channels are.

    Returns:
        A copy that computes the same.
    """
    balanced = copy.deepcopy(network)
    readers = _readers_of_norms(balanced.crosstransformer)
    for norm, largest in _largest_by_channel(balanced, list(readers), mix).items():
        heaviest = torch.cat(readers[norm]).abs().amax(0)
        factors = (_floored(largest) / _floored(heaviest)).sqrt()
        factors = _power_of_two(factors / factors.log().mean().exp())
        norm.weight.data /= factors
        norm.bias.data /= factors
        for weights in readers[norm]:
            weights.mul_(factors)
    for attending, (queries, keys) in _largest_queries_and_keys(balanced, mix).items():
        factors = _power_of_two((_floored(keys) / _floored(queries)).sqrt())
        for weights in (attending.in_proj_weight.data, attending.in_proj_bias.data[:, None]):
            weights[: len(factors)] *= factors[:, None]
            weights[len(factors) : 2 * len(factors)] /= factors[:, None]
    return balanced


def _floored(sizes: torch.Tensor) -> torch.Tensor:
    smallest = max(float(sizes.max()) * _SMALLEST_SHARE, torch.finfo(sizes.dtype).tiny)
    return sizes.clamp(min=smallest)


def _power_of_two(factors: torch.Tensor) -> torch.Tensor:
    return factors.log2().round().exp2()


def _readers_of_norms(transformer: Any) -> dict[Any, list[torch.Tensor]]:
    """Returns, by norm, the weights `[outputs, inputs]` that all of its readers apply to it."""
    readers: dict[Any, list[torch.Tensor]] = {}
    layers = [] if transformer is None else [*transformer.layers, *transformer.layers_t]
    for layer in layers:
        if not layer.norm_first:  # then norms are read by a sum, too
            continue
        if isinstance(layer, CrossTransformerEncoderLayer):
            attending: Any = layer.cross_attn
            width = attending.embed_dim
            readers[layer.norm1] = [attending.in_proj_weight.data[:width]]
            readers[layer.norm2] = [attending.in_proj_weight.data[width:]]
            readers[layer.norm3] = [layer.linear1.weight.data]
        else:
            readers[layer.norm1] = [layer.self_attn.in_proj_weight.data]
            readers[layer.norm2] = [layer.linear1.weight.data]
    return readers


def _largest_by_channel(
    network: HTDemucs, norms: list[nn.Module], mix: torch.Tensor
) -> dict[Any, torch.Tensor]:
    """Returns, by norm, the largest absolute value of each channel of what it gives."""
    largest: dict[Any, torch.Tensor] = {}

    def watch(norm: nn.Module, _: Any, output: torch.Tensor) -> None:
        largest[norm] = output.detach().abs().flatten(0, -2).amax(0)

    _run_watched(network, mix, [norm.register_forward_hook(watch) for norm in norms])
    return largest


def _largest_queries_and_keys(
    network: HTDemucs, mix: torch.Tensor
) -> dict[Any, tuple[torch.Tensor, torch.Tensor]]:
    """Returns, by attention, the largest absolute values of its channels; keys less their mean."""
    largest: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}

    def watch(attending: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        weights, bias = attending.in_proj_weight.chunk(3), attending.in_proj_bias.chunk(3)
        queries, keys = (
            functional.linear(tokens, weights[part], bias[part]).detach()
            for part, tokens in enumerate(inputs[:2])
        )
        keys -= keys.mean(1, keepdim=True)
        largest[attending] = (queries.abs().amax((0, 1)), keys.abs().amax((0, 1)))

    attentions = [part for part in network.modules() if isinstance(part, nn.MultiheadAttention)]
    _run_watched(network, mix, [part.register_forward_pre_hook(watch) for part in attentions])
    return largest


def _run_watched(network: HTDemucs, mix: torch.Tensor, handles: list[Any]) -> None:
    with torch.no_grad():
        network(mix)
    for handle in handles:
        handle.remove()
