"""Files of the blob store as streams of small chunks, read off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.gateway.errors import InvalidOffsetError
from services.runtime.blobs import BlobStore

CHUNK_BYTES = 256 * 1024
"""The most bytes in one message."""

_SMALLEST_CHUNK_BYTES = 64 * 1024
_SHARED_BYTES = 16 * 1024 * 1024
"""What the chunks of all readers may take together, before the smallest chunk is reached: each is
held a few times on its way (file, message, transport), for as long as its reader is slow."""


class _Readers:
    """Counts who reads at this moment, in this process."""

    def __init__(self) -> None:
        self.count = 0

    def chunk_bytes(self) -> int:
        """Returns how much one of them takes at once: the more they are, the less."""
        share = _SHARED_BYTES // max(1, self.count)
        return max(_SMALLEST_CHUNK_BYTES, min(CHUNK_BYTES, share))


_readers = _Readers()


def check_offset(offset_bytes: int, size_bytes: int) -> None:
    """Raises InvalidOffsetError for an offset outside of 0 to `size_bytes`."""
    if not 0 <= offset_bytes <= size_bytes:
        raise InvalidOffsetError(
            f"The file has {size_bytes} bytes; {offset_bytes} is no offset in it.",
            metadata={"size_bytes": str(size_bytes)},
        )


async def read_blob(blobs: BlobStore, sha256: str, offset_bytes: int) -> AsyncIterator[bytes]:
    """Yields the bytes of a blob from an offset on, at most `CHUNK_BYTES` at once.

    Raises:
        BlobNotFoundError: there is no such blob.
    """
    file = await asyncio.to_thread(blobs.open, sha256)
    _readers.count += 1
    try:
        await asyncio.to_thread(file.seek, offset_bytes)
        while data := await asyncio.to_thread(file.read, _readers.chunk_bytes()):
            yield data
    finally:
        _readers.count -= 1
        file.close()
