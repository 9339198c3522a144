"""What every effect is: a processor of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Gives a function whole blocks, whatever comes in.

    For libraries whose result depends on the block size, or that guess from an array's shape
    which axis is the channels.

    Args:
        channels: Number of channels.
        block_frames: Length of the blocks.
        function: Takes `[channels, block_frames]`, its rows contiguous, and returns any number of
            frames. What it is given may be a part of a larger array: it must not be changed.
        channels_out: How many channels the function returns; by default as many.
        takes_several: Whether the function takes several blocks at once, `[channels,
            n · block_frames]`, and makes the same bits of them: fewer calls for the same work.
    """

    def __init__(
        self,
        channels: int,
        block_frames: int,
        function: Callable[[Samples], Samples],
        channels_out: int | None = None,
        *,
        takes_several: bool = False,
    ) -> None:
        self._channels_out = channels if channels_out is None else channels_out
        self._block_frames = block_frames
        self._function = function
        self._takes_several = takes_several
        self._waiting = empty(channels)

    @property
    def waiting_frames(self) -> int:
        """Frames that wait for their block to fill."""
        return int(self._waiting.shape[1])

    def process(self, block: Samples) -> Samples:
        """Takes a block of any length and returns what the function made of whole blocks."""
        parts: list[Samples] = []
        # Only what fills up the block that waits is copied; the rest is handed on where it lies.
        begin = min(-self.waiting_frames % self._block_frames, block.shape[1])
        if self.waiting_frames:
            self._waiting = np.concatenate((self._waiting, block[:, :begin]), axis=1)
            if self.waiting_frames < self._block_frames:
                return empty(self._channels_out)
            parts.append(self._function(self._waiting))
        end = block.shape[1] - (block.shape[1] - begin) % self._block_frames
        self._waiting = block[:, end:].copy()
        step = max(end - begin, 1) if self._takes_several else self._block_frames
        parts += [
            self._function(block[:, start : start + step]) for start in range(begin, end, step)
        ]
        return joined(parts, self._channels_out)


def joined(parts: Sequence[Samples], channels: int) -> Samples:
    """Returns blocks one behind another; a single one as it is."""
    parts = [part for part in parts if part.shape[1]]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=1) if parts else empty(channels)


def empty(channels: int) -> Samples:
    """Returns a block without frames."""
    return np.zeros((channels, 0), np.float32)


def silence(channels: int, frames: int) -> Samples:
    """Returns a block of zeros."""
    return np.zeros((channels, frames), np.float32)
