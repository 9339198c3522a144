"""How close an estimated stem comes to the true one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from services.runtime.audio.reader import AudioReader, Samples


def read_all(path: Path, stream: int = 0) -> Samples:
    """Returns the whole of an audio stream of a file as `[channels, frames]`."""
    with AudioReader(path, stream) as reader:
        return np.concatenate(list(reader.blocks(1 << 20)), axis=1)


def sdr_db(truth: Samples, estimate: Samples) -> float:
    """Returns the signal-to-distortion ratio in dB: 10·log10(Σs² / Σ(s−ŝ)²).

    The definition of the Music Demixing Challenge 2021 (Mitsufuji et al., 2022), over the whole
    song. Both arrays are `[channels, frames]`.

    Raises:
        ValueError: the shapes differ.
    """
    if truth.shape != estimate.shape:
        raise ValueError(f"shapes differ: {truth.shape} and {estimate.shape}")
    signal = np.sum(truth.astype(np.float64) ** 2)
    distortion = np.sum((truth.astype(np.float64) - estimate) ** 2)
    return float(10 * np.log10((signal + 1e-20) / (distortion + 1e-20)))
