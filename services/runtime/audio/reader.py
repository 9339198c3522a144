"""Reads audio files of any kind as streams of float32.

FFmpeg (through PyAV) recognises a file by its content. Integers become floats by division by
2^(bits−1), which is exact up to 24 bits. Encoder delay and padding that the container tells of
(MP3's LAME tag, an MP4's edit list, Opus' pre-skip) are cut off, as FFmpeg does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import av
import numpy as np
import numpy.typing as npt

from services.runtime.errors import UndecodableAudioError

Samples = npt.NDArray[np.float32]
"""`[channels, frames]`, full scale ±1.0."""

SampleFormat = Literal["int16", "int24", "int32", "float32"]

_FULL_SCALE = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31}
_READ_FRAMES = 65_536

# Samples of 16 bits in a WAV might be something else that was burnt onto a CD (DTS, AC-3): FFmpeg
# looks for that in the first 5 MB, for 24 ms. As far as it looks for S/PDIF is enough. (Of other
# containers it reads no more than it needs, and may need much: a film before its sound.)
_WAV_OPTIONS = {"probesize": "65536"}
_WAV_KINDS = {b"RIFF", b"RIFX", b"RF64", b"BW64"}

# FFmpeg also "reads" playlists, which name other files and addresses (concat, HLS, DASH, …). A file
# of a stranger must not make us open anything else: only these containers, and no protocol.
_DEMUXER_OPTIONS = {
    "format_whitelist": "wav,w64,aiff,caf,au,flac,mp3,aac,mov,ogg,matroska,wv,tta",
    "protocol_whitelist": "none",
}


@dataclass(frozen=True)
class AudioProperties:
    """What decoding a file tells about it.

    Args:
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        frames: Samples per channel.
        sample_format: How samples are stored; None for a lossy codec.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        tags: Title, artist and the like, as written in the file, by lower-case name.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    sample_format: SampleFormat | None
    container: str
    codec: str
    tags: dict[str, str] = field(default_factory=dict)


