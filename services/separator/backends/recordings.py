"""Runs of a network that were recorded once and are played again.

On a GPU, a network of many small kernels spends as long on being told each kernel as on computing
it. A recording (a CUDA graph) tells the device all of them at once, but holds for one shape only:
so batches are filled up to a few sizes, and each size is recorded when it is first needed.
`largest_rehearsed` needs them all at the start.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import torch
from torch.nn import functional

from services.separator.backends.backend import DeviceMemoryError, is_out_of_memory

_log = structlog.get_logger("mixdown.separator.recordings")

Run = Callable[[torch.Tensor], torch.Tensor]
"""Takes `[batch, channels, frames]`, gives `[batch, stems, channels, frames]`."""

Record = Callable[[int, torch.Tensor], Run]
"""Records network `member` on a batch of the shape of the one given."""


def recorded_size(segments: int) -> int:
    """Returns the size of batch that is recorded for so many segments: a power of two.

    >>> [recorded_size(segments) for segments in (1, 2, 3, 8, 9)]
    [1, 2, 4, 8, 16]
    """
    return 1 << max(0, segments - 1).bit_length()


def recordable_size(segments: int) -> int:
    """Returns the largest size of batch that is recorded and has at most so many segments.

    >>> [recordable_size(segments) for segments in (1, 2, 3, 12, 16)]
    [1, 2, 2, 8, 16]
    """
    return 1 << segments.bit_length() - 1


def largest_rehearsed(most: int, rehearse: Callable[[int], None], *, record: bool) -> int:
    """Returns the largest size of batch that goes through, `most` or a half, a quarter … of it.

    Every size below is rehearsed too where runs are recorded, so that no listener waits for it.
    From the largest to the smallest, so that the small ones find room in the memory of the large.

    Args:
        most: The size to begin with, a power of two.
        rehearse: Runs batches of a size. Raises DeviceMemoryError, and has freed what it took.
        record: Whether each size is recorded.

    Raises:
        DeviceMemoryError: not even one segment goes through.
    """
    while True:
        sizes = [most >> halvings for halvings in range(most.bit_length())]
        try:
            for size in sizes if record else sizes[:1]:
                rehearse(size)
        except DeviceMemoryError:
            if most == 1:
                raise
            most //= 2
        else:
            return most


class Recordings:
    """Runs networks by what was recorded of them, and records what is missing.

    Args:
        record: Makes a recording. Where it cannot (RuntimeError), that network is run plainly from
            then on; a device out of memory is not held against the network.
        plain: Runs network `member` without a recording.
    """

    def __init__(self, record: Record, plain: Callable[[int, torch.Tensor], torch.Tensor]) -> None:
        self._record = record
        self._plain = plain
        self._known: dict[tuple[int, int, int], Run] = {}
        self._refused: set[int] = set()

    @property
    def count(self) -> int:
        """How many were made."""
        return len(self._known)

    def run(self, member: int, batch: torch.Tensor) -> torch.Tensor:
        """Runs network `member`."""
        if member not in self._refused:
            size = recorded_size(len(batch))
            missing = size - len(batch)
            # Silence fills it up; what comes of that is thrown away.
            filled = functional.pad(batch, (0, 0, 0, 0, 0, missing)) if missing else batch
            recording = self._recording(member, filled)
            if recording is not None:
                return recording(filled)[: len(batch)]
        return self._plain(member, batch)

    def clear(self) -> None:
        """Forgets all."""
        self._known.clear()

    def _recording(self, member: int, batch: torch.Tensor) -> Run | None:
        key = (member, len(batch), batch.shape[-1])
        if key not in self._known:
            try:
                self._known[key] = self._record(member, batch)
            except RuntimeError as error:
                if is_out_of_memory(error):
                    raise
                _log.warning("run cannot be recorded", member=member, why=str(error))
                self._refused.add(member)
                return None
        return self._known[key]
