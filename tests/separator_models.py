"""Small models of Demucs' own classes, for tests of the separator."""

from __future__ import annotations

import hashlib
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

from services.runtime.audio.reader import Samples

STEMS = ["drums", "bass", "other", "vocals"]

RATE_HZ = 8_000
"""Rate of the tiny model."""

TINY: dict[str, Any] = {
    "sources": STEMS,
    "channels": 8,
    "t_layers": 2,
    "t_heads": 2,
    "nfft": 512,
    "depth": 3,
    "segment": Fraction(1, 2),
    "samplerate": RATE_HZ,
}
"""Arguments of a Hybrid Transformer Demucs that computes half a second in a few milliseconds."""


def tiny_htdemucs(seed: int = 0, **changes: Any) -> HTDemucs:
    """Returns an untrained network; equal seeds give equal weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return HTDemucs(**{**TINY, **changes}).eval()


def write_pickled(
    folder: Path, signature: str, network: HTDemucs, state: dict[str, Any] | None = None
) -> None:
    """Writes a network as `<signature>-<checksum>.th`, as Demucs publishes them."""
    args, kwargs = network._init_args_kwargs
    package = {"klass": type(network), "args": args, "kwargs": kwargs}
    buffer = io.BytesIO()
    torch.save({**package, "state": state or network.state_dict()}, buffer)
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    (folder / f"{signature}-{checksum}.th").write_bytes(buffer.getvalue())


def write_safetensors(path: Path, network: HTDemucs) -> None:
    """Writes a network as Demucs' files on the Hugging Face hub are."""
    _, kwargs = network._init_args_kwargs
    told = {**kwargs, "segment": {"_type": "fraction", "numerator": 1, "denominator": 2}}
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(told)}
    save_file(network.state_dict(), path, metadata=metadata)


def write_bag(
    folder: Path, name: str, networks: dict[str, HTDemucs], weights: list[list[float]] | None = None
) -> None:
    """Writes `<name>.yaml` and the `.th` files of its networks, by signature."""
    folder.mkdir(parents=True, exist_ok=True)
    for signature, network in networks.items():
        write_pickled(folder, signature, network)
    told = {"models": list(networks)} | ({"weights": weights} if weights else {})
    (folder / f"{name}.yaml").write_text(json.dumps(told))  # JSON is YAML


def music(seconds: float, rate_hz: int = RATE_HZ, channels: int = 2, seed: int = 1) -> Samples:
    """Returns noise with a beat, as `float32` `[channels, frames]`."""
    frames = round(seconds * rate_hz)
    noise = np.random.default_rng(seed).standard_normal((channels, frames))
    envelope = np.exp(-6 * (np.arange(frames) / rate_hz % 0.4))
    return (0.3 * noise * envelope + 0.01).astype(np.float32)


def snr_db(expected: Samples, output: Samples) -> float:
    """Returns 10 · log10 Σ expected² / Σ (expected − output)²; infinite where equal."""
    error = float(np.square((expected - output).astype(np.float64)).sum())
    signal = float(np.square(expected, dtype=np.float64).sum())
    return 10 * np.log10(signal / error) if error else float("inf")


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """Writes a WAV file of 32-bit floats."""
    layout = "stereo" if samples.shape[0] == 2 else "mono"
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=rate_hz, layout=layout)
        interleaved = np.ascontiguousarray(samples.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
