"""Distortion: saturation at first, an overdriven amplifier at the end."""

from __future__ import annotations

import math

import numpy as np
import soxr

from services.remixer.effects.make_up import MakeUp
from services.remixer.effects.processor import FixedBlocks, empty, silence
from services.remixer.frame_queue import FrameQueue
from services.runtime.audio.loudness import KWeighting, hop_frames
from services.runtime.audio.reader import Samples
from services.runtime.audio.true_peak import oversampling

_MAX_MAKE_UP_DB = 12.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


def drive(amount: float) -> float:
    """Returns how far an amount drives a sound at its usual level into the curve.

    >>> drive(0.25)
    1.0
    """
    return 8.0 * math.pow(amount, 1.5)


def matching_gain(driven: float) -> float:
    """Returns what keeps the power: noise with a power of 1 has it again behind the curve.

    1 / √E[tanh²(drive·Z)] for Z of normal distribution, by Gauss–Hermite quadrature.
    """
    power = (_WEIGHTS * np.tanh(driven * _NODES) ** 2).sum() / _WEIGHTS.sum()
    return 1.0 / math.sqrt(float(power))


class Distortion:
    """Bends the wave by a hyperbolic tangent, as valves and tape do.

    out = r·m·tanh(d·x/r): r is the level of the track (of the stem, for a stem), so that a quiet
    recording is bent as much as a loud one, d the drive, and m keeps the power (soft clipping: U.
    Zölzer, "DAFX: Digital Audio Effects", 2nd ed. 2011, section 4.3). The curve is odd: it adds odd
    harmonics and no constant.

    What the curve adds is made at four times the rate (twice from 88.2 kHz on, and as it is from
    176.4 kHz on), so that harmonics beyond half the rate are gone before they fold back; the sound
    itself is not resampled. As m fits a noise and music is none, what is left of a difference in
    loudness is made up for while it goes on; see `MakeUp`.

    Args:
        amount: 0 to 1.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        reference_lufs: The loudness that the drive is relative to.
    """

    def __init__(
        self, amount: float, sample_rate_hz: int, channels: int, reference_lufs: float
    ) -> None:
        # The loudness adds up both channels; their weighting is left out.
        level = 10.0 ** ((reference_lufs + 0.691) / 20.0) / math.sqrt(channels)
        driven = drive(amount)
        self._inner = np.float32(driven / level)
        self._outer = np.float32(level * matching_gain(driven))
        self._channels = channels
        self._factor = oversampling(sample_rate_hz)
        self._up = self._stream(sample_rate_hz, sample_rate_hz * self._factor)
        self._down = self._stream(sample_rate_hz * self._factor, sample_rate_hz)
        self._dry = FrameQueue(channels)
        self._added = FrameQueue(channels)
        self._weightings = [KWeighting(sample_rate_hz, channels) for _ in range(2)]
        self._make_up = MakeUp(0.0, -_MAX_MAKE_UP_DB, _MAX_MAKE_UP_DB)
        self._hop_frames = hop_frames(sample_rate_hz)
        self._hops = FixedBlocks(2 * channels, self._hop_frames, self._matched, channels)
        self._frames_due = 0

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block, distorted."""
        self._dry.push(block)
        self._added.push(self._add(block, last=False))
        return self._match(min(self._dry.frames, self._added.frames))

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        self._added.push(self._add(empty(self._channels), last=True))
        self._added.push(silence(self._channels, max(0, self._dry.frames - self._added.frames)))
        parts = [self._match(self._dry.frames)]
        missing = -self._hops.waiting_frames % self._hop_frames
        parts += [self._hops.process(silence(2 * self._channels, missing)), *self._make_up.finish()]
        rest: Samples = np.concatenate(parts, axis=1)[:, : self._frames_due]
        return rest

    def _match(self, frames: int) -> Samples:
        dry = self._dry.pop(frames)
        bent = dry + self._added.pop(frames)
        self._frames_due += frames
        ready = self._hops.process(np.concatenate((dry, bent)))
        self._frames_due -= ready.shape[1]
        return ready

    def _matched(self, hop: Samples) -> Samples:
        """Takes 100 ms, dry channels above bent ones."""
        dry, bent = hop[: self._channels], hop[self._channels :]
        before, after = (
            float(np.square(weighting.process(part)).sum()) / self._hop_frames
            for weighting, part in zip(self._weightings, (dry, bent), strict=True)
        )
        ready = self._make_up.push(bent, before, after)
        return ready[0] if ready else empty(self._channels)

    def _add(self, block: Samples, *, last: bool) -> Samples:
        """Returns what the curve adds to the block, later."""
        wave = self._resampled(self._up, block.T, last=last)
        bent = self._outer * np.tanh(self._inner * wave) - wave
        return self._resampled(self._down, bent, last=last).T

    def _stream(self, from_hz: int, to_hz: int) -> soxr.ResampleStream | None:
        if from_hz == to_hz:
            return None
        return soxr.ResampleStream(from_hz, to_hz, self._channels, dtype="float32", quality="HQ")

    @staticmethod
    def _resampled(stream: soxr.ResampleStream | None, wave: Samples, *, last: bool) -> Samples:
        """Takes and returns `[frames, channels]`."""
        if stream is None:
            return wave
        resampled: Samples = stream.resample_chunk(np.ascontiguousarray(wave), last=last)
        return resampled
