"""A mix at a wanted loudness.

How loud a mix is, is known at its end. So it is kept on disk while it is made, and then goes out in
one more pass: with the gain that is missing, and the limiter behind it. What the limiter takes away
from the loudness is measured and made up for, before anything goes out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

from services.remixer.effects.limiter import Limiter
from services.remixer.effects.processor import empty
from services.runtime.audio.loudness import LoudnessMeter
from services.runtime.audio.reader import Samples

LOUDEST_LUFS = -5.0
QUIETEST_LUFS = -40.0

_TOLERANCE_LU = 0.1
_REPORTED_LU = 0.5
_MAX_GAIN_DB = 60.0
_TRIES = 3
_BLOCK_FRAMES = 65_536
_FRAME_VALUE_BYTES = 4


class LoudnessTarget:
    """Brings a stream to an integrated loudness (BS.1770-4), its true peak below a ceiling.

    Args:
        lufs: The loudness wanted.
        ceiling: Highest true peak, full scale 1.0.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.

    Attributes:
        gain_db: The gain that is applied.
        reached_lufs: The loudness behind it; None for silence, which stays as it is.
        limited_db: By how much the limiter lowers the highest peak.
    """

    def __init__(self, lufs: float, ceiling: float, sample_rate_hz: int, channels: int) -> None:
        self._lufs = lufs
        self._ceiling = ceiling
        self._rate_hz = sample_rate_hz
        self._channels = channels
        self._meter = LoudnessMeter(sample_rate_hz, channels)
        # Without a name in the file system: nothing is left of it whatever happens.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.frames = 0
        self.gain_db = 0.0
        self.reached_lufs: float | None = None
        self.limited_db = 0.0

    @property
    def note(self) -> str:
        """What was done to the mix, for people."""
        if self.reached_lufs is None:
            return f"the mix is too quiet to be measured and was not brought to {self._lufs:g} LUFS"
        told = f"the mix was made {abs(self.gain_db):.1f} dB "
        told += f"{'louder' if self.gain_db >= 0.0 else 'quieter'} for {self._lufs:g} LUFS"
        if abs(self._lufs - self.reached_lufs) > _REPORTED_LU:
            told += f"; the true-peak ceiling leaves it at {self.reached_lufs:.1f} LUFS"
        return told

    def add(self, block: Samples) -> None:
        """Takes the next frames of the mix."""
        self._meter.add(block)
        self.frames += block.shape[1]
        self._file.write(np.ascontiguousarray(block.T).tobytes())

    def blocks(self) -> Iterator[Samples]:
        """Yields the stream at the wanted loudness; empty blocks while it is still measured."""
        self.reached_lufs = self._meter.result().integrated_lufs
        if self.reached_lufs is not None:
            for _ in range(_TRIES):
                missing_db = self._lufs - self.reached_lufs
                if abs(missing_db) <= _TOLERANCE_LU:
                    break
                wanted_db = self.gain_db + missing_db
                self.gain_db = min(max(wanted_db, -_MAX_GAIN_DB), _MAX_GAIN_DB)
                meter = LoudnessMeter(self._rate_hz, self._channels)
                for block in self._levelled():
                    meter.add(block)
                    yield empty(self._channels)
                measured = meter.result().integrated_lufs
                assert measured is not None
                self.reached_lufs = measured
        yield from self._levelled()

    def close(self) -> None:
        """Frees the disk."""
        self._file.close()

    def _levelled(self) -> Iterator[Samples]:
        """Yields the stream with the gain, limited."""
        limiter = Limiter(self._ceiling, self._rate_hz, self._channels)
        factor = np.float32(10.0 ** (self.gain_db / 20.0))
        self._file.seek(0)
        frame_bytes = _FRAME_VALUE_BYTES * self._channels
        while data := self._file.read(_BLOCK_FRAMES * frame_bytes):
            block = np.frombuffer(data, np.float32).reshape(-1, self._channels).T
            yield limiter.process(block * factor)
        yield limiter.finish()
        self.limited_db = limiter.limited_db
