"""What `benchmarks.separation` measures, each in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from contextlib import aclosing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.machine import Figures
from services.runtime.audio.reader import AudioReader, Samples

STEMS = ("drums", "bass", "other", "vocals")
RATE_HZ = 44_100


def write_wav(path: Path, samples: Samples) -> None:
    """Writes stereo samples as a WAV file of 32-bit floats."""
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_f32le", rate=RATE_HZ, layout="stereo")
        for block in np.array_split(samples, max(1, samples.shape[1] // RATE_HZ), axis=1):
            interleaved = np.ascontiguousarray(block.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout="stereo")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _device_peak() -> Figures:
    """The most that tensors took of a GPU, where there is one."""
    import torch

    if not torch.cuda.is_available():
        return {}
    return {"device_peak_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1)}


def _run_stock(arguments: argparse.Namespace, shifts: int, name: str) -> Figures:
    """Demucs' own API. It has no stream: its first audio comes with its last."""
    import torch
    from demucs.apply import apply_model

    from services.separator.service import weights_chain
    from services.separator.settings import SeparatorSettings

    network, _ = weights_chain(SeparatorSettings(log_level="error")).load("htdemucs")
    if arguments.device == "cuda" or (arguments.device == "auto" and torch.cuda.is_available()):
        device = "cuda"
    else:
        device = "cpu"
    for timed in (False, True):
        with AudioReader(arguments.song / "mix.wav") as reader:
            mix = torch.from_numpy(reader.read(1 << 40))
        if not timed:  # a GPU needs a first run to be itself; so does a CPU's allocator
            mix = mix[:, : 2 * RATE_HZ]
        began, computed = time.perf_counter(), time.process_time()
        ref = mix.mean(0)
        mean, deviation = ref.mean(), ref.std() + 1e-8
        out = apply_model(network, ((mix - mean) / deviation)[None], shifts=shifts, device=device)
        out = out[0].cpu() * deviation + mean
        seconds, computed = time.perf_counter() - began, time.process_time() - computed
    np.save(arguments.song / f"{name}.npy", out.numpy())
    return _figures(arguments, seconds, seconds, computed, f"demucs {device}")


def _figures(
    arguments: argparse.Namespace, seconds: float, first: float, computed: float, backend: str
) -> Figures:
    return {
        "backend": backend,
        "seconds": round(seconds, 2),
        # Time of all cores: what other programs on the machine take does not count.
        "cpu_seconds": round(computed, 2),
        "real_time_factor": round(arguments.seconds / seconds, 2),
        "first_audio_seconds": round(first, 2),
        "peak_mib": _peak_mib(),
        **_device_peak(),
    }


async def _separate(
    service: Any, track: str, *, keep: bool = True
) -> tuple[dict[str, bytes], float, float, str]:
    """Returns the stems, seconds to the end and to the first audio, and the backend.

    Without `keep` the stems are empty: those of many songs would fill the memory.
    """
    from services.separator.events import Audio, Finished, SeparationRequest

    began = time.perf_counter()
    parts: dict[str, list[bytes]] = {stem: [] for stem in STEMS}
    first, backend = 0.0, ""
    async for event in service.separator.separate(SeparationRequest(track, "", STEMS)):
        if isinstance(event, Audio):
            first = first or time.perf_counter() - began
            if keep:
                parts[event.stem].append(event.pcm)
        elif isinstance(event, Finished):
            backend = event.backend
    seconds = time.perf_counter() - began
    return {stem: b"".join(data) for stem, data in parts.items()}, seconds, first, backend


async def _until_ready(service: Any) -> None:
    """Returns when the model is loaded and has computed: before that nothing serves."""
    from services.separator.readiness import Readiness

    await Readiness(service.engines, "htdemucs").wait()


def _settings(arguments: argparse.Namespace, folder: str, **changes: Any) -> Any:
    from services.separator.settings import SeparatorSettings

    return SeparatorSettings(device=arguments.device, blob_store=folder, preload=False, **changes)


def _put(settings: Any, data: bytes) -> str:
    from services.runtime.blobs import open_blob_store

    with open_blob_store(settings.blob_store).create() as writer:
        writer.write(data)
        return writer.commit().sha256


def _run_warm_up(arguments: argparse.Namespace) -> Figures:
    async def run(folder: str) -> None:
        from services.separator.service import SeparatorService

        async with (
            SeparatorService(_settings(arguments, folder)) as service,
            service.engines.use("htdemucs"),
        ):
            pass

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))
    return {}


def _run_ours(arguments: argparse.Namespace) -> Figures:
    async def run(folder: str) -> Figures:
        from services.separator.service import SeparatorService

        settings = _settings(arguments, folder)
        async with SeparatorService(settings) as service:
            await _until_ready(service)
            track = _put(settings, (arguments.song / "mix.wav").read_bytes())
            computed = time.process_time()
            stems, seconds, first, backend = await _separate(service, track)
            computed = time.process_time() - computed
            figures = _figures(arguments, seconds, first, computed, backend)
            stored = await _separate(service, track)
        arrays = [np.frombuffer(data, "<f4").reshape(-1, 2).T for data in stems.values()]
        np.save(arguments.song / "ours.npy", np.stack(arrays))
        return figures | {"seconds_from_store": round(stored[1], 3)}

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


