"""Gain that changes with time: fades, and the fader of a target with passages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.remixer.effects.processor import empty
from services.remixer.timeline import Stretch, Timeline
from services.runtime.audio.reader import Samples


def fade_values(
    first: int, frames: int, fade_in: tuple[int, int], fade_out: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Returns the factors of a fade in and a fade out for `frames` frames from `first` on.

    Quarters of a sine, the curve at constant power: a sound that fades out while another fades in
    keeps the level. The factor is 0 at the first frame of a fade in and at the last of a fade out,
    1 at the first frame behind a fade in and at the last before a fade out.

    Args:
        first: The first frame wanted.
        frames: How many.
        fade_in: The first frame of the fade in and the one behind it.
        fade_out: The first frame of the fade out and the one behind it.
    """
    at = np.arange(first, first + frames, dtype=np.float64)
    values = np.ones(frames)
    for rising, (start, stop) in ((True, fade_in), (False, fade_out)):
        if stop > start:
            part = (at - start if rising else stop - 1 - at) / (stop - start)
            values *= np.sin(np.pi / 2.0 * np.clip(part, 0.0, 1.0))
    faded: npt.NDArray[np.float32] = values.astype(np.float32)
    return faded


class Fade:
    """Fades a track in at its beginning and out at its end; what sounds on behind is cut off.

    Args:
        in_frames: Length of the fade in, at most that of the track.
        out_frames: Length of the fade out, at most that of the track.
        track_frames: Length of the track.
        channels: Number of channels.
    """

    def __init__(self, in_frames: int, out_frames: int, track_frames: int, channels: int) -> None:
        self._fade_in = (0, min(in_frames, track_frames))
        self._fade_out = (track_frames - min(out_frames, track_frames), track_frames)
        self._stop = track_frames if out_frames else None
        self._channels = channels
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns the block, faded."""
        if self._stop is not None:
            block = block[:, : max(0, self._stop - self._position)]
        frames = block.shape[1]
        first = self._position
        self._position += frames
        if first >= self._fade_in[1] and self._position <= self._fade_out[0]:
            return block
        faded: Samples = block * fade_values(first, frames, self._fade_in, self._fade_out)
        return faded

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)


class Fader:
    """The gain of a target whose gain, muting or fades change from passage to passage.

    Args:
        timeline: The settings as stretches of time.
        track_frames: Length of the track, where stretches without an end fade out.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
    """

    def __init__(
        self, timeline: Timeline, track_frames: int, sample_rate_hz: int, channels: int
    ) -> None:
        self._stretches = [
            (
                timeline.curve_of(index),
                0.0 if stretch.settings.muted else 10.0 ** (stretch.settings.gain_db / 20.0),
                *_fades(stretch, track_frames, sample_rate_hz),
            )
            for index, stretch in enumerate(timeline.stretches)
        ]
        self._channels = channels
        self._position = 0

    def process(self, block: Samples) -> Samples:
        """Returns the block, louder or quieter."""
        frames = block.shape[1]
        first, last = self._position, self._position + frames
        self._position = last
        total = np.zeros(frames, np.float32)
        for curve, factor, fade_in, fade_out in self._stretches:
            if factor == 0.0 or curve.first >= last or (curve.stop or last) <= first < last:
                continue
            faded = fade_values(first, frames, fade_in, fade_out)
            total += np.float32(factor) * curve.values(first, frames) * faded
        return block * total

    def finish(self) -> Samples:
        """Returns nothing: there is no latency."""
        return empty(self._channels)


def _fades(
    stretch: Stretch, track_frames: int, sample_rate_hz: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    stop = max(track_frames, stretch.start) if stretch.stop is None else stretch.stop
    longest = stop - stretch.start
    in_frames = min(round(stretch.settings.fade_in_s * sample_rate_hz), longest)
    out_frames = min(round(stretch.settings.fade_out_s * sample_rate_hz), longest)
    return (stretch.start, stretch.start + in_frames), (stop - out_frames, stop)
