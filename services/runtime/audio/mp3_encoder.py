"""Encodes MP3 (LAME, constant bit rate) as a stream of exact length.

MP3 pads: a decoder gives more samples than were encoded. Players cut them off by the numbers in
an "Info" frame at the beginning (http://gabriel.mp3-tech.org/mp3infotag.html). Encoders write it
by seeking back; here the number of frames is known before, and what LAME will add follows from it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import av
import numpy as np
import numpy.typing as npt

from services.runtime.errors import UnsupportedFormatError

_ENCODER_DELAY = 576
"""Samples that LAME puts before the first one (ENCDELAY in lame's encoder.h)."""

_BITRATES_KBPS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of layer III by index, for MPEG 1 and for MPEG 2 and 2.5 (ISO/IEC 11172-3, 13818-3)."""

_ID3_NAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "album_artist": b"TPE2",
    "composer": b"TCOM",
    "date": b"TDRC",
    "genre": b"TCON",
    "track": b"TRCK",
}
_INFO_BYTES = 120 + 36
_MONO = 3


class Mp3Encoder:
    """Encodes one MP3 file.

    Args:
        sample_rate_hz: One of MPEG's rates, 8000 to 48000.
        channels: 1 or 2.
        frames: Samples per channel of the whole file.
        bitrate_kbps: LAME takes the nearest one that the rate allows for.
        tags: Title, artist and the like, by lower-case name; written as ID3v2.4.

    Raises:
        UnsupportedFormatError: LAME refuses this rate, bit rate or number of channels.
    """

    size_bytes = 0

    def __init__(
        self,
        sample_rate_hz: int,
        channels: int,
        frames: int,
        bitrate_kbps: int,
        tags: Mapping[str, str],
    ) -> None:
        self._tags = tags
        self._frames = frames
        self._frames_in = 0
        self._layout = "mono" if channels == 1 else "stereo"
        self._began = False
        self._codec = av.AudioCodecContext.create("libmp3lame", "w")
        self._codec.sample_rate = sample_rate_hz
        self._codec.layout = self._layout
        self._codec.format = "fltp"
        self._codec.bit_rate = bitrate_kbps * 1000
        self._codec.options = {"flags": "+bitexact"}

    def start(self) -> bytes:
        """Opens the encoder and returns the tags."""
        try:
            self._codec.open()
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedFormatError(
                f"MP3 cannot hold {self._layout} audio at {self._codec.sample_rate} Hz.",
                metadata={"codec": "libmp3lame", "sample_rate_hz": str(self._codec.sample_rate)},
            ) from error
        return id3_tag(self._tags)

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes that `[channels, frames]` (float32) lead to."""
        if samples.shape[1] == 0:
            return b""
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, dtype=np.float32), format="fltp", layout=self._layout
        )
        frame.sample_rate = self._codec.sample_rate
        frame.pts = self._frames_in
        self._frames_in += samples.shape[1]
        return self._joined(self._codec.encode(frame))

    def finish(self) -> bytes:
        """Returns the rest of the file."""
        return self._joined(self._codec.encode(None))

    def close(self) -> None:
        """Frees the encoder (which PyAV does when the object goes)."""

    def _joined(self, packets: list[av.Packet[av.AudioStream]]) -> bytes:
        data = b"".join(bytes(packet) for packet in packets)
        if data and not self._began:
            self._began = True
            return info_frame(data[:4], self._frames) + data
        return data


def info_frame(header: bytes, frames: int) -> bytes:
    """Returns the Info frame for a stream whose first frame begins with `header`.

    Args:
        header: The four bytes of a frame's header, whose version, rate and channels it takes.
        frames: Samples per channel that were given to LAME.
    """
    version = 1 if (header[1] >> 3) & 3 == 3 else 2
    is_mono = header[3] >> 6 == _MONO
    samples = 1152 if version == 1 else 576
    rate_hz = _rate_of(header)
    side_bytes = {(1, False): 32, (1, True): 17, (2, False): 17, (2, True): 9}[version, is_mono]
    # The smallest frame that holds it, and none smaller than the stream's own.
    index = next(
        index
        for index, kbps in enumerate(_BITRATES_KBPS[version])
        if index >= header[2] >> 4
        and samples // 8 * kbps * 1000 // rate_hz >= 4 + side_bytes + _INFO_BYTES
    )
    size = samples // 8 * _BITRATES_KBPS[version][index] * 1000 // rate_hz
    # No padding (bit 1 of byte 2), no checksum (bit 0 of byte 1 set).
    start = bytes([header[0], header[1] | 1, index << 4 | header[2] & 0b1100, header[3]])
    count, padding = lame_frames(frames, samples)
    body = (
        b"Info"
        + struct.pack(">II", 1, count)
        + b"LAME3.100"
        + bytes(1 + 1 + 4 + 2 + 2 + 1 + 1)
        + (_ENCODER_DELAY << 12 | padding).to_bytes(3, "big")
    )
    return (start + bytes(side_bytes) + body).ljust(size, b"\0")


def lame_frames(frames: int, samples_per_frame: int) -> tuple[int, int]:
    """Returns how many MP3 frames LAME makes of `frames`, and how many samples it adds at the end.

    As in `lame_encode_flush` (lame 3.100): the delay and the samples, filled up to whole frames
    by at least 576.
    """
    padding = samples_per_frame - (_ENCODER_DELAY + frames) % samples_per_frame
    if padding < 576:
        padding += samples_per_frame
    return (_ENCODER_DELAY + frames + padding) // samples_per_frame, padding


def id3_tag(tags: Mapping[str, str]) -> bytes:
    """Returns an ID3v2.4 tag in UTF-8; nothing where there is nothing to tell."""
    body = b""
    for name, frame in _ID3_NAMES.items():
        if name in tags:
            text = b"\x03" + tags[name].encode()
            body += frame + _syncsafe(len(text)) + b"\0\0" + text
    if "comment" in tags:  # language and an empty description come before the text
        text = b"\x03eng\0" + tags["comment"].encode()
        body += b"COMM" + _syncsafe(len(text)) + b"\0\0" + text
    return b"ID3\x04\0\0" + _syncsafe(len(body)) + body if body else b""


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _rate_of(header: bytes) -> int:
    base_hz = (44100, 48000, 32000)[header[2] >> 2 & 3]
    return base_hz // {3: 1, 2: 2, 0: 4}[header[1] >> 3 & 3]
