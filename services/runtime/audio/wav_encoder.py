"""Writes WAV as a stream.

The header is complete from the first byte, because the number of frames is known. Files of 4 GiB
and more are RF64 (EBU Tech 3306), whose sizes are 64 bits wide.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_FORMAT_PCM = 1
_FORMAT_FLOAT = 3
_UNKNOWN_32 = 0xFFFFFFFF
_RIFF_HEADER_BYTES = 8
_INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "comment": b"ICMT",
}


class WavEncoder:
    """Encodes one WAV file.

    Args:
        bits: 16 or 24 for integers, 32 for floats.
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        frames: Samples per channel of the whole file.
        tags: Title, artist and the like, by lower-case name; written into a LIST/INFO chunk.
    """

    def __init__(
        self, bits: int, sample_rate_hz: int, channels: int, frames: int, tags: Mapping[str, str]
    ) -> None:
        self._bits = bits
        self._frame_bytes = channels * bits // 8
        self._data_bytes = frames * self._frame_bytes
        self._header = self._make_header(sample_rate_hz, channels, frames, _info_chunk(tags))
        self.size_bytes = len(self._header) + self._data_bytes + self._data_bytes % 2

    def _make_header(self, sample_rate_hz: int, channels: int, frames: int, info: bytes) -> bytes:
        is_float = self._bits == 32
        body = struct.pack(
            "<HHIIHH",
            _FORMAT_FLOAT if is_float else _FORMAT_PCM,
            channels,
            sample_rate_hz,
            sample_rate_hz * self._frame_bytes,
            self._frame_bytes,
            self._bits,
        )
        chunks = _chunk(b"fmt ", body + (b"\0\0" if is_float else b""))
        if is_float:
            chunks += _chunk(b"fact", struct.pack("<I", min(frames, _UNKNOWN_32)))
        chunks += info
        padded_bytes = self._data_bytes + self._data_bytes % 2
        riff_bytes = 4 + len(chunks) + _RIFF_HEADER_BYTES + padded_bytes
        if riff_bytes <= _UNKNOWN_32 - 1:
            return (
                struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
                + chunks
                + struct.pack("<4sI", b"data", self._data_bytes)
            )
        sizes = struct.pack("<QQQI", 0, self._data_bytes, frames, 0)
        riff_bytes += len(_chunk(b"ds64", sizes))
        sizes = struct.pack("<QQQI", riff_bytes, self._data_bytes, frames, 0)
        return (
            struct.pack("<4sI4s", b"RF64", _UNKNOWN_32, b"WAVE")
            + _chunk(b"ds64", sizes)
            + chunks
            + struct.pack("<4sI", b"data", _UNKNOWN_32)
        )

    def start(self) -> bytes:
        """Returns the header."""
        return self._header

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes of `[channels, frames]`: float32, or int32 in the range of `bits`."""
        interleaved = np.ascontiguousarray(samples.T)
        if self._bits == 32:
            return interleaved.astype("<f4", copy=False).tobytes()
        if self._bits == 16:
            return interleaved.astype("<i2").tobytes()
        return interleaved.astype("<i4", copy=False).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def finish(self) -> bytes:
        """Returns the pad byte of an odd data chunk."""
        return b"\0" * (self._data_bytes % 2)


def _info_chunk(tags: Mapping[str, str]) -> bytes:
    entries = b"".join(
        _chunk(_INFO_NAMES[name], tags[name].encode() + b"\0")
        for name in _INFO_NAMES
        if name in tags
    )
    return _chunk(b"LIST", b"INFO" + entries) if entries else b""


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + b"\0" * (len(body) % 2)
