"""Chorus."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.remixer.effects.processor import silence
from services.runtime.audio.reader import Samples


@dataclass(frozen=True)
class Voice:
    """One voice of a chorus.

    Args:
        delay_ms: How far it is behind, in the middle.
        depth_ms: How much that moves up and down.
        period_seconds: How long it takes.
    """

    delay_ms: float
    depth_ms: float
    period_seconds: float


VOICES = (Voice(13.0, 2.0, 1.5), Voice(21.0, 2.6, 2.2))
"""Detuned by up to 15 and 13 cents: 2π · depth / period."""


def chorus_tail_frames(sample_rate_hz: int) -> int:
    """Returns by how many frames a chorus makes the sound longer."""
    longest_ms = max(voice.delay_ms + voice.depth_ms for voice in VOICES)
    return math.ceil(longest_ms / 1000.0 * sample_rate_hz) + 3


class Chorus:
    """Adds two voices that are late by a varying time and hence a little out of tune.

    A modulated delay line without feedback, as J. Dattorro, "Effect design, part 2: delay-line
    modulation and chorus", J. AES 45 (1997), read between the samples by Lagrange's cubic
    polynomial (T. I. Laakso et al., "Splitting the unit delay", IEEE Signal Processing Magazine
    13, 1996). The right channel swings a quarter of a period later than the left one, so that the
    voices stand beside the sound. out = (x + amount·(v₁ + v₂)/√2) / √(1 + amount²): the voices are
    unlike the sound and each other, so that the power stays.

    Args:
        amount: 0 to 1.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(self, amount: float, sample_rate_hz: int, channels: int) -> None:
        self._rate_hz = sample_rate_hz
        self._channels = channels
        scale = 1.0 / math.sqrt(1.0 + amount * amount)
        self._dry = np.float32(scale)
        self._wet = np.float32(scale * amount / math.sqrt(2.0))
        self._tail_frames = chorus_tail_frames(sample_rate_hz)
        self._past = silence(channels, self._tail_frames)
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns the block with its voices."""
        frames = block.shape[1]
        if frames == 0:
            return block
        wave = np.concatenate((self._past, block), axis=1)
        self._past = wave[:, wave.shape[1] - self._tail_frames :]
        at = np.arange(self._position, self._position + frames)
        self._position += frames
        result = self._dry * block
        for channel, samples in enumerate(wave):
            for voice in VOICES:
                behind = self._delay_frames(voice, at, channel)
                result[channel] += self._wet * _read(samples, behind, frames)
        return result

    def finish(self) -> Samples:
        """Returns what the voices have not sung yet."""
        return self.process(silence(self._channels, self._tail_frames))

    def _delay_frames(
        self, voice: Voice, at: npt.NDArray[np.int64], channel: int
    ) -> npt.NDArray[np.float64]:
        # A whole number of frames to a period: the phase stays exact however long the track is.
        period = round(voice.period_seconds * self._rate_hz)
        phase = (at % period) / period - 0.25 * channel
        delay_ms = voice.delay_ms + voice.depth_ms * np.sin(2.0 * np.pi * phase)
        frames: npt.NDArray[np.float64] = delay_ms * (self._rate_hz / 1000.0)
        return frames


def _read(
    wave: npt.NDArray[np.float32], behind: npt.NDArray[np.float64], frames: int
) -> npt.NDArray[np.float32]:
    """Reads the last `frames` frames of a wave, each of them `behind` frames earlier."""
    # Rounded from the delay alone, which does not depend on how long the wave is.
    whole = np.ceil(behind)
    before = np.arange(wave.shape[0] - frames, wave.shape[0]) - whole.astype(np.int64)
    part = (whole - behind).astype(np.float32)
    a, b, c, d = (wave[before + offset] for offset in (-1, 0, 1, 2))
    down, up, far = part + 1.0, part - 1.0, part - 2.0
    read: npt.NDArray[np.float32] = (
        -part * up * far / 6.0 * a
        + down * up * far / 2.0 * b
        - down * part * far / 2.0 * c
        + down * part * up / 6.0 * d
    )
    return read
