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

from services.separator.backends.channel_balance import balance_channels
from services.separator.backends.eight_bits import multiplies_eight_bits, use_eight_bits
from services.separator.backends.openvino import OpenVinoBackend, precisions
from services.separator.backends.parity import measure_parity, parity_probe
from services.separator.backends.quiet_openvino import openvino
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.models import describe_model
from tests.separator_models import tiny_htdemucs

TOKENS, INPUTS, OUTPUTS = 5, 64, 32

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


@pytest.mark.parametrize("changes", [{"t_layers": 0}, {"t_norm_first": False}])
def test_networks_without_norms_before_layers_are_left_as_they_are(changes: dict[str, Any]) -> None:
    network = tiny_htdemucs(**changes)
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
