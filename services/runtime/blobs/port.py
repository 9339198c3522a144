"""What a blob store does.

A blob is named by the SHA-256 of its bytes; it appears at once and whole, or not at all. Beside
the blobs lie *records*: small JSON documents under a key that says what was asked for ("the
vocals of this track by this model"), so that any replica finds work that was done before. And
*parts*: the bytes of uploads on their way.

Calls block; servers make them in threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import BinaryIO, Protocol, Self


@dataclass(frozen=True)
class Blob:
    """A file in the store: SHA-256 of its bytes (64 lower-case hexadecimal digits) and size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ListedBlob:
    """A blob in a listing, and when it was last written."""

    blob: Blob
    write_time: datetime


class BlobWriter(Protocol):
    """Writes one blob. As a context manager it discards what was not committed."""

    def write(self, data: bytes) -> int:
        """Appends bytes and returns their number."""
        ...

    def commit(self) -> Blob:
        """Makes the blob visible, durably, and returns its name."""
        ...

    def discard(self) -> None:
        """Forgets what was written. Does nothing after `commit`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class BlobStore(Protocol):
    """Where blobs, records and parts lie."""

    def create(self) -> BlobWriter:
        """Begins a new blob."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Opens a blob for reading and seeking.

        Whoever reads all of it in order gets BlobDamagedError where it is not what its name says.

        Raises:
            BlobNotFoundError: it is not there.
        """
        ...

    def find(self, sha256: str) -> Blob | None:
        """Returns the blob where it exists."""
        ...

    def delete(self, sha256: str) -> None:
        """Deletes a blob; deleting what is not there does nothing."""
        ...

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yields all blobs, in no order; what comes or goes meanwhile may be among them or not."""
        ...

    def presign(self, sha256: str, lifetime: timedelta) -> str | None:
        """Returns a URL from which a blob can be read without us, for as long as `lifetime`.

        None where the store cannot do that. Whether the blob exists is not checked.
        """
        ...

    def write_record(self, key: str, document: bytes) -> None:
        """Stores a record, replacing an older one. Keys are words of [a-z0-9._-] joined by '/'."""
        ...

    def read_record(self, key: str) -> bytes | None:
        """Returns a record, or None."""
        ...

    def delete_record(self, key: str) -> None:
        """Deletes a record; deleting what is not there does nothing."""
        ...

    def list_records(self, folder: str = "") -> Iterator[str]:
        """Yields the keys of the records below a folder: those that begin with "folder/".

        Without a folder, of all records.
        """
        ...

    def append_part(self, key: str, offset_bytes: int, data: bytes) -> bool:
        """Appends to the parts under `key` where `offset_bytes` is the committed size.

        Returns whether it was: of many who append at the same offset, one gets True; what the
        others brought is not written.
        """
        ...

    def parts_size(self, key: str) -> int:
        """Returns the committed size of the parts under `key`; 0 where there are none."""
        ...

    def read_parts(self, key: str) -> Iterator[bytes]:
        """Yields the bytes of the parts under `key`, in order."""
        ...

    def delete_parts(self, key: str) -> None:
        """Deletes the parts under `key`; deleting what is not there does nothing."""
        ...
