"""Reverb."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pedalboard

from services.remixer.effects.processor import FixedBlocks, silence
from services.runtime.audio.reader import Samples

_BLOCK_FRAMES = 4096
_LONGEST_COMB_SECONDS = (1617 + 23) / 44_100
"""The longest comb filter of Freeverb, with the spread of its right channel."""

_FADED_PART = 0.25
"""The part of the tail, at its end, over which it is faded to silence."""


@dataclass(frozen=True)
class Room:
    """What an amount of reverb stands for.

    Args:
        size: Freeverb's room size, 0 to 1.
        damping: Freeverb's damping of high frequencies, 0 to 1.
        wet_level: Level of the reverberation; the dry signal stays at unity.
    """

    size: float
    damping: float
    wet_level: float

    @property
    def decay_seconds(self) -> float:
        """Time until the slowest part of the reverberation is down by 60 dB.

        A comb of delay T and feedback g decays by 60 dB in −3·T / log₁₀ g (M. R. Schroeder,
        "Natural sounding artificial reverberation", 1962); Freeverb's g is 0.7 + 0.28·size.
        Damping makes high frequencies decay faster.
        """
        feedback = 0.7 + 0.28 * self.size
        return -3.0 * _LONGEST_COMB_SECONDS / math.log10(feedback)


def room(amount: float) -> Room:
    """Returns what `amount` (0 to 1) stands for.

    More is a larger room and a louder one: from a chamber (0.8 s) to a cathedral (4 s). On noise
    the reverberation lies 25 dB below the dry signal at 0.1, 15 dB at 0.3, 7 dB at 0.7, 3 dB at 1.
    """
    return Room(size=0.35 + 0.5 * amount, damping=0.5, wet_level=0.4 * amount)


def tail_frames(amount: float, sample_rate_hz: int) -> int:
    """Returns by how many frames a reverb makes the sound longer."""
    return math.ceil(room(amount).decay_seconds * sample_rate_hz) if amount > 0 else 0


class Reverberation:
    """The reverberation of a room, without the sound in it.

    pedalboard's Freeverb (J. at Dreampoint, 2000) with its dry part off. After the end, the tail
    sounds until it is down by 60 dB, its last quarter faded out by half a cosine.

    Args:
        amount: 0 to 1; see `room`.
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
    """

    def __init__(self, amount: float, sample_rate_hz: int, channels: int) -> None:
        self.tail_frames = tail_frames(amount, sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._channels = channels
        settings = room(amount)
        self._reverb = pedalboard.Reverb(
            room_size=settings.size,
            damping=settings.damping,
            wet_level=settings.wet_level,
            dry_level=0.0,
            width=1.0,
        )
        self._blocks = FixedBlocks(channels, _BLOCK_FRAMES, self._reverberate, takes_several=True)

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the reverberation."""
        return self._blocks.process(block)

    def finish(self) -> Samples:
        """Returns the frames that waited for their block to fill, and the tail."""
        waiting = self._blocks.waiting_frames
        due = waiting + self.tail_frames
        missing = -due % _BLOCK_FRAMES
        rest = self._blocks.process(silence(self._channels, self.tail_frames + missing))[:, :due]
        faded = round(self.tail_frames * _FADED_PART)
        if faded:
            steps = (np.arange(faded) + 1) / faded
            fade = 0.5 + 0.5 * np.cos(np.pi * steps)
            rest[:, due - faded :] *= fade.astype(np.float32)
        return rest

    def _reverberate(self, block: Samples) -> Samples:
        # Where a buffer is longer than all before, pedalboard begins anew, whatever `reset` says:
        # it always gets one of the same length.
        wet: Samples = self._reverb.process(
            np.ascontiguousarray(block), self._rate_hz, buffer_size=_BLOCK_FRAMES, reset=False
        )
        return wet
