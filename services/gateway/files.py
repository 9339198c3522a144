"""Files of the blob store as streams of small chunks, read off the event loop."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any

from services.gateway.errors import InvalidOffsetError
from services.runtime.blobs import BlobStore

CHUNK_BYTES = 256 * 1024
"""The most bytes in one message."""

_CHUNK_OF_MANY_BYTES = 64 * 1024
_MANY_READERS = 16
"""From so many readers on each gets smaller chunks."""

_CHUNK_OF_THE_SLOW_BYTES = 16 * 1024
_SLOW_SECONDS = 0.1
"""Who has not taken a chunk after this is slow."""

_AT_ONCE = 8
"""Quick readers that hold a chunk at a time."""


def check_offset(offset_bytes: int, size_bytes: int) -> None:
    """Raises InvalidOffsetError for an offset outside of 0 to `size_bytes`."""
    if not 0 <= offset_bytes <= size_bytes:
        raise InvalidOffsetError(
            f"The file has {size_bytes} bytes; {offset_bytes} is no offset in it.",
            metadata={"size_bytes": str(size_bytes)},
        )


class Files:
    """Reads files of the store for many readers, with little memory for each.

    A chunk is held a few times on its way (file, message, transport) until its reader has taken it.
    So those who are quick take turns, a few at a time; one who is slow gets small chunks, for as
    long as it takes, and makes nobody wait.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._readers = 0
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def read(self, sha256: str, offset_bytes: int) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of a file from an offset on, at most `CHUNK_BYTES` at once.

        Raises:
            BlobNotFoundError: there is no such file.
        """
        file = await asyncio.to_thread(self._open, sha256, offset_bytes)
        self._readers += 1
        is_slow = False
        try:
            while True:
                async with _Turn(None if is_slow else self._free):
                    data = await asyncio.to_thread(_read, file, self._chunk_bytes(is_slow=is_slow))
                    if not data:
                        return
                    handed_out = time.monotonic()
                    yield data
                is_slow = time.monotonic() - handed_out > _SLOW_SECONDS
        finally:
            self._readers -= 1
            file.close()

    async def has(self, sha256: str) -> bool:
        """Tells whether a file is in the store."""
        return await asyncio.to_thread(self._blobs.find, sha256) is not None

    def _open(self, sha256: str, offset_bytes: int) -> Any:
        file = self._blobs.open(sha256)
        file.seek(offset_bytes)
        # Its buffer is no larger than our chunks, and would only take memory beside them.
        return file.detach() if isinstance(file, io.BufferedReader) else file

    def _chunk_bytes(self, *, is_slow: bool) -> int:
        if is_slow:
            return _CHUNK_OF_THE_SLOW_BYTES
        return CHUNK_BYTES if self._readers < _MANY_READERS else _CHUNK_OF_MANY_BYTES


def _read(file: Any, size_bytes: int) -> bytes:
    """Reads so many bytes, less only at the end of the file: what is raw may give a part."""
    data: bytes = file.read(size_bytes)
    while data and len(data) < size_bytes and (more := file.read(size_bytes - len(data))):
        data += more
    return data


class _Turn:
    """One reader's turn: it ends when its chunk is taken, or when that takes too long.

    Args:
        free: Turns that are free; None: this reader needs none.
    """

    def __init__(self, free: asyncio.Semaphore | None) -> None:
        self._free = free
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        if self._free is not None:
            await self._free.acquire()
            self._timer = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._end)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end()

    def _end(self) -> None:
        if self._free is not None:
            self._free.release()
            self._free = None
