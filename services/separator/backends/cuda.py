"""PyTorch on an NVIDIA GPU: batches, reduced precision, recorded runs, copies beside computing.

Three streams: segments come in on one, are computed on the second and leave on the third. The
scheduler hands over a second batch while the first is computed, each in a thread of its own; so a
batch's copies go on while the other is computed, and the GPU need not wait for the host.

A thread holds on to its batch until the result has left the GPU. So no memory of it is given to
anything else before, though three streams work on it, and the allocator need not be told of them.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import Any, Literal

import numpy as np
import structlog
import torch

from services.separator.backends.backend import (
    DeviceMemoryError,
    SegmentBatch,
    StemBatch,
    is_out_of_memory,
    meaning_of,
)
from services.separator.backends.channels_last import ChannelsLastCore, can_lie_channels_last
from services.separator.backends.parity import parity_probe
from services.separator.backends.recordings import (
    Recordings,
    Run,
    largest_rehearsed,
    recordable_size,
)
from services.separator.backends.spectral_core import core_input, join_branches
from services.separator.errors import BackendUnavailableError
from services.separator.models import Member, SeparationModel

_log = structlog.get_logger("mixdown.separator.cuda")

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

MOST_SEGMENTS = 16
"""The largest batch that is chosen by itself; larger ones make others wait and gain little."""

_SPARE = 0.8  # of the free memory: recordings and the allocator's rounding want the rest
_WARM_UP_RUNS = 3

_one_at_a_time = threading.Lock()
"""Held while a batch is computed or a run recorded: a process may record one run at a time."""


def cuda_precision(capability: tuple[int, int]) -> Precision:
    """Returns what is fast on a GPU's matrix units, and the most exact of that.

    Both formats of 16 bits are as fast. htdemucs in fp16 differs by 57 dB below the mixture from
    fp32, in bf16 by 42; its values reach 3000 in music, where fp16 ends at 65504.

    Args:
        capability: The GPU's, as `torch.cuda.get_device_capability` tells it.

    >>> [cuda_precision(capability) for capability in ((6, 1), (7, 5), (8, 0), (9, 0))]
    ['fp32', 'fp16', 'fp16', 'fp16']
    """
    return "fp16" if capability >= (7, 0) else "fp32"  # Pascal and older: no matrix units


def roomier_precision(capability: tuple[int, int]) -> Precision:
    """Returns what to compute in where fp16 is too small for a network's values.

    >>> [roomier_precision(capability) for capability in ((7, 5), (8, 0))]
    ['fp32', 'bf16']
    """
    return "bf16" if capability >= (8, 0) else "fp32"  # before Ampere it is emulated, slowly


def fitting_batch(free_bytes: int, segment_bytes: int) -> int:
    """Returns how many segments at once suit a device: a power of two, 1 to `MOST_SEGMENTS`.

    Args:
        free_bytes: Memory that is left beside the networks.
        segment_bytes: What one more segment of a batch takes.

    >>> fitting_batch(free_bytes=10_000, segment_bytes=1_500)
    4
    """
    fitting = int(_SPARE * free_bytes / max(1, segment_bytes))
    return recordable_size(max(1, min(MOST_SEGMENTS, fitting)))


class CudaBackend:
    """Runs a model on the first GPU that PyTorch sees.

    The networks are copied to the device once and stay there. May be called from two threads.

    Args:
        model: The model; its own networks stay on the CPU.
        precision: bf16 and fp16 run under autocast, the Fourier transforms in fp32 all the same.
            What gets too large for fp16 is computed again in fp32; a model for which music does
            is computed in bf16 or fp32 altogether.
        max_batch: Most segments at once, rounded down to a power of two, as batches are recorded;
            0 for what fits into the device's memory. Fewer where these do not fit.
        record: Whether to record runs of networks whose segments have one length: at once, for
            every size of batch.

    Raises:
        BackendUnavailableError: there is no GPU that PyTorch supports, or the model does not fit
            into its memory.
        DeadDeviceError: the GPU has failed.
    """

    name = "cuda"
    is_reference = False
    lanes = 1
    depth = 2  # it has its next batch before it tells of the last one

    def __init__(
        self,
        model: SeparationModel,
        precision: Precision,
        max_batch: int = 0,
        *,
        record: bool = True,
    ) -> None:
        if not torch.cuda.is_available():
            raise BackendUnavailableError("There is no NVIDIA GPU that PyTorch can use.")
        self._precision = precision
        self._overflows = 0
        self._device = torch.device("cuda")
        self._networks: list[Run] = []
        self._recordable = [record and _lies_channels_last(member) for member in model.members]
        streams: Any = torch.cuda.Stream
        self._coming, self._computing, self._leaving = streams(), streams(), streams()
        self._pool = torch.cuda.graph_pool_handle()
        self._recordings = Recordings(self._record, self._plain)
        try:
            self._check()
            self._networks += [_network_on(self._device, member) for member in model.members]
            torch.cuda.synchronize()  # the weights went there on another stream
            self.max_batch = recordable_size(max_batch or self._measured_batch(model))
            self._rehearse_all(model, record=record)
            if self._is_too_large_for_fp16(model):
                self._precision = roomier_precision(torch.cuda.get_device_capability())
                _log.warning("fp16 is too small", model=model.name, instead=self._precision)
                self._free()
                self._rehearse_all(model, record=record)
        except DeviceMemoryError as error:
            self.close()
            raise _too_large(model) from error
        except RuntimeError as error:
            if "no kernel image" in str(error):
                raise BackendUnavailableError("PyTorch does not support this GPU.") from error
            meaning = meaning_of(error, self._check)
            self.close()
            if isinstance(meaning, DeviceMemoryError):
                raise _too_large(model) from error
            if meaning is error:
                raise
            raise meaning from error

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        """Runs network `member`. Raises DeviceMemoryError and DeadDeviceError."""
        del undivided  # all are
        try:
            with torch.inference_mode():
                return self._run(member, batch)
        except RuntimeError as error:
            meaning = meaning_of(error, self._check)
            if meaning is error:
                raise
        # Here and not above: as long as the error is handled, it holds what the network had made.
        if isinstance(meaning, DeviceMemoryError):
            self._free()
        raise meaning

    def close(self) -> None:
        """Frees the GPU's memory."""
        with contextlib.suppress(RuntimeError):  # a GPU that has failed has nothing to be freed
            self._free()
        self._networks.clear()
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()

    def _free(self) -> None:
        """Drops all recordings; those that are needed are made again."""
        with _one_at_a_time:
            torch.cuda.synchronize()
            self._recordings.clear()
            self._pool = torch.cuda.graph_pool_handle()  # the old one ends with its last recording
            torch.cuda.empty_cache()

    def _check(self) -> None:
        torch.cuda.synchronize()
        torch.ones(1, device=self._device).cpu()

    def _run(self, member: int, batch: SegmentBatch) -> StemBatch:
        with torch.cuda.stream(self._coming):
            mix = torch.from_numpy(batch).pin_memory().to(self._device, non_blocking=True)
            arrived = self._coming.record_event()
        with _one_at_a_time, torch.cuda.stream(self._computing):
            self._computing.wait_event(arrived)
            output = self._compute(member, mix)
            is_sound = torch.isfinite(output).all() if self._precision == "fp16" else None
            computed = self._computing.record_event()
        stems = self._fetched(output, computed)
        if is_sound is None or bool(is_sound):  # it has been computed: nothing is waited for
            return stems
        self._overflows += 1
        _log.info("too large for fp16: computed again in fp32", member=member)
        with _one_at_a_time, torch.cuda.stream(self._computing):
            output = self._networks[member](mix).float()
            computed = self._computing.record_event()
        return self._fetched(output, computed)

    def _fetched(self, output: torch.Tensor, computed: Any) -> StemBatch:
        """Returns on the host what was computed, once it is there."""
        event: Any = torch.cuda.Event
        left = event(blocking=True)  # others need the core that would wait in a loop
        with torch.cuda.stream(self._leaving):
            self._leaving.wait_event(computed)
            host = torch.empty(output.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(output, non_blocking=True)
            left.record(self._leaving)
        left.synchronize()
        stems: StemBatch = host.numpy()
        return stems

    def _compute(self, member: int, mix: torch.Tensor) -> torch.Tensor:
        if self._recordable[member]:
            return self._recordings.run(member, mix)
        return self._plain(member, mix)

    def _plain(self, member: int, mix: torch.Tensor) -> torch.Tensor:
        # Without its cache: what that keeps of one recording would be freed under the next.
        autocast = torch.autocast(
            "cuda",
            _DTYPES.get(self._precision),
            enabled=self._precision in _DTYPES,
            cache_enabled=False,
        )
        with autocast:
            output: torch.Tensor = self._networks[member](mix).float()
        return output

    def _rehearse_all(self, model: SeparationModel, *, record: bool) -> None:
        self.max_batch = largest_rehearsed(
            self.max_batch, lambda segments: self._rehearse(model, segments), record=record
        )

    def _is_too_large_for_fp16(self, model: SeparationModel) -> bool:
        before = self._overflows
        for number in range(len(model.members)):
            self.run(number, parity_probe(model, number))
        return self._overflows > before

    def _rehearse(self, model: SeparationModel, segments: int) -> None:
        """Runs every network on so many segments, by the way that all will go.

        What it takes besides the network's own memory is there then: recordings, pinned memory.
        """
        for number, member in enumerate(model.members):
            frames = member.input_frames(member.segment_frames)
            self.run(number, np.zeros((segments, model.channels, frames), np.float32))

    def _record(self, member: int, batch: torch.Tensor) -> Run:
        given = batch.clone()
        for _ in range(_WARM_UP_RUNS):  # plans of transforms and choices of kernels come first
            self._plain(member, given)
        graph = torch.cuda.CUDAGraph()
        # Of this thread alone: meanwhile the other one may copy its batch.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=self._computing, capture_error_mode="thread_local"
        ):
            made = self._plain(member, given)
        _log.info("run recorded", member=member, segments=len(batch))

        def play(mix: torch.Tensor) -> torch.Tensor:
            given.copy_(mix)
            graph.replay()
            return made.clone()  # the next run writes there again

        return play

    def _measured_batch(self, model: SeparationModel) -> int:
        """Returns what fits beside the networks, by the memory that one and two segments take."""
        peaks = []
        longest = max(range(len(model.members)), key=lambda m: model.members[m].segment_frames)
        frames = model.members[longest].input_frames(model.members[longest].segment_frames)
        try:
            for segments in (1, 2):
                torch.cuda.reset_peak_memory_stats()
                mix = torch.zeros(segments, model.channels, frames, device=self._device)
                with torch.inference_mode():
                    self._plain(longest, mix)
                torch.cuda.synchronize()
                peaks.append(torch.cuda.max_memory_allocated())
        except RuntimeError as error:
            if not (peaks and is_out_of_memory(error)):
                raise
            return 1
        torch.cuda.empty_cache()
        free_bytes, _ = torch.cuda.mem_get_info()
        segments = fitting_batch(free_bytes, peaks[1] - peaks[0])
        _log.info(
            "batch chosen",
            segments=segments,
            segment_mib=(peaks[1] - peaks[0]) >> 20,
            free_mib=free_bytes >> 20,
        )
        return segments


def _too_large(model: SeparationModel) -> BackendUnavailableError:
    return BackendUnavailableError(
        "The model does not fit into the GPU's memory.", metadata={"model": model.name}
    )


def _lies_channels_last(member: Member) -> bool:
    return member.transformer is not None and can_lie_channels_last(member.transformer)


def _network_on(device: torch.device, member: Member) -> Run:
    """Returns a network as it lies best on a GPU: with its channels last, where it can."""
    network = member.transformer
    if network is None or not _lies_channels_last(member):
        plain: Run = copy.deepcopy(member.network).to(device).eval()
        return plain
    core: Any = ChannelsLastCore(network).eval()
    core = core.to(device=device, memory_format=torch.channels_last)

    def run(mix: torch.Tensor) -> torch.Tensor:
        given = core_input(network, mix)
        return join_branches(network, given, core(given.steps, given.bands))

    return run
