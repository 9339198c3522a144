"""OpenVINO on a CPU: Hybrid Transformer Demucs, compiled.

Converting takes half a minute, so that its result is kept in the cache folder, by the weights,
OpenVINO's version and the code that converts; what nobody has used for a week is forgotten. The
Fourier transforms and the normalising stay outside (`spectral_core.py`).

Cores that work at one segment together wait for each other after every layer. So segments are
computed side by side in two *lanes*, each with half of the cores, but for those that someone may
wait to hear, and an odd one at the end: these get all cores (docs/decisions/0030). Which way a
segment goes changes its last bits.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
import structlog
import torch
from demucs.htdemucs import HTDemucs

from services.separator.backends.backend import DeviceMemoryError, SegmentBatch, StemBatch
from services.separator.backends.channel_balance import balance_channels
from services.separator.backends.channels_last import ChannelsLastCore, can_lie_channels_last
from services.separator.backends.eight_bits import (
    multiplies_eight_bits,
    use_eight_bit_scores,
    use_eight_bits,
)
from services.separator.backends.fingerprint import code_fingerprint
from services.separator.backends.parity import parity_probe
from services.separator.backends.quiet_openvino import openvino
from services.separator.backends.spectral_core import (
    CoreOutput,
    SpectralCore,
    core_input,
    join_by_stem,
)
from services.separator.errors import BackendUnavailableError
from services.separator.models import Member, SeparationModel

_log = structlog.get_logger("mixdown.separator.openvino")

Precision = Literal["fp32", "bf16", "int8"]

_LANES = 2
_KEPT_SECONDS = 7 * 24 * 3600
_TYPES = {
    "fp32": (openvino.Type.f32, torch.float32),
    "bf16": (openvino.Type.bf16, torch.bfloat16),
}


def native_precision() -> Literal["fp32", "bf16"]:
    """Returns bf16 where the CPU computes with it, else fp32."""
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "fp32"


def precisions() -> list[Precision]:
    """Returns what this CPU computes with, the fastest first."""
    plain = native_precision()
    return ["int8", plain] if multiplies_eight_bits() else [plain]


def device_name() -> str:
    """Returns the full name of the CPU."""
    return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))


class OpenVinoBackend:
    """Runs a model with OpenVINO on the CPU.

    Args:
        model: The model; all of its networks must be Hybrid Transformer Demucs.
        cache_folder: Where converted networks are kept.
        threads: Threads that compute; an odd one is left out where a lane computes.
        precision: Arithmetic inside the graph. "int8" is that of the linear layers
            and of attention's scores (`eight_bits.py`); the rest is computed with the CPU's own.

    Raises:
        BackendUnavailableError: a network is of another kind.
    """

    name = "openvino"
    is_reference = False
    max_batch = 1  # a segment keeps its cores busy; more at once only wait longer

    def __init__(
        self, model: SeparationModel, cache_folder: Path, threads: int, precision: Precision
    ) -> None:
        self._networks = [_transformer_of(member, model.name) for member in model.members]
        self.lanes = self.depth = min(_LANES, threads)
        self._undivided = threading.Lock()
        torch.set_num_threads(threads)  # for the Fourier transforms
        core, eight = openvino.Core(), precision == "int8"
        self._type, self._dtype = _TYPES[native_precision() if eight else precision]
        options = {
            "INFERENCE_PRECISION_HINT": self._type,
            "ENABLE_CPU_PINNING": False,  # what is cut and collected meanwhile wants cores too
        }
        self._whole, self._in_lanes = [], []
        for number, network in enumerate(self._networks):
            name = f"{model.weights_sha256[:16]}-{number}"
            path = _convert(network, parity_probe(model, number), cache_folder, name)
            graph = core.read_model(path)
            if eight:
                use_eight_bits(graph)
                use_eight_bit_scores(graph)
            graph = _with_edges_of(graph, self._type)
            lanes = _Compiled(core, graph, options, threads // self.lanes, self.lanes)
            self._in_lanes.append(lanes)
            self._whole.append(
                lanes if self.lanes == 1 else _Compiled(core, graph, options, threads)
            )

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        """Runs network `member`. Raises DeviceMemoryError."""
        try:
            with self._whole_device(member) if undivided else self._lane(member) as request:
                stems = [self._run_one(member, request, segment[None]) for segment in batch]
                return stems[0] if len(stems) == 1 else np.concatenate(stems)
        except MemoryError as error:
            raise DeviceMemoryError(str(error)) from error

    @contextmanager
    def _whole_device(self, member: int) -> Iterator[Any]:
        with self._undivided, self._whole[member].request() as request:
            yield request

    @contextmanager
    def _lane(self, member: int) -> Iterator[Any]:
        with self._undivided:
            pass  # nothing is begun beside what is waited for
        with self._in_lanes[member].request() as request:
            yield request

    def _run_one(self, member: int, request: Any, segment: SegmentBatch) -> StemBatch:
        network = self._networks[member]
        with torch.inference_mode():
            given = core_input(network, torch.from_numpy(segment), self._dtype)
            # What it returns would be a copy; the outputs are read below, where they lie.
            request.infer(
                [self._told(given.steps), self._told(given.bands)],
                share_inputs=True,
                share_outputs=True,
            )
            made = CoreOutput(*(self._read(request.get_output_tensor(index)) for index in (0, 1)))
            output: StemBatch = join_by_stem(network, given, made).numpy()
        return output

    def _told(self, array: torch.Tensor) -> Any:
        """Returns an array as OpenVINO takes it, where it lies. NumPy has no bf16."""
        if self._dtype is torch.float32:
            return array.numpy()
        plain = array.view(torch.int16).numpy()
        return openvino.Tensor(plain, list(array.shape), self._type)

    def _read(self, tensor: Any) -> torch.Tensor:
        if self._dtype is torch.float32:
            return torch.from_numpy(tensor.data)
        return torch.from_numpy(tensor.data.view(np.int16)).view(self._dtype)

    def close(self) -> None:
        """Frees the compiled networks."""
        self._whole.clear()
        self._in_lanes.clear()


class _Compiled:
    """A graph, compiled for so many requests at once, each with threads of its own."""

    def __init__(
        self,
        core: openvino.Core,
        graph: openvino.Model,
        options: dict[str, Any],
        threads: int,
        requests: int = 1,
    ) -> None:
        shares = {"NUM_STREAMS": requests, "INFERENCE_NUM_THREADS": threads * requests}
        compiled = core.compile_model(graph, "CPU", {**options, **shares})
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(requests):
            self._idle.put(compiled.create_infer_request())

    @contextmanager
    def request(self) -> Iterator[Any]:
        """Gives a request that nobody else has meanwhile, as soon as there is one."""
        request = self._idle.get()
        try:
            yield request
        finally:
            self._idle.put(request)


def _transformer_of(member: Member, model: str) -> HTDemucs:
    if member.transformer is None:
        raise BackendUnavailableError(
            f"OpenVINO computes Hybrid Transformer Demucs only; {model} is not."
        )
    return member.transformer


def _convert(network: HTDemucs, probe: SegmentBatch, cache_folder: Path, name: str) -> Path:
    """Returns the converted network, made where it is not in the cache."""
    folder = cache_folder / "openvino"
    target = folder / f"{name}-{openvino.__version__.split('-')[0]}-{code_fingerprint()}"
    if target.is_dir():
        target.touch()  # it is in use
        return target / "network.xml"
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="partial-") as partial:
        made = Path(partial) / "made"
        made.mkdir()
        balanced = balance_channels(network, torch.from_numpy(probe))
        openvino.save_model(_trace(balanced), made / "network.xml", compress_to_fp16=False)
        try:
            made.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same result
                raise
    _forget_unused(folder, name)
    _log.info("network converted", path=str(target), seconds=round(time.monotonic() - began, 1))
    return target / "network.xml"


def _forget_unused(folder: Path, name: str) -> None:
    """Deletes what the same weights were converted to by code that is not in use any more."""
    for made in folder.glob(f"{name}-*"):
        if time.time() - made.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(made, ignore_errors=True)  # others may do it too


def _trace(network: HTDemucs) -> openvino.Model:
    mix = torch.zeros(1, network.audio_channels, int(network.samplerate * network.segment))
    core = (
        ChannelsLastCore(network, few_passes=True)
        if can_lie_channels_last(network)
        else SpectralCore(network)
    )
    with torch.no_grad():
        given = core_input(network, mix)
        example = (given.steps, given.bands)
        # The check would trace again and trip over attention, which PyTorch names anew each time.
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            core.eval(), example, check_trace=False
        )
        return openvino.convert_model(
            traced, example_input=example, input=[tuple(array.shape) for array in example]
        )


def _with_edges_of(graph: openvino.Model, element_type: Any) -> openvino.Model:
    """Returns a graph that takes and gives arrays of a type, as it computes them inside."""
    edges = openvino.preprocess.PrePostProcessor(graph)
    for index in range(2):
        edges.input(index).tensor().set_element_type(element_type)
        edges.output(index).tensor().set_element_type(element_type)
    return edges.build()
