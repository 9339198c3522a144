"""Rooms that stems share.

Stems with the same amount of reverb stand in the same room: one reverberation of their sum is the
sum of their reverberations, as a reverb is linear, and costs what one of them would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mixdown.mix import Mix, TargetSettings
from services.remixer.effects.processor import Processor
from services.remixer.effects.reverb import Reverberation
from services.remixer.effects.sends import Send
from services.remixer.sums import Sum
from services.runtime.audio.reader import Samples


def shared_rooms(mix: Mix, stems: Sequence[str], sample_rate_hz: int, channels: int) -> list[Room]:
    """Returns the rooms that some of `stems` share.

    A stem whose reverb changes with time, or that fades with its reverb, has one of its own.
    """
    rooms: dict[float, list[str]] = {}
    for stem in stems:
        settings = mix[stem]
        fades = settings.fade_in_s or settings.fade_out_s
        if settings.reverb and not settings.muted and not settings.passages and not fades:
            rooms.setdefault(settings.reverb, []).append(stem)
    return [
        Room(amount, names, sample_rate_hz, channels)
        for amount, names in rooms.items()
        if len(names) > 1
    ]


def without_room(settings: TargetSettings) -> TargetSettings:
    """Returns the settings of a stem whose reverb is made elsewhere."""
    return replace(settings, reverb=0.0)


class Room:
    """The reverberation of several stems together.

    Args:
        amount: Amount of reverb, above 0 to 1.
        stems: The stems.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(
        self, amount: float, stems: Sequence[str], sample_rate_hz: int, channels: int
    ) -> None:
        self._amount = amount
        self._rate_hz = sample_rate_hz
        self._channels = channels
        self.stems = tuple(stems)
        self.name = f"room {amount!r}"
        self._sum = Sum([(stem, 1) for stem in stems], channels)
        self._reverberation = self._new()

    def process(self, stems: Mapping[str, Samples]) -> Samples:
        """Takes the next frames of the stems and returns what is ready of the reverberation."""
        for stem in self.stems:
            self._sum.push(stem, stems[stem])
        return self._reverberation.process(self._sum.ready())

    def finish(self) -> Samples:
        """Returns the reverberation that is still due, its tail included."""
        rest = self._reverberation.process(self._sum.rest())
        return np.concatenate((rest, self._reverberation.finish()), axis=1)

    def around_one(self) -> Processor:
        """Returns what puts a single stem into the same room, for a file of its own."""
        return Send([(self._new(), None)], self._channels)

    def _new(self) -> Reverberation:
        return Reverberation(self._amount, self._rate_hz, self._channels)
