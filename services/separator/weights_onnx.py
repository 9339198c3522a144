"""Reads the weights of HTDemucs out of an ONNX file that was exported from PyTorch.

The exporter keeps the PyTorch name of most weights. Those that it folded or transposed are
anonymous (`onnx::MatMul_5291`); what they are follows from the node that uses them, because a
node's name is the path of the module that it was made from.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.separator.errors import DamagedWeightsError

Weights = dict[str, npt.NDArray[np.float32]]
"""Values by their name in the PyTorch model."""

FREQUENCY_EMBEDDING = "freq_emb.embedding.weight"

_EMBEDDING_SCALE = 10.0
"""`ScaledEmbedding` of Demucs multiplies what it stores by this; the export holds the product."""


def read_onnx_weights(path: Path) -> Weights:
    """Returns every weight of the model in an ONNX file, by its name in PyTorch.

    Args:
        path: An export of `demucs.htdemucs.HTDemucs` with the STFT outside of the graph.

    Raises:
        DamagedWeightsError: the file is no such export.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(path).graph
    except DecodeError as error:
        raise DamagedWeightsError(f"{path.name} is not an ONNX file.") from error
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    named = {name: value for name, value in values.items() if "::" not in name}
    parts: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for node in graph.node:
        for name in node.input:
            if "::" in name and name in values:
                target, part = _target_of(node.name)
                parts.setdefault(target, {})[part] = values[name]
    return named | {target: _assemble(target, found) for target, found in parts.items()}


def _target_of(node: str) -> tuple[str, str]:
    """Returns the PyTorch name of an anonymous weight, and which part of it the node holds.

    >>> _target_of("/encoder.0/dconv/layers.1/layers.1.4/Mul")
    ('encoder.0.dconv.layers.1.4.weight', 'vector')
    >>> _target_of("/crosstransformer/layers.1/cross_attn/MatMul_1")
    ('crosstransformer.layers.1.cross_attn.in_proj_weight', 'matrix 1')
    """
    if node == "/Expand":
        return FREQUENCY_EMBEDDING, "embedding"
    *scopes, operation = node.strip("/").split("/")
    if not scopes:
        raise DamagedWeightsError(f"The ONNX file does not tell what {node} belongs to.")
    # Members of nn.Sequential carry their whole path again: "layers.1/layers.1.4".
    module = ".".join(
        scope
        for scope, following in zip(scopes, [*scopes[1:], ""], strict=True)
        if not following.startswith(f"{scope}.")
    )
    kind, _, number = operation.partition("_")
    part = number or "0"
    if re.search(r"\.(self|cross)_attn$", module):
        if kind == "MatMul":
            return f"{module}.in_proj_weight", f"matrix {part}"
        return f"{module}.in_proj_bias", f"bias {part}"
    if kind == "MatMul":
        return f"{module}.weight", "matrix 0"
    layer_scale = re.search(r"\.layers\.\d+\.6$", module)
    name = "bias" if kind == "Add" else "scale" if layer_scale else "weight"
    return f"{module}.{name}", "vector"


def _assemble(target: str, parts: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    if target == FREQUENCY_EMBEDDING:  # [1, channels, frequencies, 1]
        return np.ascontiguousarray(parts["embedding"][0, :, :, 0].T) / np.float32(_EMBEDDING_SCALE)
    ordered = [parts[part] for part in sorted(parts)]
    if next(iter(parts)).startswith("matrix"):
        ordered = [matrix.T for matrix in ordered]
    else:
        ordered = [vector.reshape(-1) for vector in ordered]
    return np.ascontiguousarray(np.concatenate(ordered, axis=0))
