"""Where stems under way lie until they are in the store.

A separation writes here as fast as the device computes, and each of its readers reads at its own
pace: a slow one holds up nobody. The files have no name in the file system, so that nothing is
left of them whatever happens.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from pathlib import Path


class Spool:
    """Growing files of interleaved frames, one for each stem.

    Args:
        folder: Where they lie; made where it is missing.
        stems: Names of the stems.
        frame_bytes: Bytes of one frame.
    """

    def __init__(self, folder: Path, stems: Collection[str], frame_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._frame_bytes = frame_bytes
        # Kept open until `close`, which the last reader calls.
        self._files = {
            stem: tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            for stem in stems
        }

    def append(self, stem: str, interleaved: bytes) -> None:
        """Appends frames to a stem."""
        view = memoryview(interleaved)
        while view:
            view = view[self._files[stem].write(view) :]

    def read(self, stem: str, offset_frames: int, frames: int) -> bytes:
        """Returns frames of a stem that were appended before."""
        wanted = frames * self._frame_bytes
        position = offset_frames * self._frame_bytes
        parts = []
        while wanted > 0 and (data := os.pread(self._files[stem].fileno(), wanted, position)):
            parts.append(data)
            wanted -= len(data)
            position += len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Frees the disk."""
        for file in self._files.values():
            file.close()
