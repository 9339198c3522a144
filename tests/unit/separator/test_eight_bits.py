"""Linear layers in eight-bit integers: as exact as their scales say, for any input."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn
from torch.nn import functional

from services.separator.backends.channel_balance import balance_channels
from services.separator.backends.eight_bits import (
    multiplies_eight_bits,
    use_eight_bit_scores,
    use_eight_bits,
)
from services.separator.backends.openvino import OpenVinoBackend, precisions
from services.separator.backends.parity import measure_parity, parity_probe
from services.separator.backends.quiet_openvino import openvino
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.models import describe_model
from tests.separator_models import tiny_htdemucs

TOKENS, INPUTS, OUTPUTS = 5, 64, 32
HEADS, QUERIES, KEYS, WIDTH = 2, 48, 80, 64

Floats = npt.NDArray[np.float32]


@functools.cache
def weights_and_bias() -> tuple[Floats, Floats]:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((OUTPUTS, INPUTS)).astype(np.float32)
    weights[3] *= 1000  # outputs of different size must not share a scale
    weights[4] = 0
    return weights, generator.standard_normal(OUTPUTS).astype(np.float32)


@functools.cache
def linear_layer() -> Any:
    """The compiled layer, in integers."""
    weights, bias = weights_and_bias()
    ops = openvino.opset13
    tokens = ops.parameter([1, TOKENS, INPUTS], np.float32)
    product = ops.matmul(tokens, ops.constant(weights), False, True)
    network = openvino.Model([ops.result(ops.add(product, ops.constant(bias)))], [tokens])
    assert use_eight_bits(network) == 1
    return openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def furthest(tokens: Floats) -> npt.NDArray[np.float64]:
    """How far roundings of tokens and weights can move each output, `[tokens, outputs]`."""
    weights = np.abs(weights_and_bias()[0].astype(np.float64))
    tokens = np.abs(tokens.astype(np.float64))
    token_step = tokens.max(-1, keepdims=True) / 254
    weight_step = weights.max(-1, keepdims=True) / 254
    by_tokens = token_step * weights.sum(-1)
    by_weights = (tokens + token_step).sum(-1, keepdims=True) * weight_step.T
    moved: npt.NDArray[np.float64] = by_tokens + by_weights
    return moved


@settings(deadline=None)
@given(
    values=arrays.arrays(np.float32, (TOKENS, INPUTS), elements=st.floats(-1, 1, width=32)),
    levels=st.lists(st.integers(-20, 20), min_size=TOKENS, max_size=TOKENS),
)
def test_no_input_is_moved_further_than_by_rounding(values: Floats, levels: list[int]) -> None:
    """Loud and quiet tokens side by side: each is rounded at its own level."""
    tokens = (values * np.exp2(np.array(levels))[:, None]).astype(np.float32)
    weights, bias = (array.astype(np.float64) for array in weights_and_bias())
    expected = tokens.astype(np.float64) @ weights.T + bias
    output = np.asarray(linear_layer()(tokens[None])[0][0])
    # Arithmetic in float32 around it, and values below the smallest scale, add a little.
    slack = 1e-6 * (np.abs(expected) + np.abs(tokens) @ np.abs(weights).T + 1)
    assert (np.abs(output - expected) <= 1.01 * furthest(tokens) + slack).all()


def test_music_like_tokens_keep_five_bits_and_more() -> None:
    tokens = np.random.default_rng(1).standard_normal((1, TOKENS, INPUTS)).astype(np.float32)
    weights, bias = weights_and_bias()
    expected = tokens[0] @ weights.T + bias
    error = np.asarray(linear_layer()(tokens)[0][0]) - expected
    # Only that, too: without integers the error would be a hundred times less.
    share = np.sqrt(np.square(error).mean(0) / np.square(expected).mean(0))
    assert 0.001 < np.median(share) < 0.03


def test_silence_gives_the_bias_and_nothing_else() -> None:
    silence = np.zeros((1, TOKENS, INPUTS), np.float32)
    output = np.asarray(linear_layer()(silence)[0][0])
    assert np.array_equal(output, np.broadcast_to(weights_and_bias()[1], output.shape))


def test_only_products_with_fixed_weights_are_taken_for_layers() -> None:
    ops = openvino.opset13
    tokens = ops.parameter([1, TOKENS, INPUTS], np.float32)
    weights = ops.constant(weights_and_bias()[0])
    layers = [ops.matmul(tokens, weights, False, True) for _ in range(3)]
    queries, keys, values = layers
    scores = ops.matmul(queries, keys, False, True)
    attended = ops.matmul(ops.softmax(scores, 2), values, False, False)
    network = openvino.Model([ops.result(attended)], [tokens])
    assert use_eight_bits(network) == 3
    kinds = Counter(node.get_type_name() for node in network.get_ordered_ops())
    assert kinds["MatMul"] == 5
    # Each layer's weights are rounded, and the tokens that all share once.
    assert kinds["FakeQuantize"] == 4


def test_the_compiled_layer_multiplies_integers() -> None:
    if not multiplies_eight_bits():
        pytest.skip("this CPU has no AVX-512 VNNI, or has matrix units")
    kinds = {
        str(node.get_rt_info()["layerType"].astype(str)): str(
            node.get_rt_info()["runtimePrecision"].astype(str)
        )
        for node in linear_layer().get_runtime_model().get_ordered_ops()
    }
    assert kinds["FullyConnected"] == "i8"


def attention(*, causal: bool = False, mask: bool = False) -> Any:
    """The network of one attention over `[1, heads, tokens, width]`, not yet in integers."""
    ops = openvino.opset13
    shapes = ([1, HEADS, QUERIES, WIDTH], [1, HEADS, KEYS, WIDTH], [1, HEADS, KEYS, WIDTH])
    inputs = [ops.parameter(shape, np.float32) for shape in shapes]
    masks = [ops.constant(np.zeros((QUERIES, KEYS), np.float32))] if mask else []
    attended = ops.scaled_dot_product_attention(*inputs, *masks, causal=causal)
    return openvino.Model([ops.result(attended)], inputs)


@functools.cache
def attention_in_integers() -> Any:
    network = attention()
    assert use_eight_bit_scores(network) == 1
    return openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def attended(queries: Floats, keys: Floats, values: Floats) -> tuple[Floats, Floats]:
    """What the attention in integers gives, and what the exact one does."""
    inputs = [array[None].astype(np.float32) for array in (queries, keys, values)]
    query, key, value = (torch.from_numpy(array).double() for array in inputs)
    exact = functional.scaled_dot_product_attention(query, key, value)
    return np.array(attention_in_integers()(inputs)[0]), exact.numpy()


def of_music(tokens: int, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((HEADS, tokens, WIDTH)).astype(np.float32)


def share_of_error(output: Floats, exact: Floats) -> float:
    return float(np.linalg.norm(output - exact) / np.linalg.norm(exact))


def test_attention_in_integers_is_near_to_the_exact_one_and_not_the_same() -> None:
    output, exact = attended(of_music(QUERIES, 0), of_music(KEYS, 1), of_music(KEYS, 2))
    assert 1e-4 < share_of_error(output, exact) < 0.02


def test_loud_and_quiet_queries_are_as_exact() -> None:
    """What a query asks for does not depend on the scale of another."""
    queries = of_music(QUERIES, 0)
    queries[:, 0] *= 1e6  # takes one key and no other
    output, exact = attended(queries, of_music(KEYS, 1), of_music(KEYS, 2))
    assert share_of_error(output[:, :, 1:], exact[:, :, 1:]) < 0.02


def test_what_all_keys_share_costs_no_bits() -> None:
    shared = 30 * of_music(1, 3)
    output, exact = attended(of_music(QUERIES, 0), of_music(KEYS, 1) + shared, of_music(KEYS, 2))
    assert share_of_error(output, exact) < 0.02


def test_queries_of_silence_take_the_mean_of_all_values() -> None:
    values = of_music(KEYS, 2)
    output, _ = attended(0 * of_music(QUERIES, 0), of_music(KEYS, 1), values)
    assert np.allclose(output[0], values.mean(1, keepdims=True), atol=1e-5)
    output, _ = attended(of_music(QUERIES, 0), 0 * of_music(KEYS, 1), values)
    assert np.allclose(output[0], values.mean(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("given", [{"causal": True}, {"mask": True}])
def test_attention_that_may_not_see_all_is_left_as_it_is(given: dict[str, bool]) -> None:
    network = attention(**given)
    assert use_eight_bit_scores(network) == 0
    kinds = {node.get_type_name() for node in network.get_ordered_ops()}
    assert "ScaledDotProductAttention" in kinds


def test_the_compiled_attention_is_one_piece_and_compares_integers() -> None:
    if not multiplies_eight_bits():
        pytest.skip("this CPU has no AVX-512 VNNI, or has matrix units")
    nodes = [
        (str(info["layerType"].astype(str)), str(info["runtimePrecision"].astype(str)))
        for node in attention_in_integers().get_runtime_model().get_ordered_ops()
        for info in (node.get_rt_info(),)
    ]
    assert ("Subgraph", "i8") in nodes
    assert not {"MatMul", "Softmax"} & {kind for kind, _ in nodes}


@pytest.mark.filterwarnings("ignore")
def test_a_network_in_eight_bits_is_near_to_the_reference(tmp_path: Path) -> None:
    network = tiny_htdemucs(dconv_mode=3, bottom_channels=16, t_layers=3)
    model = describe_model("tiny", network)
    backend = OpenVinoBackend(model, tmp_path, threads=1, precision="int8")
    assert measure_parity(model, backend, TorchCpuBackend(model, 1)) > 40
    again = backend.run(0, parity_probe(model, 0))
    assert np.array_equal(again, backend.run(0, parity_probe(model, 0)))
    silence = np.zeros_like(parity_probe(model, 0))
    assert float(np.abs(backend.run(0, silence)).max()) == 0
    backend.close()


def test_eight_bits_come_first_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def capabilities(**flags: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)

    capabilities(avx512_vnni=True, avx512_bf16=True)
    assert precisions()[0] == "int8"
    capabilities(avx512_vnni=True, amx_bf16=True)
    assert "int8" not in precisions()
    capabilities()  # as on other processors, which name other features
    assert "int8" not in precisions()


@pytest.mark.parametrize("norm_first", [True, False])
def test_balanced_attention_gives_what_it_gave(norm_first: bool) -> None:
    network = tiny_htdemucs(t_layers=3, t_norm_first=norm_first).double()
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(1, 2, 4_000, generator=generator, dtype=torch.float64)
    balanced = balance_channels(network, 0.1 * mix)
    with torch.inference_mode():
        assert torch.allclose(balanced(mix), network(mix), atol=1e-9)


def test_balanced_channels_give_what_the_network_gave() -> None:
    network: Any = tiny_htdemucs(dconv_mode=3, bottom_channels=16, t_layers=3).double()
    norms = [layer.norm1 for layer in network.crosstransformer.layers]
    for norm in norms:
        norm.weight.data[2] = 50.0  # as trained networks have them
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(1, 2, 4_000, generator=generator, dtype=torch.float64)
    other = torch.randn(1, 2, 4_000, generator=generator, dtype=torch.float64)
    balanced: Any = balance_channels(network, mix)
    kept = [float(norm.weight.detach()[2]) for norm in norms]
    assert kept == [50] * 3  # the network stays what it was
    for norm in [layer.norm1 for layer in balanced.crosstransformer.layers]:
        gains = norm.weight.detach().abs()
        assert float(gains.max() / gains.median()) < 15
    with torch.inference_mode():
        for signal in (mix, other, 0 * mix):
            assert torch.allclose(balanced(signal), network(signal), atol=1e-9)


def attentions_of(network: nn.Module) -> list[Any]:
    return [part for part in network.modules() if isinstance(part, nn.MultiheadAttention)]


def test_queries_and_keys_of_a_channel_are_balanced_too() -> None:
    network: Any = tiny_htdemucs(dconv_mode=3, bottom_channels=16, t_layers=3).double()
    for attending in attentions_of(network):
        attending.in_proj_weight.data[1] *= 30  # a channel of the queries is large
        attending.in_proj_bias.data[:] = 0.1
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(1, 2, 4_000, generator=generator, dtype=torch.float64)
    balanced: Any = balance_channels(network, mix)
    for attending in attentions_of(balanced):
        queries, keys, _ = attending.in_proj_weight.detach().chunk(3)
        of_queries, of_keys = queries.norm(dim=1), keys.norm(dim=1)
        assert float(of_queries[1] / of_queries.median()) < 10
        assert float(of_keys[1] / of_keys.median()) > 2
    with torch.inference_mode():
        assert torch.allclose(balanced(mix), network(mix), atol=1e-9)


def test_balancing_costs_no_bit() -> None:
    """Powers of two move a weight's exponent only."""
    network: Any = tiny_htdemucs(dconv_mode=3, bottom_channels=16, t_layers=3)
    for layer in network.crosstransformer.layers:
        layer.norm1.weight.data[2] = 50.0
    mix = torch.randn(1, 2, 4_000, generator=torch.Generator().manual_seed(0))
    balanced: Any = balance_channels(network, mix)
    for layer, was in zip(
        balanced.crosstransformer.layers, network.crosstransformer.layers, strict=True
    ):
        factors = was.norm1.weight.detach() / layer.norm1.weight.detach()
        assert torch.equal(factors.log2(), factors.log2().round())
        assert len(factors.unique()) > 1


def test_networks_without_a_transformer_are_left_as_they_are() -> None:
    network = tiny_htdemucs(t_layers=0)
    balanced = balance_channels(network, torch.zeros(1, 2, 4_000))
    assert balanced is not network
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, balanced.get_parameter(name))


def test_silence_balances_nothing_by_zero() -> None:
    network = tiny_htdemucs(t_layers=2)
    balanced = balance_channels(network, torch.zeros(1, 2, 4_000))
    mix = torch.randn(1, 2, 4_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(balanced(mix), network(mix), atol=1e-4)
