"""Pan."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from services.remixer.effects.processor import empty
from services.runtime.audio.reader import Samples

_STEREO = 2


class Pan:
    """Moves a stereo signal: a constant-power balance with unity at the centre.

    left × √2·cos θ, right × √2·sin θ with θ = (position + 1)·π/4: 0 dB both at the centre, and
    +3.01 dB and silence at the ends, so that the power of a signal that is alike in both channels
    stays (the sine/cosine law, D. Griesinger, "Stereo and surround panning in practice", AES 112).
    A channel never moves into the other one. A mono signal stays as it is.

    Args:
        position: −1 (left) to 1 (right).
        channels: Number of channels.
    """

    def __init__(self, position: float, channels: int) -> None:
        self._channels = channels
        self._factors = pan_factors(position) if channels == _STEREO else None

    def process(self, block: Samples) -> Samples:
        """Returns the block, moved."""
        return block if self._factors is None else block * self._factors

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)


def pan_factors(position: float) -> npt.NDArray[np.float32]:
    """Returns the factors of the left and the right channel, as `[2, 1]`."""
    angle = (position + 1.0) * math.pi / 4.0
    left, right = math.sqrt(2.0) * math.cos(angle), math.sqrt(2.0) * math.sin(angle)
    # cos(π/2) is 6e-17 in floating point; a signal that is panned fully shall be silent there.
    factors = np.array([[left], [right]])
    factors[np.abs(factors) < 1e-12] = 0.0
    return factors.astype(np.float32)
