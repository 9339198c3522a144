"""A track as a model wants it: at its rate, with its channels, as a stream.

A track is read twice: once for its length and level, once to be cut into segments. Neither holds
more than a few blocks of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Self

import numpy as np

from services.runtime.audio.levels import LEVEL_BLOCK_FRAMES, LevelMeter, Levels
from services.runtime.audio.rate import RateChange
from services.runtime.audio.reader import AudioReader, Samples
from services.runtime.errors import UndecodableAudioError


class TrackReader:
    """Reads a file as `float32` `[channels, frames]` at a model's rate.

    Args:
        file: A readable and seekable file; `close` closes it.
        sample_rate_hz: Rate to give.
        channels: Channels to give: those of the file, or two of a mono file.

    Raises:
        UndecodableAudioError: there is no audio in the file that can be given so.
    """

    def __init__(self, file: BinaryIO, sample_rate_hz: int, channels: int) -> None:
        self._file = file
        self.channels = channels
        try:
            self._reader = AudioReader(file)
        except UndecodableAudioError:
            file.close()
            raise
        if self._reader.channels not in {1, channels}:
            self.close()
            raise UndecodableAudioError(
                f"The track has {self._reader.channels} channels; {channels} can be separated."
            )
        self._rate = RateChange(self._reader.sample_rate_hz, sample_rate_hz, channels)

    def blocks(self) -> Iterator[Samples]:
        """Yields the whole track, at exactly the length that `frames_at` gives.

        Raises:
            UndecodableAudioError: the file is damaged, empty, or holds what is no number.
        """
        is_empty = True
        while (block := self._reader.read(LEVEL_BLOCK_FRAMES)).shape[1]:
            if not np.isfinite(block).all():
                raise UndecodableAudioError("The audio in this file holds infinities or NaN.")
            is_empty = False
            if block.shape[0] != self.channels:
                block = np.repeat(block, self.channels, axis=0)
            yield self._rate.process(block)
        if is_empty:
            raise UndecodableAudioError("There is no audio in this file.")
        yield self._rate.finish()

    def close(self) -> None:
        """Frees the decoder and closes the file."""
        self._reader.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def measure_levels(track: TrackReader, stopped: Callable[[], bool] = lambda: False) -> Levels:
    """Returns length and level of a track.

    Args:
        track: A reader that nothing was read from.
        stopped: Asked before each block; True ends the measuring early, with a useless result.
    """
    meter = LevelMeter()
    for block in track.blocks():
        if stopped():
            break
        meter.add(block)
    return meter.levels()


class SegmentCutter:
    """Cuts normalised segments out of a track while it is read.

    Args:
        track: A reader that nothing was read from.
        levels: Of this track.
    """

    def __init__(self, track: TrackReader, levels: Levels) -> None:
        self._blocks = track.blocks()
        self._levels = levels
        self._first = 0
        self._held: Samples = np.zeros((track.channels, 0), np.float32)

    def cut(self, start: int, frames: int, needed_from: int) -> Samples:
        """Returns `[channels, frames]` from frame `start`, silence before and after the track.

        Args:
            start: First frame; may be below 0.
            frames: How many.
            needed_from: No later call asks for a frame before this one.
        """
        end = min(start + frames, self._levels.frames)
        self._read_until(end)
        begin = max(0, start)
        cut = np.zeros((self._held.shape[0], frames), np.float32)
        if begin < end:
            part = self._held[:, begin - self._first : end - self._first]
            cut[:, begin - start : end - start] = part
        spent = min(max(0, needed_from) - self._first, self._held.shape[1])
        if spent > 0:
            self._held = self._held[:, spent:].copy()
            self._first += spent
        return cut

    def _read_until(self, end: int) -> None:
        parts = [self._held]
        count = self._first + self._held.shape[1]
        while count < end:
            block = next(self._blocks, None)
            if block is None:
                raise UndecodableAudioError("The track got shorter while it was read.")
            mean, deviation = np.float32(self._levels.mean), np.float32(self._levels.deviation)
            parts.append((block - mean) / deviation)
            count += block.shape[1]
        if len(parts) > 1:
            self._held = np.concatenate(parts, axis=1)
