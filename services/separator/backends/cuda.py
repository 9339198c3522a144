"""PyTorch on an NVIDIA GPU: batches, reduced precision, copies beside the computation."""

from __future__ import annotations

import copy
from typing import Literal

import torch

from services.separator.backends.backend import DeviceMemoryError, SegmentBatch, StemBatch
from services.separator.errors import BackendUnavailableError
from services.separator.models import SeparationModel

Precision = Literal["fp32", "bf16"]

_AUTO_BATCH = 8


def cuda_precision() -> Precision:
    """Returns bf16 where the GPU computes with it natively (Ampere and later), else fp32."""
    return "bf16" if torch.cuda.get_device_capability()[0] >= 8 else "fp32"


class CudaBackend:
    """Runs a model on the first GPU that PyTorch sees.

    The networks are copied to the device once and stay there. A batch goes there from pinned
    memory and comes back into pinned memory.

    Args:
        model: The model; its own networks stay on the CPU.
        precision: bf16 runs under autocast, the Fourier transforms in fp32 all the same.
        max_batch: Most segments at once; 0 for what suits.

    Raises:
        BackendUnavailableError: there is no GPU.
    """

    name = "cuda"

    def __init__(self, model: SeparationModel, precision: Precision, max_batch: int = 0) -> None:
        if not torch.cuda.is_available():
            raise BackendUnavailableError("There is no NVIDIA GPU that PyTorch can use.")
        self.max_batch = max_batch or _AUTO_BATCH
        self._precision = precision
        self._device = torch.device("cuda")
        self._networks = [
            copy.deepcopy(member.network).to(self._device).eval() for member in model.members
        ]
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()  # the weights went there on another stream

    def run(self, member: int, batch: SegmentBatch) -> StemBatch:
        """Runs network `member`. Raises DeviceMemoryError."""
        try:
            return self._run(member, batch)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise DeviceMemoryError(str(error)) from error

    def _run(self, member: int, batch: SegmentBatch) -> StemBatch:
        autocast = torch.autocast("cuda", dtype=torch.bfloat16, enabled=self._precision == "bf16")
        with torch.inference_mode(), torch.cuda.stream(self._stream), autocast:
            mix = torch.from_numpy(batch).pin_memory().to(self._device, non_blocking=True)
            output = self._networks[member](mix).float()
            host = torch.empty(output.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(output, non_blocking=True)
            self._stream.synchronize()
        stems: StemBatch = host.numpy()
        return stems

    def close(self) -> None:
        """Frees the GPU's memory."""
        self._networks.clear()
        torch.cuda.empty_cache()
