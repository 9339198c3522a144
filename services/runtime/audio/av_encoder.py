"""Encodes audio with FFmpeg (through PyAV) as a stream, without ever seeking back.

The "bitexact" flags keep versions, dates and random serial numbers out, so that the same samples
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import av
import numpy as np
import numpy.typing as npt

from services.runtime.errors import UnsupportedFormatError


@dataclass(frozen=True)
class AvFormat:
    """What FFmpeg calls a format.

    Args:
        container: Muxer.
        codec: Encoder.
        sample_format: Samples that the encoder takes: "s16", "s32", "flt" or "fltp".
        options: Options of the muxer.
    """

    container: str
    codec: str
    sample_format: str
    options: dict[str, str] = field(default_factory=dict)


FLAC16 = AvFormat("flac", "flac", "s16")
FLAC24 = AvFormat("flac", "flac", "s32")
OPUS = AvFormat("ogg", "libopus", "flt")
# Fragments of a second: a player starts before the end is there. The header waits for the first
# of them, because only then the encoder's delay is known for the edit list.
AAC = AvFormat(
    "ipod",
    "aac",
    "fltp",
    {"movflags": "+empty_moov+delay_moov+default_base_moof", "frag_duration": "1000000"},
)


class AvEncoder:
    """Encodes one file.

    Args:
        av_format: The format.
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
        bitrate_kbps: For lossy codecs; 0 otherwise.
        tags: Title, artist and the like, by lower-case name.

    Raises:
        UnsupportedFormatError: the encoder refuses this rate, bit rate or number of channels.
    """

    size_bytes = 0

    def __init__(
        self,
        av_format: AvFormat,
        sample_rate_hz: int,
        channels: int,
        bitrate_kbps: int,
        tags: Mapping[str, str],
    ) -> None:
        self._format = av_format
        self._rate_hz = sample_rate_hz
        self._layout = "mono" if channels == 1 else "stereo"
        self._frames_in = 0
        self._sink = _Sink()
        self._container = av.open(
            self._sink,
            mode="w",
            format=av_format.container,
            options={"fflags": "+bitexact", **av_format.options},
        )
        stream = self._container.add_stream(
            av_format.codec, rate=sample_rate_hz, options={"flags": "+bitexact"}
        )
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        codec = self._stream.codec_context
        codec.layout = self._layout
        codec.format = av_format.sample_format
        codec.thread_type = "NONE"  # the same bytes on any number of cores
        if bitrate_kbps:
            codec.bit_rate = bitrate_kbps * 1000
        self._container.metadata.update(tags)

    def start(self) -> bytes:
        """Opens the encoder and returns the bytes of the header that are known by now."""
        try:
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            raise UnsupportedFormatError(
                f"The encoder {self._format.codec} cannot write {self._layout} audio at "
                f"{self._rate_hz} Hz with this bit rate.",
                metadata={"codec": self._format.codec, "sample_rate_hz": str(self._rate_hz)},
            ) from error
        return self._sink.take()

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes that `[channels, frames]` lead to: none, or those of earlier frames.

        Integers are int32 in the range of the format: 16 or 24 bits.
        """
        if samples.shape[1] == 0:
            return b""
        frame = av.AudioFrame.from_ndarray(
            self._arranged(samples), format=self._format.sample_format, layout=self._layout
        )
        frame.sample_rate = self._rate_hz
        frame.pts = self._frames_in
        self._frames_in += samples.shape[1]
        self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def _arranged(
        self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]
    ) -> npt.NDArray[np.int16] | npt.NDArray[np.int32] | npt.NDArray[np.float32]:
        kind = self._format.sample_format
        if kind == "fltp":
            return np.ascontiguousarray(samples, dtype=np.float32)
        interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
        if kind == "s16":
            return interleaved.astype(np.int16)
        if kind == "s32":  # FFmpeg's 24 bits are the upper ones of 32
            return interleaved.astype(np.int32) << 8
        return interleaved.astype(np.float32, copy=False)

    def finish(self) -> bytes:
        """Returns the rest of the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()

    def close(self) -> None:
        """Frees the encoder; what it still held is lost."""
        self._container.close()


class FlacEncoder(AvEncoder):
    """Encodes FLAC with the number of frames in its header.

    FFmpeg writes that number only by seeking back when all is done; here it is known before. The
    checksum of the samples stays unset, which FLAC allows for.

    Args:
        bits: 16 or 24.
        sample_rate_hz: Sampling rate.
        channels: 1 or 2.
        frames: Samples per channel of the whole file.
        tags: Title, artist and the like, by lower-case name.
    """

    def __init__(
        self, bits: int, sample_rate_hz: int, channels: int, frames: int, tags: Mapping[str, str]
    ) -> None:
        super().__init__(FLAC16 if bits == 16 else FLAC24, sample_rate_hz, channels, 0, tags)
        self._frames = frames
        self._held: bytes | None = b""

    def start(self) -> bytes:
        """Opens the encoder and returns the header."""
        return self._patched(super().start())

    def encode(self, samples: npt.NDArray[np.int32] | npt.NDArray[np.float32]) -> bytes:
        """Returns the bytes that `[channels, frames]` (int32) lead to."""
        return self._patched(super().encode(samples))

    def finish(self) -> bytes:
        """Returns the rest of the file."""
        return self._patched(super().finish())

    def _patched(self, data: bytes) -> bytes:
        """Holds back bytes until STREAMINFO is among them, and completes it.

        STREAMINFO begins at byte 8; its bytes 13 (lower half) to 17 are the number of frames.
        """
        if self._held is None:
            return data
        self._held += data
        if len(self._held) < 42:
            return b""
        whole = bytearray(self._held)
        self._held = None
        first = 8 + 13
        number = (whole[first] >> 4) << 36 | self._frames
        whole[first : first + 5] = number.to_bytes(5, "big")
        return bytes(whole)


class _Sink:
    """A file that can only be appended to: FFmpeg sees that it cannot seek."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._data)
        self._data.clear()
        return taken
