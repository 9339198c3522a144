"""Stems that were made before, in the blob store.

A stem lies there as one blob: its samples as interleaved little-endian float32, and nothing else,
so that nothing can clip and every frame is found at its offset. A record under a key made of
everything that the samples depend on tells which blob it is. The record is written last, so a
half-written stem is never found; two replicas that compute the same write the same record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import BinaryIO, Self

import numpy as np

from services.runtime.blobs import BlobStore, BlobWriter

VERSION = 10
"""Raised whenever the same request would give other samples than before."""

SAMPLE_BYTES = 4


@dataclass(frozen=True)
class Recipe:
    """Everything that stems depend on.

    Args:
        track_sha256: The track.
        model: Name of the model.
        weights_sha256: Its weights.
        overlap: Overlap of segments.
        shifts: Number of random shifts.
    """

    track_sha256: str
    model: str
    weights_sha256: str
    overlap: float
    shifts: int

    def record_key(self, stem: str) -> str:
        """Returns the key of the record of one stem."""
        told = json.dumps({**asdict(self), "stem": stem, "version": VERSION}, sort_keys=True)
        return f"stems/{self.track_sha256}/{hashlib.sha256(told.encode()).hexdigest()}"


@dataclass(frozen=True)
class StoredStem:
    """A stem in the store.

    Args:
        blob_sha256: Its samples.
        frames: Its length.
        sample_rate_hz: Its rate.
        channels: Its channels.
        peak: Highest absolute sample, full scale 1.0.
        backend: What computed it.
    """

    blob_sha256: str
    frames: int
    sample_rate_hz: int
    channels: int
    peak: float
    backend: str

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return self.channels * SAMPLE_BYTES


class StemStore:
    """Finds, reads and keeps stems."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def find(self, recipe: Recipe, stems: Collection[str]) -> dict[str, StoredStem]:
        """Returns those of `stems` that are there."""
        found = {}
        for stem in stems:
            document = self._blobs.read_record(recipe.record_key(stem))
            if document is None:
                continue
            stored = StoredStem(**json.loads(document))
            blob = self._blobs.find(stored.blob_sha256)
            if blob is not None and blob.size_bytes == stored.frames * stored.frame_bytes:
                found[stem] = stored
        return found

    def open(self, stem: StoredStem) -> StoredStemReader:
        """Opens a stem for reading. Raises BlobNotFoundError."""
        return StoredStemReader(self._blobs.open(stem.blob_sha256), stem.frame_bytes)

    def write(self) -> StemWriter:
        """Begins a new stem."""
        return StemWriter(self._blobs.create())

    def keep(self, recipe: Recipe, stem: str, stored: StoredStem) -> None:
        """Makes a stem findable whose blob is in the store."""
        document = json.dumps(asdict(stored), sort_keys=True).encode()
        self._blobs.write_record(recipe.record_key(stem), document)


class StoredStemReader:
    """Reads a stem at any offset."""

    def __init__(self, file: BinaryIO, frame_bytes: int) -> None:
        self._file = file
        self._frame_bytes = frame_bytes

    def read(self, offset_frames: int, frames: int) -> bytes:
        """Returns `frames` frames from `offset_frames`, interleaved float32."""
        self._file.seek(offset_frames * self._frame_bytes)
        return self._file.read(frames * self._frame_bytes)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class StemWriter:
    """Writes one stem into the store; discards it where it is not committed."""

    def __init__(self, blob: BlobWriter) -> None:
        self._blob = blob
        self.peak = 0.0

    def write(self, interleaved: bytes) -> None:
        """Appends frames."""
        self._blob.write(interleaved)
        self.peak = max(self.peak, peak_of(interleaved))

    def commit(self) -> str:
        """Makes the blob visible and returns its SHA-256."""
        return self._blob.commit().sha256

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        self._blob.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def peak_of(interleaved: bytes) -> float:
    """Returns the highest absolute sample of interleaved float32, 0 of none."""
    samples = np.frombuffer(interleaved, "<f4")
    return float(max(samples.max(), -samples.min())) if samples.size else 0.0
