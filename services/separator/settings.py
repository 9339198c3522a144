"""Settings of the separator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field

from services.runtime.settings import BlobSettings


class SeparatorSettings(BlobSettings):
    """Settings of the separator, read once from the environment (`MIXDOWN_DEVICE`, …)."""

    default_model: str = Field(
        default="htdemucs", description="The model that is used where a request names none."
    )
    device: Literal["auto", "cpu", "cuda", "openvino"] = Field(
        default="auto",
        description=(
            "What computes: an NVIDIA GPU, OpenVINO on a CPU, or PyTorch on a CPU. `auto` takes "
            "the first of these that is there and passes the parity check."
        ),
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        default="auto",
        description=(
            "Arithmetic of the `cuda` and `openvino` devices. `int8` is for `openvino` alone: its "
            "linear layers and attention's queries and keys are multiplied as integers, each "
            "token at a scale of its own, the rest is as without. `auto` takes int8 on CPUs with "
            "AVX-512 VNNI and without matrix units, else the fastest of 16 bits that the device "
            "has, and fp32 where that fails the parity check. PyTorch on a CPU always computes in "
            "fp32."
        ),
    )
    threads: int = Field(
        default=0,
        ge=0,
        description=(
            "Threads that compute on a CPU; 0 for one per available core. OpenVINO has two segments"
            " computed side by side, with half of them each."
        ),
    )
    max_batch: int = Field(
        default=0,
        ge=0,
        description="Most segments computed at once, on a GPU rounded down to a power of two;"
        " 0 for what suits the device.",
    )
    record_runs: bool = Field(
        default=True,
        description=(
            "Record a network's run on a GPU for each size of batch, when its model is loaded, and "
            "play it again (CUDA graphs), which spares the host telling the GPU each step."
        ),
    )
    device_patience_seconds: float = Field(
        default=300.0,
        gt=0,
        description=(
            "A batch that takes longer has hung, and the device with it: as after any other failure"
            " of a device its callers get DEVICE_LOST, and the process ends with an error. Far more"
            " than the slowest CPU needs; where a GPU computes, a minute is much."
        ),
    )
    running_tracks: int = Field(
        default=4,
        ge=1,
        description=(
            "Tracks that are computed at the same time, by segments: those whose listeners need "
            "them soon first, else in turn. As many with listeners are computed beside tracks that "
            "nobody listens to, so at most twice as many in all."
        ),
    )
    queue_limit: int = Field(
        default=32,
        ge=0,
        description=(
            "Tracks that may wait; further ones get QUEUE_FULL. Those that nobody listens to wait "
            "behind, and take no place from, those with listeners."
        ),
    )
    overlap: float = Field(
        default=0.25,
        ge=0.0,
        lt=1.0,
        description="Overlap of neighbouring segments, as a fraction of a segment.",
    )
    models_in_memory: int = Field(
        default=2, ge=1, description="Models kept in memory; the one unused for longest goes."
    )
    preload: bool = Field(
        default=True,
        description=(
            "Load the default model at the start, and say SERVING only when it has computed. "
            "Otherwise it is loaded at the first request, and SERVING says nothing of it."
        ),
    )
    model_folder: Path | None = Field(
        default=None,
        description=(
            "Folder with models in Demucs' `--repo` format (`<signature>-<checksum>.th` and "
            "`<name>.yaml`), or as `.safetensors`. Asked first; what is put there later is found "
            "without a restart. Its `.th` files are pickles: loading one runs what is in it."
        ),
    )
    cache_folder: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("mixdown"),
        description="Where fetched weights, compiled models and stems under way lie.",
    )

    @property
    def held_calls(self) -> int:
        """Calls that one separator computes or lets wait at most, with listeners and without."""
        return 2 * (self.running_tracks + self.queue_limit)
