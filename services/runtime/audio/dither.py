"""Dither: noise that makes rounding errors independent of the music.

Without it, what is quieter than a step of the integers turns into distortion or vanishes. Noise of
a triangular distribution, ±1 step (TPDF), keeps both the mean and the power of the error constant
(S. P. Lipshitz, R. A. Wannamaker, J. Vanderkooy, "Quantization and dither: a theoretical survey",
J. AES 40 (1992)).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.runtime.audio.reader import Samples


class Dither:
    """Rounds a stream to integers, with dither where rounding changes something.

    A sample that the integers hold as it is stays: what nobody changed is bit-exact, and silence
    silent. The noise depends on the seed and on the place in the stream alone.

    Args:
        bits: Bits of the integers, at most 24.
        seed: Files that are played together shall have different ones, so that their noise does
            not add up.
    """

    def __init__(self, bits: int, seed: int = 0) -> None:
        self._scale = np.float32(2 ** (bits - 1))
        self._random = np.random.Generator(np.random.PCG64(seed))

    def round(self, block: Samples) -> npt.NDArray[np.float32]:
        """Returns the next block times 2^(bits−1), rounded; nothing is clipped yet."""
        # Exact in float32: a multiplication by a power of two.
        scaled = block * self._scale
        rounded: npt.NDArray[np.float32] = np.rint(scaled)
        # Drawn frame by frame, so that blocks do not matter, and also where it is not needed.
        noise = self._random.integers(0, 2**32, block.T.shape, np.uint32).T
        changed = scaled != rounded
        if not changed.any():
            return rounded
        # In float64: at 24 bits a float32 has no place for a part of a step.
        # Both halves of a random number are even from 0 to 1: their difference is a triangle.
        triangle = ((noise >> 16).astype(np.float64) - (noise & 0xFFFF)) * 2.0**-16
        dithered = np.rint(scaled + triangle)
        return np.where(changed, dithered, rounded).astype(np.float32)
