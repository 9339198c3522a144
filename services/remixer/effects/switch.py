"""Effects that take turns: each is heard for its part of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.remixer.effects.processor import Processor, empty, silence
from services.remixer.effects.window import Window
from services.remixer.frame_queue import FrameQueue
from services.remixer.timeline import Curve
from services.runtime.audio.reader import Samples

_WARM_UP_SECONDS = 3.0
"""How long an effect listens before it is heard: a compressor shall know the music by then."""


class Switch:
    """Gives a sound to several processors and lets each be heard while its curve is open.

    The curves add up to one at any time. What a processor hears begins 3 s before it is heard, so
    that a passage costs what its length costs.

    Args:
        branches: What makes a processor (None: the sound as it is) and when it is heard.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(
        self,
        branches: Sequence[tuple[Callable[[], Processor] | None, Curve]],
        sample_rate_hz: int,
        channels: int,
    ) -> None:
        warm_up_frames = round(_WARM_UP_SECONDS * sample_rate_hz)
        self._channels = channels
        self._branches = [
            (
                make and Window(make, max(0, curve.first - warm_up_frames), curve.stop, channels),
                curve,
                FrameQueue(channels),
            )
            for make, curve in branches
        ]
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block."""
        for processor, _, queue in self._branches:
            queue.push(processor.process(block) if processor else block)
        return self._mix(min(queue.frames for *_, queue in self._branches))

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        for processor, _, queue in self._branches:
            if processor:
                queue.push(processor.finish())
        due = max(queue.frames for *_, queue in self._branches)
        for *_, queue in self._branches:
            queue.push(silence(self._channels, due - queue.frames))
        return self._mix(due)

    def _mix(self, frames: int) -> Samples:
        total = silence(self._channels, frames)
        if frames == 0:
            return empty(self._channels)
        for _, curve, queue in self._branches:
            heard = curve.values(self._position, frames)
            block = queue.pop(frames)
            if heard.any():
                total += block * heard
        self._position += frames
        return total
