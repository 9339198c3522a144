"""A blob store in memory, for tests of what uses one. Gone with its process."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import BinaryIO, Self

from services.runtime.blobs.naming import blob_missing, blob_path, check_key
from services.runtime.blobs.port import Blob, ListedBlob

_PIECE_BYTES = 1 << 20


@dataclass
class _Contents:
    blobs: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, bytearray] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryBlobStore:
    """A store in memory. Safe for many threads."""

    def __init__(self) -> None:
        self._contents = _Contents()

    def create(self) -> MemoryBlobWriter:
        """Begins a new blob."""
        return MemoryBlobWriter(self._contents)

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading and seeking. Raises BlobNotFoundError."""
        blob_path(sha256)
        try:
            return io.BytesIO(self._contents.blobs[sha256][0])
        except KeyError:
            raise blob_missing(sha256) from None

    def find(self, sha256: str) -> Blob | None:
        """Returns the blob where it exists."""
        found = self._contents.blobs.get(sha256)
        return found and Blob(sha256, len(found[0]))

    def delete(self, sha256: str) -> None:
        """Deletes a blob; deleting what is not there does nothing."""
        self._contents.blobs.pop(sha256, None)

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yields all blobs."""
        for sha256, (data, time) in sorted(self._contents.blobs.items()):
            yield ListedBlob(Blob(sha256, len(data)), time)

    def presign(self, sha256: str, lifetime: timedelta) -> str | None:
        """Returns None: nobody else can read this memory."""
        return None

    def write_record(self, key: str, document: bytes) -> None:
        """Stores a record, replacing an older one."""
        self._contents.records[check_key(key)] = bytes(document)

    def read_record(self, key: str) -> bytes | None:
        """Returns a record, or None."""
        return self._contents.records.get(check_key(key))

    def delete_record(self, key: str) -> None:
        """Deletes a record; deleting what is not there does nothing."""
        self._contents.records.pop(check_key(key), None)

    def list_records(self, folder: str = "") -> Iterator[str]:
        """Yields the keys of the records below `folder`, or of all."""
        below = f"{check_key(folder)}/" if folder else ""
        yield from sorted(key for key in self._contents.records if key.startswith(below))

    def append_part(self, key: str, offset_bytes: int, data: bytes) -> bool:
        """Appends to the parts under `key` where `offset_bytes` is the committed size."""
        check_key(key)
        with self._contents.lock:
            parts = self._contents.parts.get(key, bytearray())
            if len(parts) != offset_bytes:
                return False
            self._contents.parts[key] = parts + data
            return True

    def parts_size(self, key: str) -> int:
        """Returns the committed size of the parts under `key`; 0 where there are none."""
        return len(self._contents.parts.get(check_key(key), b""))

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Yields the bytes of the parts under `key`, in order."""
        parts = bytes(self._contents.parts.get(check_key(key), b""))
        for start in range(0, len(parts), _PIECE_BYTES):
            yield parts[start : start + _PIECE_BYTES]

    def delete_parts(self, key: str) -> None:
        """Deletes the parts under `key`; deleting what is not there does nothing."""
        self._contents.parts.pop(check_key(key), None)


class MemoryBlobWriter:
    """Writes one blob of a MemoryBlobStore."""

    def __init__(self, contents: _Contents) -> None:
        self._contents = contents
        self._data = bytearray()
        self._ended = False

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        self._data += data
        return len(data)

    def commit(self) -> Blob:
        """Makes the blob visible and returns its name."""
        self._ended = True
        data = bytes(self._data)
        sha256 = hashlib.sha256(data).hexdigest()
        self._contents.blobs[sha256] = (data, datetime.now(UTC))
        return Blob(sha256, len(data))

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        if not self._ended:
            self._data.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()
