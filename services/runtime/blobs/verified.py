"""Reading a blob with an eye on its name: who reads it whole and in order learns of damage."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

from services.runtime.errors import BlobDamagedError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 1 << 16


def verified(file: io.RawIOBase, sha256: str, size_bytes: int) -> io.BufferedReader:
    """Returns a blob's file that raises BlobDamagedError where all of it was read and it differs.

    What is read out of order is not checked; going back and reading on checks the rest.
    """
    return io.BufferedReader(_VerifiedFile(file, sha256, size_bytes), _BUFFER_BYTES)


class _VerifiedFile(io.RawIOBase):
    def __init__(self, file: io.RawIOBase, sha256: str, size_bytes: int) -> None:
        self._file = file
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = self._file.seek(offset, whence)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        start, end = self._position, self._position + count
        if count == 0 and len(view) and start < self._size_bytes:
            raise self._damaged()  # shorter than it was
        if start <= self._hashed_bytes < end:
            self._hash.update(view[self._hashed_bytes - start : count])
            self._hashed_bytes = end
            if end == self._size_bytes and self._hash.hexdigest() != self._sha256:
                raise self._damaged()
        self._position = end
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _damaged(self) -> BlobDamagedError:
        return BlobDamagedError(
            f"The file {self._sha256} in the store is damaged.", metadata={"sha256": self._sha256}
        )
