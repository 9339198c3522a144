"""Compression: a soft-kneed compressor that knows how loud the track is.

Level: the power of both channels together, in the units of BS.1770 without its weighting, smoothed
over 5 ms; then a rise with the time constant of the attack and a fall with that of the release. It
is heard 8 ms ahead, so that the gain is down when a drum is hit, not after it.
Gain: the static curve with a soft knee of D. Giannoulis, M. Massberg, J. D. Reiss, "Digital dynamic
range compressor design — a tutorial and analysis", J. AES 60 (2012), eq. 4, the same for both
channels, so that the stereo image stays.

Make-up: what the compression took away from the integrated loudness so far (BS.1770-4, before and
after) is given back, so that every preset is as loud as the original. Both are heard one second
ahead of what goes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pedalboard import Compressor
from scipy.signal import lfilter

from mixdown.mix import Compression as Level
from services.remixer.effects.make_up import MakeUp
from services.remixer.effects.processor import FixedBlocks, joined, silence
from services.runtime.audio.loudness import KWeighting, hop_frames
from services.runtime.audio.reader import Samples

STEM_OFFSET_LU = -6.0
"""How much quieter than its track a stem is: four that are equally loud add up to 6 LU more."""

TYPICAL_LUFS = -14.0
"""Taken for the loudness of a track that has none: silence, or less than 400 ms."""

_SMOOTHING_SECONDS = 0.005
_LOOK_AHEAD_SECONDS = 0.008
_HOPS_PER_BLOCK = 12
"""The make-up hears ten hops ahead and the detector 8 ms: the first block of these gives the first
frames, and fewer long blocks cost less than many short ones."""
_MAX_MAKE_UP_DB = 30.0
_FLOOR = 1e-6


@dataclass(frozen=True)
class Preset:
    """How strong a level of compression is.

    Args:
        threshold_lu: Above this level, relative to the loudness of the track (of the stem, for a
            stem: 6 LU below), the signal is compressed.
        ratio: Decibels in for one decibel out, above the knee.
        knee_db: Width of the knee, half of it below the threshold.
        attack_ms: Time constant when the level rises.
        release_ms: Time constant when it falls.
    """

    threshold_lu: float
    ratio: float
    knee_db: float
    attack_ms: float
    release_ms: float


PRESETS: Mapping[Level, Preset] = {
    "low": Preset(threshold_lu=-3.0, ratio=2.0, knee_db=10.0, attack_ms=8.0, release_ms=120.0),
    "medium": Preset(threshold_lu=-7.0, ratio=4.0, knee_db=8.0, attack_ms=4.0, release_ms=80.0),
    "high": Preset(threshold_lu=-11.0, ratio=8.0, knee_db=6.0, attack_ms=2.0, release_ms=50.0),
}


def curve_db(
    level_db: npt.NDArray[np.float64], threshold_db: float, ratio: float, knee_db: float
) -> npt.NDArray[np.float64]:
    """Returns the gain, 0 or less, that the static curve gives to a level.

    >>> curve_db(np.array([-30.0, -10.0, 0.0]), -10.0, 4.0, 8.0).tolist()
    [-0.0, -0.75, -7.5]
    """
    over = level_db - threshold_db
    slope = 1.0 / ratio - 1.0
    # Below the knee 0, in it a parabola, above it a line.
    within = np.clip(over + knee_db / 2.0, 0.0, knee_db)
    above = np.maximum(over - knee_db / 2.0, 0.0)
    gain: npt.NDArray[np.float64] = slope * (within**2 / (2.0 * knee_db) + above)
    return gain


class Compression:
    """Reduces the dynamic range and keeps the loudness.

    Args:
        level: "low", "medium" or "high".
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        reference_lufs: The loudness that thresholds are relative to.
    """

    def __init__(
        self,
        level: Level,
        sample_rate_hz: int,
        channels: int,
        reference_lufs: float = TYPICAL_LUFS + STEM_OFFSET_LU,
    ) -> None:
        self._preset = PRESETS[level]
        self._threshold_db = reference_lufs + self._preset.threshold_lu
        self._channels = channels
        self._hop_frames = hop_frames(sample_rate_hz)
        self._block_frames = _HOPS_PER_BLOCK * self._hop_frames
        ahead_frames = round(_LOOK_AHEAD_SECONDS * sample_rate_hz)
        self._delayed = silence(channels, ahead_frames)
        self._frames_to_drop = ahead_frames
        self._frames_due = 0
        self._step_frames = step_frames(sample_rate_hz)
        self._detector = LevelDetector(
            self._preset.attack_ms, self._preset.release_ms, sample_rate_hz / self._step_frames
        )
        self._part = (np.arange(1, self._step_frames + 1) / self._step_frames).astype(np.float32)
        self._last_gain = np.ones(1, np.float32)
        self._weighting = KWeighting(sample_rate_hz, channels)
        # Until anything was heard: what a steady sound at the reference loses.
        first_db = -float(self._gain_db(np.array([reference_lufs]))[0])
        self._make_up = MakeUp(first_db, 0.0, _MAX_MAKE_UP_DB)
        self._blocks = FixedBlocks(channels, self._block_frames, self._compress)

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block, compressed."""
        self._frames_due += block.shape[1]
        return self._compensated(self._blocks.process(block))

    def finish(self) -> Samples:
        """Returns the frames that waited for what lies ahead of them."""
        # Enough to fill up the last block and to let out what the look-ahead holds.
        missing = -self._blocks.waiting_frames % self._block_frames + self._block_frames
        parts = [self._blocks.process(silence(self._channels, missing)), *self._make_up.finish()]
        return self._compensated(np.concatenate(parts, axis=1))

    def _compensated(self, compressed: Samples) -> Samples:
        """Takes out the delay of the look-ahead, and what fills up the last hop."""
        dropped = min(self._frames_to_drop, compressed.shape[1])
        self._frames_to_drop -= dropped
        ready = compressed[:, dropped : dropped + self._frames_due]
        self._frames_due -= ready.shape[1]
        return ready

    def _compress(self, block: Samples) -> Samples:
        """Compresses what came before the look-ahead, hop by hop."""
        gain = self._gain(block)
        ahead_frames = self._delayed.shape[1]
        late = np.concatenate(
            (self._delayed, block[:, : self._block_frames - ahead_frames]), axis=1
        )
        self._delayed = block[:, self._block_frames - ahead_frames :].copy()
        weighted = self._weighting.process(late)
        power = np.einsum("cf,cf->f", weighted, weighted)
        hops = power.reshape(_HOPS_PER_BLOCK, self._hop_frames)
        before = hops.mean(axis=1)
        # The gain moves so slowly that it may be applied after the weighting as well.
        power *= gain
        power *= gain
        after = hops.mean(axis=1)
        compressed = late * gain
        ready = []
        for index, start in enumerate(range(0, self._block_frames, self._hop_frames)):
            hop = compressed[:, start : start + self._hop_frames]
            ready += self._make_up.push(hop, float(before[index]), float(after[index]))
        return joined(ready, self._channels)

    def _gain(self, block: Samples) -> npt.NDArray[np.float32]:
        """Returns the gain for each frame of a block: lines between the steps of the detector."""
        power = np.square(block).sum(axis=0)
        steps = power.reshape(-1, self._step_frames).T
        level_db = self._detector.level_db(
            np.ascontiguousarray(steps).mean(axis=0, dtype=np.float64)
        )
        ends = (10.0 ** (self._gain_db(level_db) / 20.0)).astype(np.float32)
        begins = np.concatenate((self._last_gain, ends[:-1]))
        self._last_gain = ends[-1:]
        # Rows are long and columns short, which numpy is fast at.
        gain = begins + (ends - begins) * self._part[:, None]
        return gain.T.reshape(-1)

    def _gain_db(self, level_db: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return curve_db(level_db, self._threshold_db, self._preset.ratio, self._preset.knee_db)


def step_frames(sample_rate_hz: int) -> int:
    """Returns how many frames share a value of the level: a quarter of a millisecond at most.

    >>> step_frames(44100)
    10
    """
    hop = hop_frames(sample_rate_hz)
    longest = max(1, sample_rate_hz // 4000)
    return next(frames for frames in range(longest, 0, -1) if hop % frames == 0)


class LevelDetector:
    """Follows the level of a stream.

    The follower is the one inside pedalboard's (JUCE's) compressor, which works at the speed of
    compiled code: with a threshold below everything and a ratio of 2, its gain is the square root
    of threshold over level, from which the level follows. JUCE divides times by 2π, which is
    undone here.

    Args:
        attack_ms: Time constant of a rise.
        release_ms: Time constant of a fall.
        rate_hz: Values per second.
    """

    def __init__(self, attack_ms: float, release_ms: float, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._pole = math.exp(-1.0 / (_SMOOTHING_SECONDS * rate_hz))
        self._state = np.zeros(1)
        self._follower = Compressor(
            threshold_db=20.0 * math.log10(_FLOOR),
            ratio=2.0,
            attack_ms=2.0 * math.pi * attack_ms,
            release_ms=2.0 * math.pi * release_ms,
        )

    def level_db(self, power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns the level for each value of a power that was summed over the channels."""
        smooth, self._state = lfilter([1.0 - self._pole], [1.0, -self._pole], power, zi=self._state)
        amplitude = np.sqrt(np.maximum(smooth, _FLOOR**2)).astype(np.float32)[None, :]
        followed = self._follower.process(amplitude, self._rate_hz, reset=False)
        gain = np.maximum(followed[0] / amplitude[0], 1e-9).astype(np.float64)
        level: npt.NDArray[np.float64] = 20.0 * np.log10(_FLOOR / gain**2) - 0.691
        return level
