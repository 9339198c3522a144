"""The interface of a backend, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable
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
    plain RuntimeError ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED"). Where it ran out
    while a run was recorded, the error tells of the recording, and the one before it of the memory.

    >>> is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    True
    >>> is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    False
    """
    if "out of memory" in str(error) or "_ALLOC_FAILED" in str(error):
        return True
    before = error.__context__
    return isinstance(before, RuntimeError) and is_out_of_memory(before)


class DeadDeviceError(Exception):
    """The device computes nothing any more, whatever it is given: this process has lost it."""


def meaning_of(error: RuntimeError, check: Callable[[], None]) -> Exception:
    """Returns what an error of PyTorch on a device means for what is computed next.

    After some errors a GPU answers every call of the process with an error, until the process ends:
    an illegal access, memory beyond correction, a card that fell off its bus. There are many names
    for it, so the device is asked.

    Args:
        error: What was raised.
        check: Computes something small on the device. Raises RuntimeError where that fails.

    Returns:
        DeviceMemoryError where memory ran out, DeadDeviceError where the check fails too, else the
        error itself: it concerns what was computed, and nothing else.
    """
    if is_out_of_memory(error):
        return DeviceMemoryError(str(error))
    try:
        check()
    except RuntimeError as lasting:
        return error if is_out_of_memory(lasting) else DeadDeviceError(str(error))
    return error


class Backend(Protocol):
    """Holds one model on a device and runs its networks.

    A backend may be called from two threads at once. One with a single lane has the other wait, and
    may copy its batch meanwhile. The scheduler calls it from `depth` threads.
    """

    name: str
    """As in `SeparationFinished.backend`."""

    max_batch: int
    """Most segments of a batch that pay."""

    lanes: int
    """Batches that it computes side by side, each with its share of the device."""

    depth: int
    """Batches that it is given at once, each by a thread: one in every lane, and to a GPU one more,
    which is copied meanwhile."""

    is_reference: bool
    """Whether its stems are Demucs' own to the rounding, whatever that takes; others may be sparing
    where no stem's quality changes."""

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        """Runs network `member` on segments of one length.

        Args:
            member: Its number in the model.
            batch: The segments.
            undivided: The whole device computes this batch, not a lane: it is done sooner, and
                what is in the lanes is done later. The same segments may come out different in
                their last bits. So their place in the track decides it, never how busy the device
                is: a track must give the same stems each time.

        Raises:
            DeviceMemoryError: the batch does not fit.
            DeadDeviceError: neither this batch nor any other can be computed from now on.
        """
        ...

    def close(self) -> None:
        """Frees what the backend holds on the device."""
        ...


def ways(backend: Backend) -> tuple[bool, ...]:
    """Returns the values of `undivided` that make a difference for a backend."""
    return (False, True) if backend.lanes > 1 else (False,)
