"""The original in the blob store: what it is, and its samples as a stream."""

from __future__ import annotations

import numpy as np

from services.remixer.effects.processor import silence
from services.runtime.audio.finite import LOUDEST, finite
from services.runtime.audio.measured import Measured, measure
from services.runtime.audio.measured_store import MeasuredStore
from services.runtime.audio.reader import AudioProperties, AudioReader, Samples
from services.runtime.blobs import BlobStore
from services.runtime.errors import UndecodableAudioError


def read_measured(store: BlobStore, sha256: str) -> Measured:
    """Tells what the original is and how loud.

    Both are only known once a file was decoded whole. The check of its upload did that and kept
    them; where it did not, this is done now, once, and kept.

    Raises:
        BlobNotFoundError: it is not in the store.
        UndecodableAudioError: it is damaged, or has more than two channels.
    """
    records = MeasuredStore(store)
    with store.open(sha256) as file:
        known = records.find(sha256)
        if known is not None:
            return known
        measured = measure(file)
    records.keep(sha256, measured)
    return measured


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
            self.repaired_samples += int(np.count_nonzero(~(np.abs(block) <= LOUDEST)))
            block = repaired
        missing = frames - block.shape[1]
        return np.concatenate((block, silence(self._channels, missing)), 1) if missing else block

    def close(self) -> None:
        """Frees the decoder and the file."""
        self._reader.close()
        self._file.close()
