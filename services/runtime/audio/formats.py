"""The formats that audio files are written in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from services.runtime.errors import UnsupportedFormatError

DEFAULT_BITRATE_KBPS = 256
MIN_BITRATE_KBPS = 32
MAX_BITRATE_KBPS = 320


class Encoding(StrEnum):
    """How a file holds its samples."""

    WAV_PCM16 = "wav_pcm16"
    WAV_PCM24 = "wav_pcm24"
    WAV_FLOAT32 = "wav_float32"
    FLAC16 = "flac16"
    FLAC24 = "flac24"
    MP3 = "mp3"
    OGG_VORBIS = "ogg_vorbis"
    OGG_OPUS = "ogg_opus"
    M4A_AAC = "m4a_aac"


_FAMILIES = {
    Encoding.WAV_PCM16: ("audio/wav", "wav"),
    Encoding.WAV_PCM24: ("audio/wav", "wav"),
    Encoding.WAV_FLOAT32: ("audio/wav", "wav"),
    Encoding.FLAC16: ("audio/flac", "flac"),
    Encoding.FLAC24: ("audio/flac", "flac"),
    Encoding.MP3: ("audio/mpeg", "mp3"),
    Encoding.OGG_VORBIS: ("audio/ogg", "ogg"),
    Encoding.OGG_OPUS: ("audio/ogg", "opus"),
    Encoding.M4A_AAC: ("audio/mp4", "m4a"),
}

_INTEGER_BITS = {
    Encoding.WAV_PCM16: 16,
    Encoding.WAV_PCM24: 24,
    Encoding.FLAC16: 16,
    Encoding.FLAC24: 24,
}

_MPEG_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_RATES_HZ = {
    Encoding.MP3: _MPEG_RATES_HZ,
    Encoding.M4A_AAC: (*_MPEG_RATES_HZ, 64000, 88200, 96000),
    # Opus has other rates inside, but every decoder gives 48 kHz.
    Encoding.OGG_OPUS: (48000,),
}


@dataclass(frozen=True)
class FileFormat:
    """An encoding with its bit rate.

    Args:
        encoding: How the file holds its samples.
        bitrate_kbps: 32 to 320 for lossy encodings; 0 for lossless ones.
    """

    encoding: Encoding
    bitrate_kbps: int = 0

    @property
    def is_lossy(self) -> bool:
        """Whether decoding gives something else than what was encoded."""
        return self.encoding in {
            Encoding.MP3,
            Encoding.OGG_VORBIS,
            Encoding.OGG_OPUS,
            Encoding.M4A_AAC,
        }

    @property
    def integer_bits(self) -> int | None:
        """Bits of a sample where samples are integers: 16 or 24."""
        return _INTEGER_BITS.get(self.encoding)

    @property
    def media_type(self) -> str:
        """Media type, such as "audio/flac"."""
        return _FAMILIES[self.encoding][0]

    @property
    def extension(self) -> str:
        """Usual file name extension without the dot."""
        return _FAMILIES[self.encoding][1]

    def rate_for(self, sample_rate_hz: int) -> int:
        """Returns the rate that a file has which shall hold audio of `sample_rate_hz`.

        It is the same where the encoding knows that rate; else the highest one of the encoding
        that divides it (96 kHz becomes 48 kHz), else the lowest one above it, else the highest.
        """
        rates = _RATES_HZ.get(self.encoding)
        if rates is None or sample_rate_hz in rates:
            return sample_rate_hz
        divisors = [rate for rate in rates if sample_rate_hz % rate == 0 and 2 * rate > 44_100]
        above = [rate for rate in rates if rate > sample_rate_hz]
        return max(divisors) if divisors else min(above, default=max(rates))


def file_format(encoding: Encoding, bitrate_kbps: int = 0) -> FileFormat:
    """Returns a format with its default bit rate filled in.

    Raises:
        UnsupportedFormatError: the bit rate is out of range, or given for a lossless encoding.
    """
    lossy = FileFormat(encoding).is_lossy
    if bitrate_kbps and not lossy:
        raise UnsupportedFormatError(
            f"A bit rate is for lossy encodings only, and {encoding} is lossless.",
            metadata={"encoding": encoding.value, "bitrate_kbps": str(bitrate_kbps)},
        )
    if bitrate_kbps and not MIN_BITRATE_KBPS <= bitrate_kbps <= MAX_BITRATE_KBPS:
        raise UnsupportedFormatError(
            f"A bit rate of {bitrate_kbps} kbit/s is not supported: "
            f"{MIN_BITRATE_KBPS} to {MAX_BITRATE_KBPS} are.",
            metadata={"encoding": encoding.value, "bitrate_kbps": str(bitrate_kbps)},
        )
    return FileFormat(encoding, (bitrate_kbps or DEFAULT_BITRATE_KBPS) if lossy else 0)
