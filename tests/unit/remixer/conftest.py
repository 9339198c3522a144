"""Signals, and how they are measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from services.remixer.effects.processor import Processor
from services.runtime.audio.reader import Samples

RATE_HZ = 44_100


def noise(frames: int, channels: int = 2, seed: int = 0, level: float = 0.1) -> Samples:
    random = np.random.default_rng(seed)
    return (random.standard_normal((channels, frames)) * level).astype(np.float32)


def tone(frequency_hz: float, frames: int, level: float = 0.3, rate_hz: int = RATE_HZ) -> Samples:
    wave = level * np.sin(2 * np.pi * frequency_hz * np.arange(frames) / rate_hz)
    return np.tile(wave.astype(np.float32), (2, 1))


def impulse(frames: int, channels: int = 1) -> Samples:
    block = np.zeros((channels, frames), np.float32)
    block[:, 0] = 1.0
    return block


def run(processor: Processor, samples: Samples, cuts: Iterable[int] = ()) -> Samples:
    """Gives `samples` to a processor, cut into pieces of the lengths `cuts` and the rest."""
    parts = []
    start = 0
    for length in cuts:
        parts.append(processor.process(samples[:, start : start + length]))
        start = min(start + length, samples.shape[1])
    parts.append(processor.process(samples[:, start:]))
    parts.append(processor.finish())
    return np.concatenate(parts, axis=1)


def response_db(samples: Samples, frequencies_hz: np.ndarray, rate_hz: int) -> np.ndarray:
    """Magnitude of the response whose impulse response is the first channel of `samples`."""
    taps = samples[0].astype(np.float64)
    time = np.arange(len(taps)) / rate_hz
    magnitude = [abs(np.sum(taps * np.exp(-2j * np.pi * f * time))) for f in frequencies_hz]
    return 20 * np.log10(np.maximum(magnitude, 1e-12))


def level_db(samples: Samples) -> float:
    return float(20 * np.log10(samples.astype(np.float64).std() + 1e-15))
