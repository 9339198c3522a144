"""PyTorch on a CPU, in float32: the plain reference, which runs every model."""

from __future__ import annotations

import threading

import torch

from services.separator.backends.backend import DeviceMemoryError, SegmentBatch, StemBatch
from services.separator.models import SeparationModel


class TorchCpuBackend:
    """Runs a model with PyTorch on the CPU.

    Args:
        model: The model.
        threads: Threads that compute.
    """

    name = "torch-cpu"
    is_reference = True
    max_batch = 1  # a segment keeps every core busy; more at once only wait longer
    lanes = 1
    depth = 1

    def __init__(self, model: SeparationModel, threads: int) -> None:
        self._model = model
        self._one_at_a_time = threading.Lock()
        torch.set_num_threads(threads)

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        """Runs network `member`. Raises DeviceMemoryError."""
        del undivided  # all is
        try:
            with self._one_at_a_time, torch.inference_mode():
                output: StemBatch = (
                    self._model.members[member].network(torch.from_numpy(batch)).numpy()
                )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
                raise DeviceMemoryError(str(error)) from error
            raise
        return output

    def close(self) -> None:
        """Does nothing: the model belongs to the caller."""
