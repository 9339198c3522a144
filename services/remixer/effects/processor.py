"""What every effect is: a processor of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from services.runtime.audio.reader import Samples


class Processor(Protocol):
    """Processes one stream of `[channels, frames]` float32 blocks.

    All that it returns, put together, is aligned with all that it was given: a latency is taken
    out before. It is as long, but for effects that sound on after the end, or fade out before. The
    same input gives the same bits whatever the blocks it comes in.
    """

    def process(self, block: Samples) -> Samples:
        """Takes a block of any length and returns the frames that are ready: any number."""
        ...

    def finish(self) -> Samples:
        """Returns the frames that are still due. Called once, at the end."""
        ...


class FixedBlocks:
    """Gives a function blocks of one length, whatever comes in.

    For libraries whose result depends on the block size, or that guess from an array's shape
    which axis is the channels.

    Args:
        channels: Number of channels.
        block_frames: Length of the blocks.
        function: Takes `[channels, block_frames]` and returns any number of frames.
        channels_out: How many channels the function returns; by default as many.
    """

    def __init__(
        self,
        channels: int,
        block_frames: int,
        function: Callable[[Samples], Samples],
        channels_out: int | None = None,
    ) -> None:
        self._channels_out = channels if channels_out is None else channels_out
        self._block_frames = block_frames
        self._function = function
        self._waiting = empty(channels)

    @property
    def waiting_frames(self) -> int:
        """Frames that wait for their block to fill."""
        return int(self._waiting.shape[1])

    def process(self, block: Samples) -> Samples:
        """Takes a block of any length and returns what the function made of whole blocks."""
        joined = np.concatenate((self._waiting, block), axis=1)
        whole = joined.shape[1] - joined.shape[1] % self._block_frames
        self._waiting = joined[:, whole:]
        parts = [
            self._function(np.ascontiguousarray(joined[:, start : start + self._block_frames]))
            for start in range(0, whole, self._block_frames)
        ]
        return np.concatenate(parts, axis=1) if parts else empty(self._channels_out)


def empty(channels: int) -> Samples:
    """Returns a block without frames."""
    return np.zeros((channels, 0), np.float32)


def silence(channels: int, frames: int) -> Samples:
    """Returns a block of zeros."""
    return np.zeros((channels, frames), np.float32)
