"""Holds a backend to the reference before it is used.

The error that a backend adds must vanish beside the model's own. Published models leave an error
about 20 dB below the mixture; one that is 20 dB lower still changes the SDR of a stem by less than
10 · log10(1 + 10⁻²) = 0.043 dB. So the gate is an error 40 dB below the mixture, in every stem.
"""

from __future__ import annotations

import math

import numpy as np

from services.separator.backends.backend import Backend, SegmentBatch, StemBatch
from services.separator.models import SeparationModel

REQUIRED_DB = 40.0


def parity_probe(model: SeparationModel, member: int) -> SegmentBatch:
    """Returns one segment of music-like sound, always the same: a beat, a bass line, a voice.

    Returns:
        `[1, channels, frames]`, with mean 0 and deviation 1.
    """
    network = model.members[member]
    frames = network.input_frames(network.segment_frames)
    seconds = np.arange(frames) / model.sample_rate_hz
    noise = np.random.default_rng(7).standard_normal((model.channels, frames))
    beat = noise * np.exp(-20 * (seconds % 0.5))
    kick = np.sin(2 * np.pi * 60 * seconds) * np.exp(-12 * ((seconds + 0.25) % 0.5))
    note = 55 * 2 ** (np.floor(seconds) % 4 / 6)
    bass = np.sin(2 * np.pi * np.cumsum(note) / model.sample_rate_hz)
    vibrato = 330 * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * seconds))
    phase = 2 * np.pi * np.cumsum(vibrato) / model.sample_rate_hz
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
    probe = 0.6 * beat + kick + 0.5 * bass + 0.4 * voice * (np.sin(np.pi * seconds) > 0)
    probe = (probe - probe.mean()) / probe.std()
    segment: SegmentBatch = probe[None].astype(np.float32)
    return segment


def error_db(probe: SegmentBatch, expected: StemBatch, output: StemBatch) -> float:
    """Returns the largest error of a stem relative to the mixture, in dB; −inf where equal."""
    mixture = float(np.sum(np.square(probe, dtype=np.float64)))
    errors = np.square((output - expected).astype(np.float64)).sum(axis=(0, 2, 3))
    worst = float(errors.max())
    if not math.isfinite(worst):
        return math.inf
    return 10 * math.log10(worst / mixture) if worst else -math.inf


def measure_parity(model: SeparationModel, backend: Backend, reference: Backend) -> float:
    """Returns how far the error of `backend` is below the mixture, in dB, for its worst member."""
    worst = math.inf
    for member in range(len(model.members)):
        probe = parity_probe(model, member)
        error = error_db(probe, reference.run(member, probe), backend.run(member, probe))
        worst = min(worst, -error)
    return worst
