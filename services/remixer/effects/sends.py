"""What is added to a sound that itself stays as it is: echo and reverb, for a time or always."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from services.remixer.effects.processor import Processor, empty, silence
from services.remixer.effects.window import Window
from services.remixer.frame_queue import FrameQueue
from services.remixer.timeline import Curve
from services.runtime.audio.reader import Samples


class Ringing(Processor, Protocol):
    """A processor that gives what is added, and sounds on after the end."""

    tail_frames: int
    """Until it is down by 60 dB. It gives so many frames more than it got."""


class Send:
    """Adds to a sound what processors make of it.

    Each of them hears the sound while its curve is open, and what it made rings out afterwards: a
    reverb that is turned off in the middle of a song does not stop dead. It has ended for good
    when it is down by 120 dB.

    Args:
        wets: Processors and when they hear the sound; None: always.
        channels: Number of channels.
    """

    def __init__(self, wets: Sequence[tuple[Ringing, Curve | None]], channels: int) -> None:
        self._channels = channels
        self._wets = [
            (_windowed(wet, curve, channels), curve, wet.tail_frames, FrameQueue(channels))
            for wet, curve in wets
        ]
        self._dry = FrameQueue(channels)
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns what is ready of the block and of what is added to it."""
        frames = block.shape[1]
        for wet, curve, _, queue in self._wets:
            heard = block if curve is None else block * curve.values(self._position, frames)
            queue.push(wet.process(heard))
        self._dry.push(block)
        self._position += frames
        return self._add(min(queue.frames for *_, queue in self._wets))

    def finish(self) -> Samples:
        """Returns the frames that waited, and what rings after the end."""
        length = ringing_length(
            self._position, ((curve, tail_frames) for _, curve, tail_frames, _ in self._wets)
        )
        due = length - self._position + self._dry.frames
        self._dry.push(silence(self._channels, due - self._dry.frames))
        for wet, _, _, queue in self._wets:
            queue.push(wet.finish())
            queue.push(silence(self._channels, max(0, due - queue.frames)))
        return self._add(due)

    def _add(self, frames: int) -> Samples:
        if frames == 0:
            return empty(self._channels)
        (*_, first), *others = self._wets
        total: Samples = self._dry.pop(frames) + first.pop(frames)
        for *_, queue in others:
            total += queue.pop(frames)
        return total


def ringing_length(frames: int, wets: Iterable[tuple[Curve | None, int]]) -> int:
    """Returns how long a sound of `frames` frames is with what is added to it.

    Args:
        frames: Length of the sound.
        wets: When each of what is added hears the sound, and how many frames it rings. It makes
            the sound longer where it has not ended by then.
    """
    length = frames
    for curve, tail_frames in wets:
        stop = None if curve is None else curve.stop
        if stop is None or stop + tail_frames > frames:
            length = max(length, frames + tail_frames)
    return length


def _windowed(wet: Ringing, curve: Curve | None, channels: int) -> Processor:
    if curve is None:
        return wet
    # Twice the time to −60 dB: from there on there is silence.
    stop = None if curve.stop is None else curve.stop + 2 * wet.tail_frames
    return Window(lambda: wet, curve.first, stop, channels)
