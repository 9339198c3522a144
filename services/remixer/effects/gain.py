"""Gain and mute."""

from __future__ import annotations

import numpy as np

from services.remixer.effects.processor import empty
from services.runtime.audio.reader import Samples


class Gain:
    """Multiplies by 10^(`gain_db`/20).

    Args:
        gain_db: −60 to +24 dB.
        channels: Number of channels.
    """

    def __init__(self, gain_db: float, channels: int) -> None:
        self._factor = np.float32(10.0 ** (gain_db / 20.0))
        self._channels = channels

    def process(self, block: Samples) -> Samples:
        """Returns the block, louder or quieter."""
        return block * self._factor

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)


class Mute:
    """Returns silence.

    Args:
        channels: Number of channels.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels

    def process(self, block: Samples) -> Samples:
        """Returns as many frames of silence."""
        return np.zeros_like(block)

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)
