"""What a process does with memory that it has freed.

A message of audio takes half a megabyte a few times on its way through a process: as what was
received, as a field, as an event, as what is sent. By itself the C library gives such a block back
to the system as soon as it is free, and the next one is got anew, page by page. That took ten times
as long as all copying, and a tenth of the CPU seconds of a render.
"""

from __future__ import annotations

import ctypes
import os

MAPPED_FROM_BYTES = 2 << 20
"""Larger blocks are got from the system and given back to it one by one, as before."""

KEPT_BYTES = 16 << 20
"""The most that is kept at the end of an arena; glibc has a few of them, as threads need them."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Of `malloc.h`; they go together, because to set one ends what glibc does with the other."""

_SAID_BY_OPERATORS = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Keeps what is freed, within bounds, for what comes next.

    Returns:
        Whether it does: not with another C library than glibc, nor where the environment says what
        this one is to do.
    """
    if any(name in os.environ for name in _SAID_BY_OPERATORS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    )
