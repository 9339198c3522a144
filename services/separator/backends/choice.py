"""Which backend computes a model here."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import structlog
import torch

from services.separator.backends.backend import Backend
from services.separator.backends.fingerprint import code_fingerprint
from services.separator.backends.parity import REQUIRED_DB, measure_parity
from services.separator.backends.torch_cpu import TorchCpuBackend
from services.separator.errors import BackendUnavailableError
from services.separator.models import SeparationModel

_log = structlog.get_logger("mixdown.separator.backends")

_Precision = TypeVar("_Precision", bound=str)
"""What a device computes with; each has "fp32", and "bf16", though perhaps slowly."""

Wanted = Literal["auto", "fp32", "bf16", "int8"]
"""What can be asked for."""


@dataclass(frozen=True)
class BackendChoice:
    """Picks a backend, and lets none compute that fails the parity check.

    Args:
        device: "auto", "cuda", "openvino" or "cpu".
        precision: "auto", "fp32", "bf16" or, on a CPU, "int8".
        threads: Threads that compute on a CPU.
        max_batch: Most segments at once on a GPU; 0 for what suits.
        record_runs: Whether a GPU records runs and plays them again.
        cache_folder: Where compiled models and the results of parity checks are kept.
    """

    device: Literal["auto", "cpu", "cuda", "openvino"]
    precision: Wanted
    threads: int
    max_batch: int
    record_runs: bool
    cache_folder: Path

    def choose(self, model: SeparationModel) -> Backend:
        """Returns the backend for a model.

        Raises:
            BackendUnavailableError: the device that was named cannot compute this model.
        """
        reference = TorchCpuBackend(model, self.threads)
        makers = {"cuda": self._make_cuda, "openvino": self._make_openvino}
        if self.device == "cpu":
            return reference
        if self.device != "auto":
            return makers[self.device](model, reference)
        for name, make in makers.items():
            try:
                return make(model, reference)
            except BackendUnavailableError as error:
                _log.info("backend not used", backend=name, model=model.name, why=error.message)
        return reference

    def _make_cuda(self, model: SeparationModel, reference: Backend) -> Backend:
        from services.separator.backends.cuda import CudaBackend, cuda_precision

        if not torch.cuda.is_available():
            raise BackendUnavailableError("There is no NVIDIA GPU that PyTorch can use.")
        if self.precision == "int8":
            raise BackendUnavailableError("The precision int8 is for CPUs.")
        device = torch.cuda.get_device_name()
        return self._first_exact(
            model,
            reference,
            [cuda_precision(torch.cuda.get_device_capability())],
            f"cuda {device} {torch.__version__}",
            lambda precision: CudaBackend(
                model, precision, self.max_batch, record=self.record_runs
            ),
        )

    def _make_openvino(self, model: SeparationModel, reference: Backend) -> Backend:
        try:
            from services.separator.backends.openvino import (
                OpenVinoBackend,
                device_name,
                precisions,
            )
        except ImportError as error:
            raise BackendUnavailableError("OpenVINO is not installed.") from error
        from services.separator.backends.quiet_openvino import openvino

        return self._first_exact(
            model,
            reference,
            precisions(),
            f"openvino {device_name()} {openvino.__version__}",
            lambda precision: OpenVinoBackend(model, self.cache_folder, self.threads, precision),
        )

    def _first_exact(
        self,
        model: SeparationModel,
        reference: Backend,
        native: Sequence[_Precision],
        device: str,
        make: Callable[[_Precision], Backend],
    ) -> Backend:
        """Returns the fastest precision that is exact enough.

        Args:
            model: The model.
            reference: What it is held to.
            native: The device's own precisions, the fastest first; after them comes fp32.
            device: All that its results depend on beside precision, model and our code.
            make: Makes the backend with a precision.
        """
        if self.precision == "auto":
            candidates = list(dict.fromkeys([*native, cast("_Precision", "fp32")]))
        else:
            candidates = [cast("_Precision", self.precision)]
        parity = 0.0
        for precision in candidates:
            backend = make(precision)
            key = f"{device} {precision} code {code_fingerprint()} {model.weights_sha256}"
            parity = self._parity(key, model, backend, reference)
            _log.info(
                "backend checked",
                backend=backend.name,
                model=model.name,
                precision=precision,
                parity_db=round(parity, 1),
                required_db=REQUIRED_DB,
            )
            if parity >= REQUIRED_DB:
                return backend
            backend.close()
        raise BackendUnavailableError(
            f"Its error is only {parity:.1f} dB below the mixture, {REQUIRED_DB:.0f} dB are asked.",
            metadata={"model": model.name},
        )

    def _parity(
        self, key: str, model: SeparationModel, backend: Backend, reference: Backend
    ) -> float:
        """Returns the parity measured now, or before on the same device with the same weights."""
        path = self.cache_folder / "parity.json"
        try:
            known: dict[str, float] = json.loads(path.read_text())
        except (OSError, ValueError):
            known = {}
        if key not in known:
            known[key] = measure_parity(model, backend, reference)
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent)
            with os.fdopen(handle, "w") as file:
                json.dump(known, file, indent=1)
            Path(name).replace(path)
        return known[key]
