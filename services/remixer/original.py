"""The original in the blob store: what it is, and its samples as a stream."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import BinaryIO

import numpy as np

from services.remixer.effects.processor import silence
from services.runtime.audio.loudness import Loudness, LoudnessMeter
from services.runtime.audio.reader import AudioProperties, AudioReader, Samples
from services.runtime.blobs import BlobStore
from services.runtime.errors import UndecodableAudioError

_MAX_CHANNELS = 2
_READ_FRAMES = 65_536
_LOUDEST = np.float32(2.0**32)
"""Above the scale of 32-bit integers, which some files keep as floats; beyond, powers overflow."""


@dataclass(frozen=True)
class Measured:
    """What is known of an original once it was decoded: what it is, and how loud."""

    properties: AudioProperties
    loudness: Loudness


def read_measured(store: BlobStore, sha256: str) -> Measured:
    """Tells what the original is and how loud.

    Both are only known once a file was decoded whole, so that this is done once for each original
    and written down beside it.

    Raises:
        BlobNotFoundError: it is not in the store.
        UndecodableAudioError: it is damaged, or has more than two channels.
    """
    key = f"originals/{sha256}"
    with store.open(sha256) as file:
        document = store.read_record(key)
        if document is not None:
            values = json.loads(document)
            return Measured(AudioProperties(**values["properties"]), Loudness(**values["loudness"]))
        measured = measure(file)
    store.write_record(key, json.dumps(asdict(measured), sort_keys=True).encode())
    return measured


def measure(file: BinaryIO) -> Measured:
    """Decodes a whole file and measures it.

    Raises:
        UndecodableAudioError: it is damaged, empty, or has more than two channels.
    """
    with AudioReader(file) as reader:
        if reader.channels > _MAX_CHANNELS:
            raise UndecodableAudioError(
                f"The audio has {reader.channels} channels; one and two are supported.",
                metadata={"channels": str(reader.channels)},
            )
        meter = LoudnessMeter(reader.sample_rate_hz, reader.channels)
        frames = 0
        for block in reader.blocks(_READ_FRAMES):
            meter.add(finite(block))
            frames += block.shape[1]
        if frames == 0:
            raise UndecodableAudioError("There is no audio in this file.")
        return Measured(
            AudioProperties(
                sample_rate_hz=reader.sample_rate_hz,
                channels=reader.channels,
                frames=frames,
                sample_format=reader.sample_format,
                container=reader.container,
                codec=reader.codec,
                tags=reader.tags,
            ),
            meter.result(),
        )


def finite(block: Samples) -> Samples:
    """Returns `block` with silence in place of what is no number, or no sound of any scale."""
    is_sound = np.abs(block) <= _LOUDEST
    return block if is_sound.all() else np.where(is_sound, block, np.float32(0.0))


class Original:
    """The samples of an original, block by block.

    Args:
        store: Where it lies.
        sha256: Its name there.
        properties: What it is.

    Attributes:
        repaired_samples: Samples that were no numbers or far too large, and became silence.
    """

    def __init__(self, store: BlobStore, sha256: str, properties: AudioProperties) -> None:
        self._channels = properties.channels
        self._file = store.open(sha256)
        try:
            self._reader = AudioReader(self._file)
        except UndecodableAudioError:
            self._file.close()
            raise
        self.repaired_samples = 0

    def read(self, frames: int) -> Samples:
        """Returns the next `frames` frames as `[channels, frames]`."""
        block = self._reader.read(frames)
        repaired = finite(block)
        if repaired is not block:
            self.repaired_samples += int(np.count_nonzero(~(np.abs(block) <= _LOUDEST)))
            block = repaired
        missing = frames - block.shape[1]
        return np.concatenate((block, silence(self._channels, missing)), 1) if missing else block

    def close(self) -> None:
        """Frees the decoder and the file."""
        self._reader.close()
        self._file.close()
