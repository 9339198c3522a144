"""Levels of tracks in the blob store, where every service finds them."""

from __future__ import annotations

import json
from dataclasses import asdict

from services.runtime.audio.levels import Levels
from services.runtime.blobs import BlobStore

VERSION = 1
"""Raised whenever the same track would give other levels than before."""


class LevelStore:
    """Finds and keeps levels of tracks in the blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def find(self, track_sha256: str, sample_rate_hz: int, channels: int) -> Levels | None:
        """Returns the levels of a track at a model's rate, where they are known."""
        document = self._blobs.read_record(_key(track_sha256, sample_rate_hz, channels))
        return None if document is None else Levels(**json.loads(document))

    def keep(self, track_sha256: str, sample_rate_hz: int, channels: int, levels: Levels) -> None:
        """Keeps the levels of a track. JSON holds every float64 exactly."""
        document = json.dumps(asdict(levels), sort_keys=True).encode()
        self._blobs.write_record(_key(track_sha256, sample_rate_hz, channels), document)


def _key(track_sha256: str, sample_rate_hz: int, channels: int) -> str:
    return f"levels/{track_sha256}/v{VERSION}-{sample_rate_hz}-{channels}"
