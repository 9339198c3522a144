"""Samples that are no numbers, or no sound of any scale, become silence before anything is made."""

from __future__ import annotations

import numpy as np

from services.runtime.audio.reader import Samples

LOUDEST = np.float32(2.0**32)
"""Above the scale of 32-bit integers, which some files keep as floats; beyond, powers overflow."""


def finite(block: Samples) -> Samples:
    """Returns `block` with silence in place of what is no number, or no sound of any scale."""
    is_sound = np.abs(block) <= LOUDEST
    return block if is_sound.all() else np.where(is_sound, block, np.float32(0.0))
