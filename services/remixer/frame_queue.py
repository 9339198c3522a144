"""A queue of frames: blocks of any length in, blocks of any other length out."""

from __future__ import annotations

from collections import deque

import numpy as np

from services.remixer.effects.processor import empty
from services.runtime.audio.reader import Samples


class FrameQueue:
    """Holds `[channels, frames]` blocks in order.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._blocks: deque[Samples] = deque()
        self._frames = 0

    @property
    def frames(self) -> int:
        """Frames that are waiting."""
        return self._frames

    def push(self, block: Samples) -> None:
        """Appends a block."""
        if block.shape[1]:
            self._blocks.append(block)
            self._frames += block.shape[1]

    def pop(self, frames: int) -> Samples:
        """Takes out the first `frames` frames. Raises ValueError where there are fewer."""
        if frames > self._frames:
            raise ValueError(f"{frames} frames were wanted, {self._frames} are there")
        if frames == 0:
            return empty(self._channels)
        parts: list[Samples] = []
        missing = frames
        while missing:
            block = self._blocks.popleft()
            if block.shape[1] > missing:
                self._blocks.appendleft(block[:, missing:])
                block = block[:, :missing]
            parts.append(block)
            missing -= block.shape[1]
        self._frames -= frames
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
