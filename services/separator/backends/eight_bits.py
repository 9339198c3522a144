"""Linear layers and attention in eight-bit integers, each token at a scale of its own.

CPUs with VNNI multiply eight-bit integers twice as fast as bf16. What they lack is range: numbers
of one scale have 255 values between their extremes, and extremes fixed beforehand hold only for
the music that they were measured on. Here nothing is fixed. Every token of a layer, which is a row
x of its input, is divided by its own largest absolute value s and rounded; so are the weights W of
each output, by their largest; and the product is multiplied by s again:

    y = s · (round(127 x / s) / 127) Wᵀ + b,  s = max |x|

Rounding moves x by s / 254 at most, whatever x is: s never clips, and a quiet token beside a loud
one is as exact as that one.

OpenVINO is told which products to compute in integers by how the graph is written: it looks for a
rounding of constant range (`FakeQuantize`) before a multiplication with rounded weights, and takes
the division before and the multiplication behind for what they are, operations by element.

Attention compares each query q with each key k. Both are tokens, rounded in the same way; keys are
less their mean m over all tokens, for softmax does not see what all scores of a query share:

    softmax(q · k) = softmax(q · (k − m))

What is then taken of the values, and the values, stay as they were. OpenVINO still computes such
an attention in one piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from services.separator.backends.quiet_openvino import openvino

_ops = openvino.opset13

_SMALLEST_SCALE = np.float32(1e-12)
"""Of a token or weights that are all zero, so that nothing is divided by zero."""

_LOWEST = np.float32(-128 / 127)
"""Integers go from −128 to 127: −128 is there, and never taken."""


def multiplies_eight_bits() -> bool:
    """Returns whether eight-bit integers are known to be faster on this CPU than all else.

    They are where it has AVX-512 VNNI. Where it has matrix units too (AMX), multiplying in bf16 is
    so small a share already that finding the scales may cost what integers spare.
    """
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_vnni")) and not capabilities.get("amx_bf16")


def use_eight_bits(network: Any) -> int:
    """Has the linear layers of a network multiply in integers.

    Args:
        network: An `openvino.Model`, changed in place.

    Returns:
        How many layers do.
    """
    rounded: dict[tuple[str, int], tuple[Any, Any]] = {}
    layers = [node for node in network.get_ordered_ops() if _is_linear_layer(node)]
    for layer in layers:
        source = layer.input_value(0)
        place = (source.get_node().get_name(), source.get_index())
        if place not in rounded:  # queries, keys and values are made of one array
            rounded[place] = _round_tokens(source)
        tokens, scale = rounded[place]
        consumers = layer.output(0).get_target_inputs()
        layer.input(0).replace_source_output(tokens.output(0))
        layer.input(1).replace_source_output(_round_weights(layer).output(0))
        product = _ops.multiply(layer, scale)
        for consumer in consumers:
            consumer.replace_source_output(product.output(0))
    network.validate_nodes_and_infer_types()
    return len(layers)


def use_eight_bit_scores(network: Any) -> int:
    """Has the attention of a network compare queries with keys in integers.

    Args:
        network: An `openvino.Model`, changed in place.

    Returns:
        How many attentions do.
    """
    attentions = [node for node in network.get_ordered_ops() if _is_plain_attention(node)]
    for attention in attentions:
        attention.output(0).replace(_attend(*attention.input_values()).output(0))
    network.validate_nodes_and_infer_types()
    return len(attentions)


def _is_plain_attention(node: Any) -> bool:
    """Whether a node is attention with neither a mask nor a scale that is given to it."""
    return (
        node.get_type_name() == "ScaledDotProductAttention"
        and node.get_input_size() == 3
        and not node.get_attributes()["causal"]
    )


def _attend(queries: Any, keys: Any, values: Any) -> Any:
    """Returns attention over `[batch, heads, tokens, width]`, its scores from integers."""
    width = queries.get_shape()[-1]
    mean = _ops.reduce_mean(keys, _ops.constant(np.array([-2])), keep_dims=True)
    query_tokens, query_scale = _round_tokens(queries)
    key_tokens, key_scale = _round_tokens(_ops.subtract(keys, mean))
    by_key = _ops.transpose(key_scale, _ops.constant(np.array([0, 1, 3, 2])))
    by_query = _ops.multiply(query_scale, _ops.constant(np.float32(width**-0.5)))
    scores = _ops.matmul(query_tokens, key_tokens, False, True)
    scores = _ops.multiply(_ops.multiply(scores, by_query), by_key)
    return _ops.matmul(_ops.softmax(scores, -1), values, False, False)


def _is_linear_layer(node: Any) -> bool:
    """Whether a node multiplies tokens `[…, tokens, inputs]` with weights `[outputs, inputs]`."""
    if node.get_type_name() != "MatMul":
        return False
    weights = node.input_value(1).get_node()
    attributes = node.get_attributes()
    return (
        weights.get_type_name() == "Constant"
        and len(weights.shape) == 2
        and attributes["transpose_b"]
        and not attributes["transpose_a"]
    )


def _round_tokens(source: Any) -> tuple[Any, Any]:
    """Returns the tokens, rounded between −1 and 1, and their scales `[…, tokens, 1]`."""
    largest = _ops.reduce_max(_ops.abs(source), _ops.constant(np.array([-1])), keep_dims=True)
    scale = _ops.maximum(largest, _ops.constant(_SMALLEST_SCALE))
    tokens = _round(_ops.divide(source, scale), _LOWEST, np.float32(1), levels=256)
    return tokens, scale


def _round_weights(layer: Any) -> Any:
    """Returns the weights `[outputs, inputs]`, rounded at a scale for each output."""
    weights = layer.input_value(1)
    largest = np.abs(weights.get_node().data).max(axis=1, keepdims=True)
    scale = np.maximum(largest, _SMALLEST_SCALE)
    return _round(weights, -scale, scale, levels=255)


def _round(values: Any, lowest: Any, highest: Any, levels: int) -> Any:
    low, high = _ops.constant(lowest), _ops.constant(highest)
    return _ops.fake_quantize(values, low, high, low, high, levels)
