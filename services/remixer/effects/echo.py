"""Echo."""

from __future__ import annotations

import math

import numpy as np

from services.remixer.effects.processor import empty, silence
from services.runtime.audio.reader import Samples

_SILENT = 1e-3
_LONGEST_TAIL_SECONDS = 20.0
_FADED_PART = 0.25
"""The part of the tail, at its end, over which it is faded to silence."""


def period_frames(time_ms: float, sample_rate_hz: int) -> int:
    """Returns the time from one echo to the next, to the nearest frame."""
    return max(1, round(time_ms / 1000.0 * sample_rate_hz))


def echo_tail_frames(amount: float, time_ms: float, feedback: float, sample_rate_hz: int) -> int:
    """Returns by how many frames an echo makes the sound longer.

    Until the echoes are down by 60 dB; at most 20 s, and one echo at least.
    """
    period = period_frames(time_ms, sample_rate_hz)
    count = 1
    if amount > _SILENT and feedback > 0.0:
        count += math.ceil(math.log(_SILENT / amount) / math.log(feedback))
    longest = max(period, round(_LONGEST_TAIL_SECONDS * sample_rate_hz))
    return min(count * period, longest)


class Echoes:
    """The echoes of a sound, without the sound: a comb filter with feedback.

    w[n] = u[n − D], u[n] = x[n] + feedback·w[n], out = amount·w (U. Zölzer, "DAFX: Digital Audio
    Effects", 2nd ed. 2011, section 2.6: the IIR comb filter). The first echo is `amount` as loud as
    the sound, each further one `feedback` as loud as the one before.

    Args:
        amount: 0 to 1.
        time_ms: From one echo to the next, rounded to a frame.
        feedback: 0 to 0.9.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(
        self, amount: float, time_ms: float, feedback: float, sample_rate_hz: int, channels: int
    ) -> None:
        self.tail_frames = echo_tail_frames(amount, time_ms, feedback, sample_rate_hz)
        self._amount = np.float32(amount)
        self._feedback = np.float32(feedback)
        self._channels = channels
        self._line = silence(channels, period_frames(time_ms, sample_rate_hz))
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns the echoes in the time of the block."""
        parts = []
        start = 0
        while start < block.shape[1]:
            frames = min(block.shape[1] - start, self._line.shape[1] - self._position)
            place = self._line[:, self._position : self._position + frames]
            parts.append(self._amount * place)
            place *= self._feedback
            place += block[:, start : start + frames]
            self._position = (self._position + frames) % self._line.shape[1]
            start += frames
        return np.concatenate(parts, axis=1) if parts else empty(self._channels)

    def finish(self) -> Samples:
        """Returns the echoes after the end; the last of several are faded out."""
        rest = self.process(silence(self._channels, self.tail_frames))
        # A single echo ends by itself.
        faded = round(self.tail_frames * _FADED_PART) if self._feedback > 0.0 else 0
        if faded:
            steps = (np.arange(faded) + 1) / faded
            rest[:, -faded:] *= (0.5 + 0.5 * np.cos(np.pi * steps)).astype(np.float32)
        return rest
