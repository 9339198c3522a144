"""Norms and gates in other words give what they give otherwise, and see fewer values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from services.separator.backends.channels_last import ChannelsLastCore
from services.separator.backends.norms_and_gates import (
    Gate,
    GateInHalves,
    NarrowNorm,
    NormedGate,
    can_be_normed_narrow,
    can_take_hops_together,
)
from services.separator.backends.spectral_core import core_input
from tests.separator_models import snr_db, tiny_htdemucs


def randomly(layer: Any, seed: int, size: float = 1.0) -> Any:
    """Gives a layer weights in float64 that none of its channels shares with another."""
    generator = torch.Generator().manual_seed(seed)
    layer = layer.double()
    for parameter in layer.parameters():
        parameter.data = size * torch.randn(parameter.shape, generator=generator).double()
    return layer


def noise(*shape: int, seed: int = 9) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


@settings(deadline=None)
@given(
    inputs=st.integers(1, 48),
    half=st.integers(1, 60),
    rows=st.integers(1, 3),
    hops=st.integers(1, 40),
    size=st.sampled_from([1e-3, 1.0, 50.0]),
    offset=st.sampled_from([0.0, 3.0]),
    seed=st.integers(0, 99),
)
def test_a_gate_normed_by_few_channels_is_the_gate_normed_wide(
    inputs: int, half: int, rows: int, hops: int, size: float, offset: float, seed: int
) -> None:
    expand = randomly(nn.Conv2d(inputs, 2 * half, 1), seed, size)
    norm = randomly(nn.GroupNorm(1, 2 * half), seed + 1)
    scale = noise(1, half, 1, 1, seed=seed)
    assert can_be_normed_narrow(expand, norm)
    samples = noise(rows, inputs, 1, hops, seed=seed + 2) + offset
    with torch.inference_mode():
        expected = scale * functional.glu(norm(expand(samples)), dim=1)
        output = NormedGate(expand, norm, scale)(samples)
    assert torch.allclose(output, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("inputs", "few"), [(6, 16), (12, 16), (14, 16), (15, 32), (48, 64)])
def test_so_many_channels_are_normed_that_vectors_are_full(inputs: int, few: int) -> None:
    expand = randomly(nn.Conv2d(inputs, 16 * inputs, 1), 0)
    norm = randomly(nn.GroupNorm(1, 16 * inputs), 1)
    assert NormedGate(expand, norm, noise(8 * inputs)).norm.num_channels == few


def test_an_item_that_is_silent_stays_what_the_norm_makes_of_silence() -> None:
    expand = randomly(nn.Conv2d(6, 96, 1), 0)
    assert expand.bias is not None
    expand.bias.data.zero_()
    norm, scale = randomly(nn.GroupNorm(1, 96), 1), noise(48)
    silence = torch.zeros(1, 6, 1, 8).double()
    with torch.inference_mode():
        expected = scale[:, None, None] * functional.glu(norm(expand(silence)), dim=1)
        assert torch.allclose(NormedGate(expand, norm, scale)(silence), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("expand", "norm"),
    [
        (nn.Conv2d(6, 96, (1, 3)), nn.GroupNorm(1, 96)),
        (nn.Conv2d(6, 96, 1, bias=False), nn.GroupNorm(1, 96)),
        (nn.Conv2d(6, 96, 1), nn.GroupNorm(2, 96)),
        (nn.Conv2d(6, 96, 1), nn.Identity()),
    ],
)
def test_what_has_no_such_norm_is_left_as_it_is(expand: nn.Module, norm: nn.Module) -> None:
    assert not can_be_normed_narrow(expand, norm)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_gate_in_halves_is_the_gate(kernel: int, bias: bool) -> None:
    convolution = nn.Conv2d(4, 10, kernel, padding=kernel // 2, bias=bias)
    gate = Gate(randomly(convolution, 0))
    samples = noise(2, 4, 5, 7)
    with torch.inference_mode():
        assert torch.allclose(GateInHalves(gate)(samples), gate(samples), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("hops", "together"), [(16, 8), (12, 6), (7, 7), (11, 1)])
def test_a_norm_of_few_channels_takes_several_hops_for_one(
    monkeypatch: pytest.MonkeyPatch, hops: int, together: int
) -> None:
    norm = randomly(nn.GroupNorm(1, 6), 0)
    assert can_take_hops_together(norm)
    samples = noise(3, 6, 1, hops)
    with torch.inference_mode():
        expected = functional.gelu(norm(samples))
        seen = group_norms_seen(monkeypatch)
        output = NarrowNorm(norm, nn.GELU())(samples)
    assert torch.allclose(output, expected, rtol=1e-9, atol=1e-9)
    assert seen == [(6 * together, hops // together)]


def test_norms_that_divide_their_channels_or_have_many_do_not() -> None:
    assert not can_take_hops_together(nn.GroupNorm(2, 6))
    assert not can_take_hops_together(nn.GroupNorm(1, 64))
    assert not can_take_hops_together(nn.Identity())


def test_the_outer_layers_are_normed_narrow_but_for_the_spectrums_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where roundings tell most, the wide norm stays; inside, there is nothing to spare."""
    network = tiny_htdemucs(dconv_mode=3, depth=3, bottom_channels=16, t_layers=1)
    core = ChannelsLastCore(network, few_passes=True)
    for coders, normed in (
        (core.encoder, [True, True, False]),
        (core.time_encoder, [True, True, False]),
        (core.decoder, [False, True, False]),
        (core.time_decoder, [False, True, True]),
    ):
        coder: Any
        for coder, is_narrow in zip(coders, normed, strict=True):
            assert [isinstance(branch.gate, NormedGate) for branch in coder.residual] == [
                is_narrow
            ] * len(coder.residual)
    assert isinstance(core.decoder[-1].rewrite, GateInHalves)
    mix = torch.randn(1, 2, 4_000, generator=torch.Generator().manual_seed(0))
    fed = core_input(network, mix)
    with torch.inference_mode():
        wide = ChannelsLastCore(network)(fed.steps, fed.bands)
        for one, other in zip(wide, core(fed.steps, fed.bands), strict=True):
            assert snr_db(one.numpy(), other.numpy()) > 90


def group_norms_seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Returns where channels and hops of every norm from now on are written down."""
    seen: list[tuple[int, int]] = []
    group_norm = functional.group_norm

    def watch(samples: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append((samples.shape[1], samples.shape[3]))
        return group_norm(samples, *others)

    monkeypatch.setattr(functional, "group_norm", watch)
    return seen
