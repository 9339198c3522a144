"""The settings of a target as stretches of time, and who is heard when.

Where one stretch follows another, both are heard for 10 ms: the one goes as the other comes, along
straight lines, so that nothing clicks. These 10 ms lie inside of a passage, at its beginning and
before its end: outside of it nothing changes, to the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixdown.mix import TargetSettings

_CROSSFADE_SECONDS = 0.010

Setting = Callable[[TargetSettings], Hashable]
"""What an effect depends on; None where it changes nothing."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time with its settings.

    Args:
        settings: What holds, without passages.
        start: Its first frame.
        stop: The frame behind it; None: it ends with the track.
        is_passage: Whether it is one, or what holds outside.
    """

    settings: TargetSettings
    start: int
    stop: int | None
    is_passage: bool


@dataclass(frozen=True)
class Border:
    """Where one stretch hands over to the next: from `start` on, done at `stop`."""

    start: int
    stop: int


class Curve:
    """How much of something is heard: 0 to 1, along straight lines.

    Args:
        at: Frames of the corners, rising.
        heights: How much is heard there; before the first and behind the last it stays.
    """

    def __init__(self, at: list[int], heights: list[float]) -> None:
        self._at = at
        self._heights = heights

    def values(self, first: int, frames: int) -> npt.NDArray[np.float32]:
        """Returns the values of `frames` frames from `first` on."""
        where = np.arange(first, first + frames)
        values: npt.NDArray[np.float32] = np.interp(where, self._at, self._heights).astype(
            np.float32
        )
        return values

    @property
    def first(self) -> int:
        """The first frame from which on anything is heard."""
        heard = [index for index, height in enumerate(self._heights) if height > 0.0]
        return self._at[heard[0] - 1] if heard[0] > 0 else 0

    @property
    def stop(self) -> int | None:
        """The frame from which on nothing is heard any more; None: it is heard to the end."""
        heard = [index for index, height in enumerate(self._heights) if height > 0.0]
        behind = heard[-1] + 1
        return self._at[behind] if behind < len(self._at) else None


class Timeline:
    """The settings of a target as stretches of time.

    Args:
        settings: The settings at every point in time.
        sample_rate_hz: Sampling rate.
    """

    def __init__(self, settings: TargetSettings, sample_rate_hz: int) -> None:
        self.stretches = _stretches(settings, sample_rate_hz)
        crossfade_frames = round(_CROSSFADE_SECONDS * sample_rate_hz)
        self.borders = tuple(
            _border(before, after, crossfade_frames)
            for before, after in zip(self.stretches, self.stretches[1:], strict=False)
        )

    def values(self, setting: Setting) -> list[tuple[TargetSettings, Curve]]:
        """Returns the settings that differ in `setting`, each with when it is heard."""
        kinds: dict[Hashable, TargetSettings] = {}
        for stretch in self.stretches:
            kinds.setdefault(setting(stretch.settings), stretch.settings)
        return [(kept, self._curve(setting, kind)) for kind, kept in kinds.items()]

    def curve_of(self, index: int) -> Curve:
        """Returns when the stretch of that number is heard."""
        heard = [float(number == index) for number in range(len(self.stretches))]
        return self._lines(heard)

    def _curve(self, setting: Setting, kind: Hashable) -> Curve:
        return self._lines([float(setting(item.settings) == kind) for item in self.stretches])

    def _lines(self, heard: list[float]) -> Curve:
        at, heights = [0], [heard[0]]
        for border, before, after in zip(self.borders, heard, heard[1:], strict=False):
            at += [border.start, border.stop]
            heights += [before, after]
        return Curve(at, heights)


def _stretches(settings: TargetSettings, sample_rate_hz: int) -> tuple[Stretch, ...]:
    found: list[Stretch] = []
    position = 0
    for passage in settings.passages:
        start = round(passage.start_s * sample_rate_hz)
        stop = None if passage.end_s is None else round(passage.end_s * sample_rate_hz)
        if stop is not None and stop <= start:
            continue  # shorter than a frame
        if start > position:
            found.append(Stretch(settings.outside, position, start, is_passage=False))
        found.append(Stretch(passage.settings, start, stop, is_passage=True))
        if stop is None:
            return tuple(found)
        position = stop
    return (*found, Stretch(settings.outside, position, None, is_passage=False))


def _border(before: Stretch, after: Stretch, crossfade_frames: int) -> Border:
    inside = after if after.is_passage else before
    frames = crossfade_frames
    if inside.stop is not None:
        frames = min(frames, (inside.stop - inside.start) // 2)
    if after.is_passage:
        return Border(after.start, after.start + frames)
    return Border(after.start - frames, after.start)
