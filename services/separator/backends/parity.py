"""Holds a backend to the reference before it is used.

The error that a backend adds must vanish beside the model's own. Published models leave an error
about 20 dB below the mixture; one that is 20 dB lower still changes the SDR of a stem by less than
10 · log10(1 + 10⁻²) = 0.043 dB. So the gate is an error 40 dB below the mixture, in every stem.

It holds for music of one level, and for silence, quiet and loud passages in one segment: numbers
of few bits may have the range for the one and not for the other.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from services.separator.backends.backend import Backend, SegmentBatch, StemBatch, ways
from services.separator.models import SeparationModel

REQUIRED_DB = 40.0

_LEVELS_DB = (-math.inf, -60.0, -40.0, -20.0, 0.0)


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
    return _normalised(probe)


def level_probe(model: SeparationModel, member: int) -> SegmentBatch:
    """Returns one segment of silence and a crowded sound in four levels, always the same.

    A chord that is out of tune, pink noise and single clicks, at the levels of `_LEVELS_DB`.

    Returns:
        `[1, channels, frames]`, with mean 0 and deviation 1.
    """
    network = model.members[member]
    frames = network.input_frames(network.segment_frames)
    places = np.arange(frames)
    white = np.random.default_rng(11).standard_normal((model.channels, frames))
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 1)), frames)
    notes = (110.0, 138.6, 164.8, 220.5, 277.0)
    chord = sum((places / model.sample_rate_hz * note) % 1 - 0.5 for note in notes)
    sound = chord + 0.5 * pink / pink.std()
    sound[:, :: model.sample_rate_hz // 2] += 3
    steps = places * len(_LEVELS_DB) // frames
    return _normalised(sound * 10 ** (np.array(_LEVELS_DB) / 20)[steps])


def _normalised(probe: npt.NDArray[np.float64]) -> SegmentBatch:
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
    """Returns how far the error of `backend` is below the mixture, in dB.

    That is the least distance, over the model's networks and both probes, in a lane and undivided.
    """
    worst = math.inf
    for member in range(len(model.members)):
        for probe in (parity_probe(model, member), level_probe(model, member)):
            expected = reference.run(member, probe)
            for undivided in ways(backend):
                output = backend.run(member, probe, undivided=undivided)
                worst = min(worst, -error_db(probe, expected, output))
    return worst
