"""An object of S3 as a file: read by ranges, ahead of whoever reads in order."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FIRST_BYTES = 256 << 10
_LAST_BYTES = 8 << 20

Fetch = Callable[[int, int], bytes]
"""Returns the bytes of a range: its start and its length."""


class S3File(io.RawIOBase):
    """A file that is fetched window by window.

    Whoever reads on gets windows that double, from 256 KiB to 8 MiB: few requests for a whole file;
    whoever jumps about gets small ones.
    """

    def __init__(self, fetch: Fetch, size_bytes: int) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes
        self._position = 0
        self._window = b""
        self._window_start = 0
        self._ahead_bytes = _FIRST_BYTES

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Goes to a position; nothing is fetched yet."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position: {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Reads what the window holds, or the next one. Returns 0 at the end."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._size_bytes or not len(view):
            return 0
        offset = self._position - self._window_start
        if not 0 <= offset < len(self._window):
            self._fetch_window(len(view))
            offset = 0
        piece = self._window[offset : offset + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _fetch_window(self, wanted_bytes: int) -> None:
        reads_on = self._position == self._window_start + len(self._window)
        self._ahead_bytes = min(2 * self._ahead_bytes, _LAST_BYTES) if reads_on else _FIRST_BYTES
        length = min(max(wanted_bytes, self._ahead_bytes), self._size_bytes - self._position)
        self._window = self._fetch(self._position, min(length, _LAST_BYTES))
        self._window_start = self._position
