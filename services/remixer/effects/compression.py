"""Compression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pedalboard import Compressor

from mixdown.mix import Compression as Level
from services.remixer.effects.processor import FixedBlocks, silence
from services.runtime.audio_reader import Samples

STEM_REFERENCE_DBFS = -16.0
"""The level of a stem that passes unchanged: louder parts get quieter, quieter parts louder."""

MASTER_REFERENCE_DBFS = -12.0
"""The same for a whole mix, which is louder than its stems."""

_BLOCK_FRAMES = 4096


@dataclass(frozen=True)
class Preset:
    """How strong a level of compression is.

    Args:
        threshold_dbfs: Above this peak level, the signal is compressed.
        ratio: Decibels in for one decibel out, above the threshold.
        attack_ms: Time constant when the level rises.
        release_ms: Time constant when it falls.
    """

    threshold_dbfs: float
    ratio: float
    attack_ms: float
    release_ms: float

    def make_up_db(self, reference_dbfs: float) -> float:
        """Returns the gain after compression that lets a steady `reference_dbfs` out as it is."""
        return (reference_dbfs - self.threshold_dbfs) * (1.0 - 1.0 / self.ratio)


PRESETS: Mapping[Level, Preset] = {
    "low": Preset(threshold_dbfs=-22.0, ratio=2.0, attack_ms=20.0, release_ms=200.0),
    "medium": Preset(threshold_dbfs=-26.0, ratio=4.0, attack_ms=10.0, release_ms=150.0),
    "high": Preset(threshold_dbfs=-30.0, ratio=8.0, attack_ms=5.0, release_ms=100.0),
}


class Compression:
    """Reduces the dynamic range: pedalboard's compressor (hard knee, peak detector), linked.

    One detector hears the louder of both channels at each moment and both channels get its gain,
    so that the stereo image stays. No look-ahead, hence no latency.

    Args:
        level: "low", "medium" or "high".
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        reference_dbfs: The level that passes unchanged, so that the loudness of usual music stays.
    """

    tail_frames = 0

    def __init__(
        self,
        level: Level,
        sample_rate_hz: int,
        channels: int,
        reference_dbfs: float = STEM_REFERENCE_DBFS,
    ) -> None:
        preset = PRESETS[level]
        self._rate_hz = sample_rate_hz
        self._make_up = np.float32(10.0 ** (preset.make_up_db(reference_dbfs) / 20.0))
        self._compressor = Compressor(
            threshold_db=preset.threshold_dbfs,
            ratio=preset.ratio,
            attack_ms=preset.attack_ms,
            release_ms=preset.release_ms,
        )
        self._channels = channels
        self._blocks = FixedBlocks(channels, _BLOCK_FRAMES, self._compress)

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block, compressed."""
        return self._blocks.process(block)

    def finish(self) -> Samples:
        """Returns the frames that waited for their block to fill."""
        due = self._blocks.waiting_frames
        return self._blocks.process(silence(self._channels, _BLOCK_FRAMES - due))[:, :due]

    def _compress(self, block: Samples) -> Samples:
        loudest = np.abs(block).max(axis=0, keepdims=True)
        compressed = self._compressor.process(loudest, self._rate_hz, reset=False)
        # The compressor multiplies by its gain, so that the quotient is that gain. Where there is
        # nothing to hear, there is nothing to multiply.
        heard = loudest > np.finfo(np.float32).tiny
        gain = np.divide(compressed, loudest, out=np.zeros_like(loudest), where=heard)
        result: Samples = block * (gain * self._make_up)
        return result
