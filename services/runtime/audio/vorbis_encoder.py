"""Encodes Ogg Vorbis as a stream, with libvorbis (through libsndfile).

FFmpeg's own Vorbis encoder is experimental, and PyAV's wheels bring no other one. libsndfile gives
every stream a random serial number; it becomes 0 here, so that the same samples give the same
bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import soundfile

from services.runtime.errors import UnsupportedFormatError

_BLOCK_FRAMES = 4096
"""Frames that libvorbis gets at once: its decisions depend on how much it can see ahead."""

_QUALITY_BY_KBPS = (
    (45, -0.1),
    (64, 0.0),
    (80, 0.1),
    (96, 0.2),
    (112, 0.3),
    (128, 0.4),
    (160, 0.5),
    (192, 0.6),
    (224, 0.7),
    (256, 0.8),
    (320, 0.9),
)
"""Nominal bit rates of libvorbis' qualities, for 44.1 kHz stereo (vorbisenc's setup_44.h)."""

_PAGE_HEADER_BYTES = 27
_SERIAL = slice(14, 18)
_CHECKSUM = slice(22, 26)
_TAG_NAMES = ("title", "artist", "album", "date", "genre", "comment", "tracknumber")
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class VorbisEncoder:
    """Encodes one Ogg Vorbis file.

    Args:
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
        bitrate_kbps: Nominal: the quality that gives it for stereo at 44.1 kHz.
        tags: Title, artist and the like, by lower-case name.

    Raises:
        UnsupportedFormatError: libvorbis refuses this rate or number of channels.
    """

    size_bytes = 0

    def __init__(
        self, sample_rate_hz: int, channels: int, bitrate_kbps: int, tags: Mapping[str, str]
    ) -> None:
        self._sink = _AppendedFile()
        self._pages = b""
        self._waiting = np.zeros((0, channels), np.float32)
        kbps, quality = zip(*_QUALITY_BY_KBPS, strict=True)
        try:
            self._file = soundfile.SoundFile(
                self._sink,
                mode="w",
                samplerate=sample_rate_hz,
                channels=channels,
                format="OGG",
                subtype="VORBIS",
                compression_level=1.0 - max(0.0, float(np.interp(bitrate_kbps, kbps, quality))),
            )
        except soundfile.LibsndfileError as error:
            raise UnsupportedFormatError(
                f"Ogg Vorbis cannot hold {channels} channels at {sample_rate_hz} Hz.",
                metadata={"codec": "libvorbis", "sample_rate_hz": str(sample_rate_hz)},
            ) from error
        for name in _TAG_NAMES:
            text = tags.get("track" if name == "tracknumber" else name)
            if text:
                setattr(self._file, name, text)

    def start(self) -> bytes:
        """Returns nothing yet: libvorbis writes its headers with the first samples."""
        return b""

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes that `[channels, frames]` (float32) lead to."""
        joined = np.concatenate((self._waiting, samples.T.astype(np.float32)))
        whole = len(joined) - len(joined) % _BLOCK_FRAMES
        self._waiting = joined[whole:]
        for start in range(0, whole, _BLOCK_FRAMES):
            self._file.write(np.ascontiguousarray(joined[start : start + _BLOCK_FRAMES]))
        return self._whole_pages()

    def finish(self) -> bytes:
        """Returns the rest of the file."""
        self._file.write(self._waiting)
        self._file.close()
        return self._whole_pages()

    def close(self) -> None:
        """Frees the encoder; what it still held is lost."""
        self._file.close()

    def _whole_pages(self) -> bytes:
        self._pages += self._sink.take()
        ready = b""
        while (size := _page_bytes(self._pages)) is not None:
            ready += without_serial(self._pages[:size])
            self._pages = self._pages[size:]
        return ready


def without_serial(page: bytes) -> bytes:
    """Returns an Ogg page (RFC 3533) with the serial number 0."""
    changed = bytearray(page)
    changed[_SERIAL] = bytes(4)
    changed[_CHECKSUM] = bytes(4)
    changed[_CHECKSUM] = _checksum(bytes(changed)).to_bytes(4, "little")
    return bytes(changed)


def _checksum(page: bytes) -> int:
    """Returns Ogg's CRC-32: zlib's polynomial with the bits the other way round, no inversions."""
    remainder = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{remainder:032b}"[::-1], 2)


def _page_bytes(data: bytes) -> int | None:
    """Returns the size of the first page, or None where it is not whole."""
    if len(data) < _PAGE_HEADER_BYTES:
        return None
    segments = data[_PAGE_HEADER_BYTES - 1]
    header = _PAGE_HEADER_BYTES + segments
    if len(data) < header:
        return None
    size = header + sum(data[_PAGE_HEADER_BYTES:header])
    return size if len(data) >= size else None


class _AppendedFile:
    """A file that libsndfile appends to; it asks for positions, but never goes back."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._taken = 0

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def tell(self) -> int:
        return self._taken + len(self._data)

    def seek(self, offset: int, whence: int = 0) -> int:
        if (offset, whence) not in {(0, 2), (self.tell(), 0)}:
            raise OSError("this file can only be appended to")
        return self.tell()

    def read(self, _size: int = -1) -> bytes:
        return b""

    def take(self) -> bytes:
        taken = bytes(self._data)
        self._taken += len(taken)
        self._data.clear()
        return taken