def _run_concurrent(arguments: argparse.Namespace) -> Figures:
    async def run(folder: str) -> Figures:
        from services.separator.service import SeparatorService

        settings = _settings(arguments, folder, running_tracks=arguments.songs)
        data = (arguments.song / "mix.wav").read_bytes()
        async with SeparatorService(settings) as service:
            await _until_ready(service)
            # Bytes after the end of a WAV's data are another blob, and the same music.
            tracks = [_put(settings, data + bytes([number])) for number in range(arguments.songs)]
            began = time.perf_counter()
            done = await asyncio.gather(
                *(_separate(service, track, keep=False) for track in tracks)
            )
            seconds = time.perf_counter() - began
        return {
            "songs": arguments.songs,
            "seconds": round(seconds, 2),
            "real_time_factor": round(arguments.songs * arguments.seconds / seconds, 2),
            "first_audio_seconds": [round(first, 2) for _, _, first, _ in done],
            "peak_mib": _peak_mib(),
            **_device_peak(),
        }

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


def _run_real_memory(arguments: argparse.Namespace) -> Figures:
    """A long track through the default model, for as long as `--watch-seconds` tells.

    Its levels are known, as after an upload; how long they take to measure is told apart.
    """

    async def run(folder: str) -> Figures:
        from services.separator.events import Audio, Progress, SeparationRequest
        from services.separator.service import SeparatorService

        settings = _settings(arguments, folder)
        track = _put_long(settings, arguments.song / "mix.wav", arguments.seconds)
        levels_seconds = _keep_levels(settings, track)
        async with SeparatorService(settings) as service:
            await _until_ready(service)
            began, first, fraction = time.perf_counter(), 0.0, 0.0
            async with aclosing(
                service.separator.separate(SeparationRequest(track, "", STEMS))
            ) as events:
                async for event in events:
                    if isinstance(event, Audio):
                        first = first or time.perf_counter() - began
                    elif isinstance(event, Progress):
                        fraction = event.fraction
                    if time.perf_counter() - began > arguments.watch_seconds:
                        break
        return {
            "peak_mib": _peak_mib(),
            "first_audio_seconds": round(first, 2),
            "levels_seconds": round(levels_seconds, 2),
            "seconds": round(time.perf_counter() - began, 1),
            "music_seconds": round(fraction * arguments.seconds, 1),
        }

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(folder))


def _run_engine_memory(arguments: argparse.Namespace) -> Figures:
    """A long track through a small network: what is left to grow is the engine's own memory."""
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    network = HTDemucs(
        list(STEMS), channels=8, t_layers=0, segment=Fraction(39, 5), samplerate=RATE_HZ
    )
    torch.set_num_threads(2)

    async def run(folder: str) -> float:
        from services.separator.service import SeparatorService

        models = Path(folder) / "models"
        models.mkdir()
        told = {
            "sources": list(STEMS),
            "channels": 8,
            "t_layers": 0,
            "segment": {"_type": "fraction", "numerator": 39, "denominator": 5},
            "samplerate": RATE_HZ,
        }
        metadata = {
            "klass": "demucs.htdemucs.HTDemucs",
            "args": "[]",
            "kwargs": json.dumps(told),
        }
        save_file(network.state_dict(), models / "small.safetensors", metadata=metadata)
        settings = _settings(
            arguments, folder, model_folder=models, default_model="small", cache_folder=Path(folder)
        )
        track = _put_long(settings, arguments.song / "mix.wav", arguments.seconds)
        async with SeparatorService(settings) as service:
            from services.separator.events import Audio, SeparationRequest

            began, first = time.perf_counter(), 0.0
            async for event in service.separator.separate(SeparationRequest(track, "", STEMS)):
                if isinstance(event, Audio):
                    first = first or time.perf_counter() - began
        return first

    with tempfile.TemporaryDirectory() as folder:
        first = asyncio.run(run(folder))
    return {"peak_mib": _peak_mib(), "first_audio_seconds": round(first, 2)}


def _put_long(settings: Any, song: Path, seconds: float) -> str:
    """Stores the song repeated for `seconds`, without holding it in memory."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        with av.open(file.name, "w", format="wav") as container:
            stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="stereo")
            with AudioReader(song) as reader:
                second = (reader.read(RATE_HZ) * 32767).astype(np.int16)
            interleaved = np.ascontiguousarray(second.T.reshape(1, -1))
            for _ in range(round(seconds)):
                frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="stereo")
                frame.sample_rate = RATE_HZ
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        from services.runtime.blobs import open_blob_store

        with (
            Path(file.name).open("rb") as data,
            open_blob_store(settings.blob_store).create() as writer,
        ):
            while block := data.read(1 << 20):
                writer.write(block)
            return writer.commit().sha256


def _keep_levels(settings: Any, track: str) -> float:
    """Measures and keeps a track's levels, as the check of an upload does; returns the seconds."""
    from services.runtime.audio.level_store import LevelStore
    from services.runtime.audio.levels import LEVEL_CHANNELS
    from services.runtime.blobs import open_blob_store
    from services.separator.track import TrackReader, measure_levels

    blobs = open_blob_store(settings.blob_store)
    began = time.perf_counter()
    with TrackReader(blobs.open(track), RATE_HZ, LEVEL_CHANNELS) as reader:
        levels = measure_levels(reader)
    LevelStore(blobs).keep(track, RATE_HZ, LEVEL_CHANNELS, levels)
    return time.perf_counter() - began


RUNS = {
    "warm_up": _run_warm_up,
    "stock": lambda arguments: _run_stock(arguments, 1, "stock"),
    "stock_plain": lambda arguments: _run_stock(arguments, 0, "stock_plain"),
    "ours": _run_ours,
    "concurrent": _run_concurrent,
    "engine_memory": _run_engine_memory,
    "real_memory": _run_real_memory,
}
