"""The interface of a backend, and what several of them need."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

SegmentBatch = npt.NDArray[np.float32]
"""`[batch, channels, frames]`, normalised."""

StemBatch = npt.NDArray[np.float32]
"""`[batch, stems, channels, frames]`."""


class DeviceMemoryError(Exception):
    """A batch did not fit into the device's memory; a smaller one may."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch says by an error that a device's memory, or pinned memory, ran out.

    Its allocator has an exception of its own; what fails within CUDA and its libraries comes as a
    plain RuntimeError ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED").

    >>> is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    True
    >>> is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    False
    """
    return "out of memory" in str(error) or "_ALLOC_FAILED" in str(error)


class Backend(Protocol):
    """Holds one model on a device and runs its networks.

    A backend may be called from two threads at once. One that computes a batch at a time has the
    other wait, and may copy its batch meanwhile.
    """

    name: str
    """As in `SeparationFinished.backend`."""

    max_batch: int
    """Most segments that pay at once."""

    is_reference: bool
    """Whether its stems are Demucs' own to the rounding, whatever that takes; others may be sparing
    where no stem's quality changes."""

    def run(self, member: int, batch: SegmentBatch) -> StemBatch:
        """Runs network `member` on segments of one length.

        Raises:
            DeviceMemoryError: the batch does not fit.
        """
        ...

    def close(self) -> None:
        """Frees what the backend holds on the device."""
        ...
