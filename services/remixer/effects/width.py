"""Stereo width."""

from __future__ import annotations

import numpy as np

from services.remixer.effects.processor import empty
from services.runtime.audio.reader import Samples

_STEREO = 2


class Width:
    """Makes a stereo signal wider or narrower: the difference between left and right is scaled.

    With mid = (left + right)/2 and side = (left − right)/2: left = mid + width·side and right =
    mid − width·side (A. D. Blumlein's "shuffling", British patent 394 325, 1931). The sum of both
    channels, which is what a mono listener hears, does not change with it. A mono signal stays as
    it is.

    Args:
        width: 0 (mono) through 1 (as it is) to 2.
        channels: Number of channels.
    """

    def __init__(self, width: float, channels: int) -> None:
        self._channels = channels
        same, other = (1.0 + width) / 2.0, (1.0 - width) / 2.0
        self._same, self._other = np.float32(same), np.float32(other)

    def process(self, block: Samples) -> Samples:
        """Returns the block, wider or narrower."""
        if self._channels != _STEREO:
            return block
        widened: Samples = self._same * block + self._other * block[::-1]
        return widened

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)
