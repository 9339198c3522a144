"""Brings a stream to a model's rate, the same bits whoever does it."""

from __future__ import annotations

import numpy as np
import soxr

from services.runtime.audio.reader import Samples


def frames_at(rate_hz: int, frames: int, file_rate_hz: int) -> int:
    """Returns how many frames a file has at another rate, rounded, halves up.

    >>> frames_at(44_100, 48_001, 48_000)
    44101
    """
    return (2 * frames * rate_hz + file_rate_hz) // (2 * file_rate_hz)


class RateChange:
    """Changes the rate of a stream (soxr, high quality, linear phase: no shift in time).

    All that it returns, put together, has exactly as many frames as `frames_at` tells. At equal
    rates the samples stay as they are.

    Args:
        from_hz: Rate of what comes in.
        to_hz: Rate of what goes out.
        channels: Number of channels.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._channels = channels
        self._taken_frames = self._given_frames = 0
        self._stream = (
            soxr.ResampleStream(from_hz, to_hz, channels, "float32") if from_hz != to_hz else None
        )

    def process(self, block: Samples) -> Samples:
        """Takes the next frames and returns those that are ready."""
        self._taken_frames += block.shape[1]
        changed = block
        if self._stream is not None:
            changed = np.ascontiguousarray(self._stream.resample_chunk(block.T).T)
        self._given_frames += changed.shape[1]
        return changed

    def finish(self) -> Samples:
        """Returns the frames that are still due, filled up with silence."""
        total = frames_at(self._to_hz, self._taken_frames, self._from_hz)
        tail = np.zeros((self._channels, max(0, total - self._given_frames)), np.float32)
        if self._stream is not None:
            nothing = np.zeros((0, self._channels), np.float32)
            last = self._stream.resample_chunk(nothing, True).T[:, : tail.shape[1]]
            tail[:, : last.shape[1]] = last
        return tail
