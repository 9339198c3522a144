"""What is only known of an original once it was decoded whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from services.runtime.audio.finite import finite
from services.runtime.audio.levels import LEVEL_BLOCK_FRAMES
from services.runtime.audio.loudness import MEASURED_CHANNELS, Loudness, LoudnessMeter
from services.runtime.audio.reader import AudioProperties, AudioReader
from services.runtime.errors import UndecodableAudioError


@dataclass(frozen=True)
class Measured:
    """What an original is, and how loud."""

    properties: AudioProperties
    loudness: Loudness


def measure(file: BinaryIO) -> Measured:
    """Decodes a whole file and measures it.

    Raises:
        UndecodableAudioError: it is damaged, empty, or has more than two channels.
    """
    with AudioReader(file) as reader:
        if reader.channels > MEASURED_CHANNELS:
            raise UndecodableAudioError(
                f"The audio has {reader.channels} channels; one and two are supported.",
                metadata={"channels": str(reader.channels)},
            )
        meter = LoudnessMeter(reader.sample_rate_hz, reader.channels)
        frames = 0
        for block in reader.blocks(LEVEL_BLOCK_FRAMES):
            meter.add(finite(block))
            frames += block.shape[1]
        return Measured(reader.properties(frames), meter.result())
