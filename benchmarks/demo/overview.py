"""Draws the waveforms and spectrograms of the demo's files."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.accuracy import read_all
from services.runtime.audio.reader import AudioReader, Samples

mpl.use("Agg")  # a picture in a file needs no screen
from matplotlib import pyplot as plt

_ENVELOPE_POINTS = 1600
_FFT_FRAMES = 2048


def draw_overview(files: list[tuple[str, Path]], target: Path) -> None:
    """Draws one row (waveform, spectrogram) for each file into a PNG.

    Args:
        files: A caption and a file for each row.
        target: The PNG to write.
    """
    figure, axes = plt.subplots(
        len(files), 2, figsize=(15, 1.55 * len(files) + 0.8), layout="constrained", squeeze=False
    )
    figure.suptitle("Mixdown: a conversation with a song")
    for row, (caption, path) in enumerate(files):
        with AudioReader(path) as reader:
            rate = reader.sample_rate_hz
        _draw_row(axes[row], caption, read_all(path), rate)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _draw_row(axes: np.ndarray, caption: str, audio: Samples, rate: int) -> None:
    mono = audio.mean(axis=0)
    seconds = mono.size / rate
    block = max(1, mono.size // _ENVELOPE_POINTS)
    blocks = mono[: mono.size // block * block].reshape(-1, block)
    times = np.arange(blocks.shape[0]) * block / rate
    wave, spectrum = axes
    wave.fill_between(times, blocks.min(axis=1), blocks.max(axis=1), linewidth=0, color="#2a6f97")
    wave.set(xlim=(0, seconds), ylim=(-1, 1))
    wave.set_title(caption, loc="left", fontsize=9)
    padded = np.pad(mono, (0, max(0, _FFT_FRAMES - mono.size)))
    spectrum.specgram(
        padded + 1e-9,
        NFFT=_FFT_FRAMES,
        Fs=rate,
        noverlap=_FFT_FRAMES // 2,
        vmin=-140,
        vmax=-30,
        cmap="magma",
    )
    spectrum.set(xlim=(0, seconds), ylim=(0, min(16_000, rate / 2)), ylabel="Hz")
