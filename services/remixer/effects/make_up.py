"""Make-up: what an effect took away from the loudness, or added to it, is given back."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from services.runtime.audio.loudness import IntegratedLoudness
from services.runtime.audio.reader import Samples

_AHEAD_HOPS = 10


class MakeUp:
    """Keeps the integrated loudness so far (BS.1770-4) what it was before an effect.

    It takes steps of 100 ms and lets them out one second later: that far it hears ahead.

    Args:
        first_db: The make-up until anything was heard.
        lowest_db: The least make-up.
        highest_db: The most.
    """

    def __init__(self, first_db: float, lowest_db: float, highest_db: float) -> None:
        self._make_up_db = first_db
        self._lowest_db = lowest_db
        self._highest_db = highest_db
        self._before = IntegratedLoudness()
        self._after = IntegratedLoudness()
        self._factor: float | None = None
        self._waiting: deque[Samples] = deque()
        self._line = np.zeros(0, np.float32)

    def push(self, step: Samples, before: float, after: float) -> list[Samples]:
        """Takes the next 100 ms behind the effect, and returns the steps that are ready.

        Args:
            step: What the effect made.
            before: Mean K-weighted power before the effect, summed over the channels.
            after: The same behind it.
        """
        self._follow(before, after)
        self._waiting.append(step)
        return [self._louder()] if len(self._waiting) > _AHEAD_HOPS else []

    def finish(self) -> list[Samples]:
        """Returns the steps that waited for what lies ahead of them."""
        return [self._louder() for _ in range(len(self._waiting))]

    def _follow(self, before: float, after: float) -> None:
        self._before.add(before)
        self._after.add(after)
        before_lufs, after_lufs = self._before.lufs(), self._after.lufs()
        if before_lufs is not None and after_lufs is not None:
            lost_db = before_lufs - after_lufs
            self._make_up_db = min(max(lost_db, self._lowest_db), self._highest_db)

    def _louder(self) -> Samples:
        step = self._waiting.popleft()
        target = 10.0 ** (self._make_up_db / 20.0)
        begin = target if self._factor is None else self._factor
        self._factor = target
        # A line over 100 ms from one make-up to the next: no step, hence no click.
        if target == begin:
            return step * np.float32(target)
        line = np.float32(begin) + np.float32(target - begin) * self._rising(step.shape[1])
        return step * line

    def _rising(self, frames: int) -> npt.NDArray[np.float32]:
        if len(self._line) != frames:
            self._line = (np.arange(1, frames + 1) / frames).astype(np.float32)
        return self._line
