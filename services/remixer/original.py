"""The original in the blob store: what it is, and its samples as a stream."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from services.remixer.effects.processor import silence
from services.runtime.audio_reader import AudioProperties, AudioReader, Samples, probe
from services.runtime.blobs import BlobStore
from services.runtime.errors import UndecodableAudioError

_MAX_CHANNELS = 2


def read_properties(store: BlobStore, sha256: str) -> AudioProperties:
    """Tells what the original is.

    The exact number of frames is only known once a file was decoded whole, so that this is done
    once for each original and written down beside it.

    Raises:
        BlobNotFoundError: it is not in the store.
        UndecodableAudioError: it is damaged, or has more than two channels.
    """
    key = f"properties/{sha256}"
    with store.open(sha256) as file:
        document = store.read_record(key)
        if document is not None:
            return AudioProperties(**json.loads(document))
        properties = probe(file)
    if properties.channels > _MAX_CHANNELS:
        raise UndecodableAudioError(
            f"The audio has {properties.channels} channels; one and two are supported.",
            metadata={"channels": str(properties.channels)},
        )
    store.write_record(key, json.dumps(asdict(properties), sort_keys=True).encode())
    return properties


class Original:
    """The samples of an original, block by block.

    Args:
        store: Where it lies.
        sha256: Its name there.
        properties: What it is.

    Attributes:
        repaired_samples: Samples that were no finite numbers, and became silence.
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
        finite = np.isfinite(block)
        if not finite.all():
            self.repaired_samples += int(block.size - np.count_nonzero(finite))
            block = np.where(finite, block, np.float32(0.0))
        missing = frames - block.shape[1]
        return np.concatenate((block, silence(self._channels, missing)), 1) if missing else block

    def close(self) -> None:
        """Frees the decoder and the file."""
        self._reader.close()
        self._file.close()
