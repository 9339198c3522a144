"""Writes audio files as streams: blocks of float32 in, bytes of the file out.

Nothing is ever changed once it was handed out, so that the bytes can be sent while the file is
being made. The same samples give the same bytes, whatever the blocks they come in.

Floats become integers by rounding x · 2^(bits−1), with dither where the integers cannot hold them
as they are; what is too high for an integer is clipped and counted. So is what is no number: NaN
becomes silence, infinity full scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from services.runtime.audio import av_encoder
from services.runtime.audio.av_encoder import AvEncoder, FlacEncoder
from services.runtime.audio.dither import Dither
from services.runtime.audio.formats import Encoding, FileFormat
from services.runtime.audio.mp3_encoder import Mp3Encoder
from services.runtime.audio.reader import Samples
from services.runtime.audio.wav_encoder import WavEncoder

CARRIED_TAGS = (
    "title",
    "artist",
    "album",
    "album_artist",
    "composer",
    "date",
    "genre",
    "track",
    "comment",
)
"""Tags that a file takes over; others tell of the file they came from."""

_MAX_TAG_CHARACTERS = 1000


class Encoder(Protocol):
    """Turns samples into the bytes of a file."""

    size_bytes: int
    """Size of the file; 0 where it is not known before the end."""

    def start(self) -> bytes:
        """Returns the first bytes."""
        ...

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes that `[channels, frames]` lead to."""
        ...

    def finish(self) -> bytes:
        """Returns the last bytes."""
        ...


class AudioWriter:
    """Writes one file.

    Args:
        file_format: Encoding and bit rate.
        sample_rate_hz: Sampling rate; one that `file_format.rate_for` returns.
        channels: 1 or 2.
        frames: Samples per channel that will be written, all in all.
        tags: Tags of the original; those of `CARRIED_TAGS` are carried over.
        dither_seed: Where the noise of the dither begins.

    Raises:
        UnsupportedFormatError: the encoding cannot hold this rate or number of channels.

    Attributes:
        size_bytes: Size of the file; 0 where it is not known before the end.
        clipped_samples: Samples that the format could not hold and that were clipped.
        peak: Highest absolute sample so far, before encoding; full scale is 1.0.
    """

    def __init__(
        self,
        file_format: FileFormat,
        sample_rate_hz: int,
        channels: int,
        frames: int,
        tags: Mapping[str, str] | None = None,
        dither_seed: int = 0,
    ) -> None:
        self._bits = file_format.integer_bits
        self._dither = Dither(self._bits, dither_seed) if self._bits else None
        self._frames_left = frames
        self._encoder = _encoder(
            file_format, sample_rate_hz, channels, frames, _carried(tags or {})
        )
        self._pending = self._encoder.start()
        self.size_bytes = self._encoder.size_bytes
        self.clipped_samples = 0
        self.peak = 0.0

    def write(self, block: Samples) -> bytes:
        """Encodes `[channels, frames]` and returns the bytes that are ready.

        Raises:
            ValueError: these are more frames than were announced.
        """
        if block.shape[1] > self._frames_left:
            raise ValueError("more frames were written than announced")
        self._frames_left -= block.shape[1]
        if block.shape[1] == 0:
            return self._take_pending()
        finite = np.isfinite(block)
        if not finite.all():
            self.clipped_samples += int(block.size - np.count_nonzero(finite))
            block = np.nan_to_num(block, nan=0.0, posinf=1.0, neginf=-1.0)
        self.peak = max(self.peak, float(np.abs(block).max()))
        if self._bits is None or self._dither is None:
            return self._take_pending() + self._encoder.encode(block)
        integers, clipped = clip(self._dither.round(block), self._bits)
        self.clipped_samples += clipped
        return self._take_pending() + self._encoder.encode(integers)

    def finish(self) -> bytes:
        """Returns the last bytes of the file.

        Raises:
            ValueError: fewer frames were written than announced.
        """
        if self._frames_left:
            raise ValueError(f"{self._frames_left} frames were announced but not written")
        return self._take_pending() + self._encoder.finish()

    def close(self) -> None:
        """Frees the encoder."""
        close = getattr(self._encoder, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take_pending(self) -> bytes:
        pending, self._pending = self._pending, b""
        return pending


def clip(rounded: npt.NDArray[np.float32], bits: int) -> tuple[npt.NDArray[np.int32], int]:
    """Returns integers of `bits` bits (at most 24), and how many of them were clipped.

    >>> clip(np.array([[16384.0, -32768.0, 32768.0]], np.float32), 16)
    (array([[ 16384, -32768,  32767]], dtype=int32), 1)
    """
    highest = np.float32(2 ** (bits - 1) - 1)
    lowest = np.float32(-(2 ** (bits - 1)))
    clipped = int(np.count_nonzero(rounded > highest) + np.count_nonzero(rounded < lowest))
    return np.clip(rounded, lowest, highest).astype(np.int32), clipped


def _carried(tags: Mapping[str, str]) -> dict[str, str]:
    return {
        name: tags[name].replace("\0", "")[:_MAX_TAG_CHARACTERS]
        for name in CARRIED_TAGS
        if tags.get(name)
    }


def _encoder(
    file_format: FileFormat,
    sample_rate_hz: int,
    channels: int,
    frames: int,
    tags: Mapping[str, str],
) -> Encoder:
    kbps = file_format.bitrate_kbps
    match file_format.encoding:
        case Encoding.WAV_PCM16 | Encoding.WAV_PCM24 | Encoding.WAV_FLOAT32:
            bits = file_format.integer_bits or 32
            return WavEncoder(bits, sample_rate_hz, channels, frames, tags)
        case Encoding.FLAC16 | Encoding.FLAC24:
            bits = file_format.integer_bits or 24
            return FlacEncoder(bits, sample_rate_hz, channels, frames, tags)
        case Encoding.MP3:
            return Mp3Encoder(sample_rate_hz, channels, frames, kbps, tags)
        case Encoding.OGG_OPUS:
            return AvEncoder(av_encoder.OPUS, sample_rate_hz, channels, kbps, tags)
        case Encoding.M4A_AAC:
            return AvEncoder(av_encoder.AAC, sample_rate_hz, channels, kbps, tags)
        case Encoding.OGG_VORBIS:
            from services.runtime.audio.vorbis_encoder import VorbisEncoder

            return VorbisEncoder(sample_rate_hz, channels, kbps, tags)
