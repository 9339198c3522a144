"""Sums of streams that come at different paces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.remixer.effects.processor import empty, silence
from services.remixer.frame_queue import FrameQueue
from services.runtime.audio.reader import Samples


class Sum:
    """Adds up streams that come at different paces, always in the order of `signs`.

    Args:
        signs: +1 or −1 by name of the term.
        channels: Number of channels.
    """

    def __init__(self, signs: Sequence[tuple[str, int]], channels: int) -> None:
        self._terms = [(name, sign, FrameQueue(channels)) for name, sign in signs]
        self._channels = channels

    def push(self, name: str, block: Samples) -> None:
        """Appends to the term `name`."""
        for term, _, queue in self._terms:
            if term == name:
                queue.push(block)

    def ready(self) -> Samples:
        """Returns the sum of the frames that every term has."""
        return self._add(min(queue.frames for _, _, queue in self._terms))

    def rest(self) -> Samples:
        """Returns the sum of what is left, terms that ended early being silent."""
        frames = max(queue.frames for _, _, queue in self._terms)
        for _, _, queue in self._terms:
            queue.push(silence(self._channels, frames - queue.frames))
        return self._add(frames)

    def _add(self, frames: int) -> Samples:
        if frames == 0:
            return empty(self._channels)
        (_, sign, queue), *others = self._terms
        total = queue.pop(frames)
        if sign < 0:
            total = -total
        is_own = sign < 0  # what came in belongs to whoever gave it, and is not changed
        for _, sign, queue in others:
            add = np.add if sign > 0 else np.subtract
            total = add(total, queue.pop(frames), out=total if is_own else None)
            is_own = True
        return total