class AudioReader:
    """Decodes the first (or another) audio stream of a file, block by block.

    Args:
        file: A path, or a readable and seekable file, which the caller closes.
        stream: Which audio stream, from 0.

    Raises:
        UndecodableAudioError: there is no such audio stream, or its bytes are damaged.

    Attributes:
        sample_rate_hz: Sampling rate.
        channels: Number of channels.
        sample_format: How samples are stored; None for a lossy codec.
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        tags: Tags of the file, by lower-case name.
    """

    def __init__(self, file: Path | str | BinaryIO, stream: int = 0) -> None:
        options = dict(_DEMUXER_OPTIONS)
        if isinstance(file, Path | str):
            source: str | BinaryIO = str(file)
            options["protocol_whitelist"] = "file"
        else:
            source = file
        if _is_wav(file):
            options |= _WAV_OPTIONS
        try:
            # Tags are data of strangers: bytes that are no UTF-8 are replaced, not an error.
            self._container = av.open(source, mode="r", options=options, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise UndecodableAudioError("This is not an audio file that we can read.") from error
        try:
            self._open_stream(stream)
        except UndecodableAudioError:
            self._container.close()
            raise

    def _open_stream(self, stream: int) -> None:
        streams = self._container.streams.audio
        if stream >= len(streams):
            raise UndecodableAudioError("There is no audio in this file.")
        self._stream = streams[stream]
        codec = self._stream.codec_context
        # A stream of a codec that FFmpeg does not know has no context, whatever the stubs say.
        if codec is None or not codec.sample_rate or not codec.channels:
            raise UndecodableAudioError("The audio in this file is damaged.")
        self.sample_rate_hz = int(codec.sample_rate)
        self.channels = int(codec.channels)
        self.codec = str(codec.name)
        self.container = str(self._container.format.name)
        self.sample_format = _sample_format(self.codec, str(codec.format.name))
        self.tags = {
            key.lower(): value
            for key, value in {**self._container.metadata, **self._stream.metadata}.items()
        }
        self._blocks = self._decode()
        self._rest: Samples = np.zeros((self.channels, 0), np.float32)

    def read(self, frames: int) -> Samples:
        """Returns the next `frames` frames as `[channels, frames]`; fewer only at the end.

        Raises:
            UndecodableAudioError: the bytes are damaged.
        """
        parts = [self._rest]
        count = self._rest.shape[1]
        while count < frames:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            count += block.shape[1]
        joined = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        self._rest = joined[:, frames:]
        return np.ascontiguousarray(joined[:, :frames])

    def blocks(self, frames: int) -> Iterator[Samples]:
        """Yields the rest of the file in blocks of `frames` frames, the last one shorter."""
        while (block := self.read(frames)).shape[1]:
            yield block

    def properties(self, frames: int) -> AudioProperties:
        """Returns what the file is, the end being reached after `frames` frames.

        Raises:
            UndecodableAudioError: there are none.
        """
        if frames == 0:
            raise UndecodableAudioError("There is no audio in this file.")
        return AudioProperties(
            sample_rate_hz=self.sample_rate_hz,
            channels=self.channels,
            frames=frames,
            sample_format=self.sample_format,
            container=self.container,
            codec=self.codec,
            tags=self.tags,
        )

    def _decode(self) -> Iterator[Samples]:
        try:
            for frame in self._container.decode(self._stream):
                if frame.sample_rate != self.sample_rate_hz:
                    raise UndecodableAudioError("The sampling rate changes within this file.")
                yield _to_float(frame, self.channels)
        except av.error.EOFError:
            return
        except (av.FFmpegError, ValueError) as error:
            raise UndecodableAudioError("The audio in this file is damaged.") from error

    def close(self) -> None:
        """Frees the decoder."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def probe(file: Path | str | BinaryIO, stream: int = 0) -> AudioProperties:
    """Decodes a whole file and tells what is in it.

    The only way to know the exact number of frames: headers are estimates for many formats.

    Raises:
        UndecodableAudioError: there is no audio in the file, or it is damaged.
    """
    with AudioReader(file, stream) as reader:
        return reader.properties(sum(block.shape[1] for block in reader.blocks(_READ_FRAMES)))


def _is_wav(file: Path | str | BinaryIO) -> bool:
    if isinstance(file, Path | str):
        try:
            with Path(file).open("rb") as opened:
                return _is_wav(opened)
        except OSError:  # FFmpeg says what is wrong with it
            return False
    position = file.tell()
    head = file.read(12)
    file.seek(position)
    return head[:4] in _WAV_KINDS and head[8:] == b"WAVE"


def _to_float(frame: av.AudioFrame, channels: int) -> Samples:
    data = frame.to_ndarray()
    if not frame.format.is_planar:  # interleaved: [1, frames · channels]
        data = data.reshape(-1, channels).T
    if data.shape[0] != channels:
        raise UndecodableAudioError("The number of channels changes within this file.")
    if data.dtype == np.uint8:
        return ((data.astype(np.float32)) - 128.0) / 128.0
    scale = _FULL_SCALE.get(data.dtype)
    if scale is None:  # float32 or float64
        return data.astype(np.float32)
    # Through float64: a 32-bit integer would be rounded before the division otherwise.
    return (data.astype(np.float64) / scale).astype(np.float32)


def _sample_format(codec: str, decoded: str) -> SampleFormat | None:
    if codec.startswith("pcm_"):
        formats: dict[str, SampleFormat] = {"24": "int24", "32": "int32", "64": "int32"}
        digits = "".join(filter(str.isdigit, codec))
        return "float32" if codec.startswith("pcm_f") else formats.get(digits, "int16")
    if codec in {"flac", "alac", "wavpack", "tta"}:
        # FFmpeg decodes what is deeper than 16 bits to 32; true 32-bit files of these are rare.
        return "int16" if decoded.startswith("s16") else "int24"
    return None
