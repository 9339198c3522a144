"""A cascade of second-order filters on a stream.

In float64: with the float32 coefficients of audio plug-ins (pedalboard's among them) a peak at
20 Hz misses its formula by 0.15 dB at 44.1 kHz, and by 3.5 dB at 192 kHz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.remixer.effects.processor import empty
from services.runtime.audio.reader import Samples
from services.runtime.audio.sections import Sections as SectionFilter

Sections = npt.NDArray[np.float64]
"""`[sections, 6]`: b0 b1 b2 a0 a1 a2 of each section, a0 = 1."""


class Biquads:
    """Applies second-order sections one after another.

    Args:
        sections: Coefficients.
        channels: Number of channels.
    """

    def __init__(self, sections: Sections, channels: int) -> None:
        self._sections = SectionFilter(sections, channels) if len(sections) else None
        self._channels = channels

    def process(self, block: Samples) -> Samples:
        """Returns the block, filtered."""
        if self._sections is None:
            return block
        filtered: Samples = self._sections.process(block).astype(np.float32)
        return filtered

    def finish(self) -> Samples:
        """Returns nothing: there is no latency, and the ringing ends with the stream."""
        return empty(self._channels)
