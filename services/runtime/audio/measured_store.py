"""What was measured of originals, in the blob store, where every service finds it.

The check of an upload decodes all of a file anyway, measures it by the way and keeps that here, so
that the first turn over an hour begins as soon as the first over a minute. Who finds nothing here
(for a track of an older version) measures and keeps it.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from services.runtime.audio.loudness import Loudness
from services.runtime.audio.measured import Measured
from services.runtime.audio.reader import AudioProperties
from services.runtime.blobs import BlobStore

VERSION = 1
"""Raised whenever the same original would be measured otherwise than before."""


class MeasuredStore:
    """Finds and keeps what was measured of originals."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def find(self, sha256: str) -> Measured | None:
        """Returns what an original is and how loud, where that is known."""
        document = self._blobs.read_record(_key(sha256))
        if document is None:
            return None
        values = json.loads(document)
        return Measured(AudioProperties(**values["properties"]), Loudness(**values["loudness"]))

    def keep(self, sha256: str, measured: Measured) -> None:
        """Keeps what was measured. JSON holds every float64 exactly."""
        document = json.dumps(asdict(measured), sort_keys=True).encode()
        self._blobs.write_record(_key(sha256), document)


def _key(sha256: str) -> str:
    return f"originals/{sha256}/v{VERSION}"
