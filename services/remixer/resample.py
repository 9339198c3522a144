"""Changes the sampling rate of a stream, with an exact number of frames."""

from __future__ import annotations

import numpy as np
import soxr

from services.remixer.effects.processor import empty, silence
from services.runtime.audio.reader import Samples


def resampled_frames(frames: int, from_hz: int, to_hz: int) -> int:
    """Returns the length at another rate, rounded to the nearest (half up).

    >>> resampled_frames(44100, 44100, 48000)
    48000
    """
    return (2 * frames * to_hz + from_hz) // (2 * from_hz)


class Resampler:
    """Resamples one stream (soxr, very high quality, linear phase: no shift in time).

    What comes out has exactly `frames_out` frames: filled up with silence or cut at the end. At
    equal rates the samples stay as they are. The blocks it comes in do not matter.

    Args:
        from_hz: Rate of what comes in.
        to_hz: Rate of what goes out.
        channels: Number of channels.
        frames_out: Frames to give, all in all.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int, frames_out: int) -> None:
        self._channels = channels
        self._frames_left = frames_out
        self._stream = (
            None
            if from_hz == to_hz
            else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="VHQ")
        )

    def process(self, block: Samples) -> Samples:
        """Returns the frames that are ready."""
        return self._limited(self._resampled(block, last=False))

    def finish(self) -> Samples:
        """Returns the frames that are still due."""
        rest = self._limited(self._resampled(empty(self._channels), last=True))
        missing = silence(self._channels, self._frames_left)
        self._frames_left = 0
        return np.concatenate((rest, missing), axis=1)

    def _resampled(self, block: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            return block
        frames_first = np.ascontiguousarray(block.T, dtype=np.float32)
        resampled: Samples = self._stream.resample_chunk(frames_first, last=last).T
        return resampled

    def _limited(self, block: Samples) -> Samples:
        kept = block[:, : self._frames_left]
        self._frames_left -= kept.shape[1]
        return kept
