"""Our separation beside stock Demucs: `python -m benchmarks.separation`.

Every run has a process of its own, so that its peak memory is its own. The song is repeated or cut
to `--seconds`; with several streams (a `.stem.mp4`) the first is the mixture and the others are the
true stems, by which the SDR is told.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.machine import Figures, machine
from services.runtime.audio.reader import AudioReader, Samples

STEMS = ("drums", "bass", "other", "vocals")
RATE_HZ = 44_100


def main() -> None:
    """Measures, prints a table, and writes the figures where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.separation", description=__doc__)
    parser.add_argument("--song", type=Path, default=None, help="default: stempeg's example")
    parser.add_argument("--seconds", type=float, default=30.0, help="of music")
    parser.add_argument("--songs", type=int, default=4, help="songs at once")
    parser.add_argument("--device", default="auto", help="auto, cpu, openvino or cuda")
    parser.add_argument("--long-minutes", type=float, default=60.0, help="for the memory")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", type=Path, default=None, help="write the figures there too")
    parser.add_argument("--note", default="", help="what a reader of the figures should know")
    parser.add_argument("--run", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        print(json.dumps(_RUNS[arguments.run](arguments)))
        return
    figures = measure(arguments)
    text = json.dumps(figures, indent=1)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")
    print(text if arguments.json else table(figures))


def measure(arguments: argparse.Namespace) -> Figures:
    """Runs everything, one after another."""
    song = arguments.song or example_song()
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder)
        prepare(song, arguments.seconds, prepared)
        arguments.song = prepared
        _in_process("warm_up", arguments)  # weights and compiled models are there from now on
        runs = {name: _in_process(name, arguments) for name in ("stock", "stock_plain", "ours")}
        outputs = {name: np.load(prepared / f"{name}.npy") for name in runs}
        truth = prepared / "truth.npy"
        if truth.exists():
            for name, figures in runs.items():
                figures["sdr_db"] = _by_stem(np.load(truth), outputs[name])
        runs["ours"]["snr_to_stock_plain_db"] = _by_stem(outputs["stock_plain"], outputs["ours"])
        result: Figures = {
            "machine": machine(),
            "note": arguments.note,
            "song": song.name,
            "seconds": arguments.seconds,
            "runs": runs,
            "speedup": {
                name: {
                    key: round(runs[name][key] / runs["ours"][key], 2)
                    for key in ("seconds", "cpu_seconds")
                }
                for name in ("stock", "stock_plain")
            },
            "concurrent": _in_process("concurrent", arguments),
        }
        result["memory"] = {
            "what": "the engine with a small network of htdemucs' segment length",
            "2_minutes": _memory(arguments, 2.0),
            f"{arguments.long_minutes:g}_minutes": _memory(arguments, arguments.long_minutes),
        }
        return result


def example_song() -> Path:
    """Returns the example song of the stempeg package."""
    spec = importlib.util.find_spec("stempeg")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Name a song with --song, or install stempeg for its example.")
    return next(Path(spec.submodule_search_locations[0], "data").glob("*.stem.mp4"))


def prepare(song: Path, seconds: float, folder: Path) -> None:
    """Writes `mix.wav` and, where the song has five streams, `truth.npy` into `folder`."""
    mix = _fit(_decode(song, 0), seconds)
    write_wav(folder / "mix.wav", mix)
    with av.open(str(song)) as container:
        streams = len(container.streams.audio)
    if streams == 1 + len(STEMS):
        stems = [_fit(_decode(song, number), seconds) for number in range(1, streams)]
        np.save(folder / "truth.npy", np.stack(stems))


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


def _decode(song: Path, stream: int) -> Samples:
    with AudioReader(song, stream) as reader:
        if reader.sample_rate_hz != RATE_HZ or reader.channels != 2:
            sys.exit("The benchmark wants a stereo song at 44100 Hz.")
        return reader.read(1 << 40)


def _fit(samples: Samples, seconds: float) -> Samples:
    frames = round(seconds * RATE_HZ)
    return np.tile(samples, (1, -(-frames // samples.shape[1])))[:, :frames]


def _by_stem(expected: Samples, output: Samples) -> dict[str, float]:
    def ratio_db(signal: Samples, error: Samples) -> float:
        powers = [float(np.square(part, dtype=np.float64).sum()) for part in (signal, error)]
        return round(float(10 * np.log10(powers[0] / powers[1])), 3)

    return {
        stem: ratio_db(expected[index], expected[index] - output[index])
        for index, stem in enumerate(STEMS)
    }


def _in_process(run: str, arguments: argparse.Namespace, **environment: str) -> Figures:
    """Runs one measurement in a process of its own and returns what it prints last."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.separation", "--run", run]
    for name in ("song", "seconds", "songs", "device"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _memory(arguments: argparse.Namespace, minutes: float) -> Figures:
    long = argparse.Namespace(**{**vars(arguments), "seconds": 60 * minutes, "device": "cpu"})
    return _in_process("engine_memory", long)


# The runs, each in its own process


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


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
    }


async def _separate(service: Any, track: str) -> tuple[dict[str, bytes], float, float, str]:
    """Returns the stems, seconds to the end and to the first audio, and the backend."""
    from services.separator.events import Audio, Finished, SeparationRequest

    began = time.perf_counter()
    parts: dict[str, list[bytes]] = {stem: [] for stem in STEMS}
    first, backend = 0.0, ""
    async for event in service.separator.separate(SeparationRequest(track, "", STEMS)):
        if isinstance(event, Audio):
            first = first or time.perf_counter() - began
            parts[event.stem].append(event.pcm)
        elif isinstance(event, Finished):
            backend = event.backend
    stems = {stem: b"".join(data) for stem, data in parts.items()}
    return stems, time.perf_counter() - began, first, backend


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
        short = arguments.song / "short.wav"
        with AudioReader(arguments.song / "mix.wav") as reader:
            write_wav(short, reader.read(2 * RATE_HZ))
        async with SeparatorService(settings) as service:
            await _separate(service, _put(settings, short.read_bytes()))
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
            await _separate(service, _put(settings, (arguments.song / "short.wav").read_bytes()))
            # Bytes after the end of a WAV's data are another blob, and the same music.
            tracks = [_put(settings, data + bytes([number])) for number in range(arguments.songs)]
            began = time.perf_counter()
            done = await asyncio.gather(*(_separate(service, track) for track in tracks))
            seconds = time.perf_counter() - began
        return {
            "songs": arguments.songs,
            "seconds": round(seconds, 2),
            "real_time_factor": round(arguments.songs * arguments.seconds / seconds, 2),
            "first_audio_seconds": [round(first, 2) for _, _, first, _ in done],
            "peak_mib": _peak_mib(),
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


_RUNS = {
    "warm_up": _run_warm_up,
    "stock": lambda arguments: _run_stock(arguments, 1, "stock"),
    "stock_plain": lambda arguments: _run_stock(arguments, 0, "stock_plain"),
    "ours": _run_ours,
    "concurrent": _run_concurrent,
    "engine_memory": _run_engine_memory,
}


# What is told


def table(figures: Figures) -> str:
    """Returns the figures as text."""
    lines = [
        f"{figures['machine']['cpu']}, {figures['machine']['cores']} cores, "
        f"{figures['seconds']:g} s of {figures['song']}",
        f"{'':14}{'seconds':>9}{'CPU s':>9}{'× real time':>13}{'first audio':>13}{'peak MiB':>10}"
        "  backend",
    ]
    for name, run in figures["runs"].items():
        lines.append(
            f"{name:14}{run['seconds']:9.2f}{run['cpu_seconds']:9.2f}{run['real_time_factor']:13.2f}"
            f"{run['first_audio_seconds']:13.2f}{run['peak_mib']:10.0f}  {run['backend']}"
        )
    for name, ratio in figures["speedup"].items():
        lines.append(
            f"ours is {ratio['seconds']}× as fast as {name} "
            f"({ratio['cpu_seconds']}× by the time of all cores)"
        )
    for name, run in figures["runs"].items():
        if "sdr_db" in run:
            told = ", ".join(f"{stem} {value:.2f}" for stem, value in run["sdr_db"].items())
            lines.append(f"SDR of {name} in dB: {told}")
    snr = figures["runs"]["ours"]["snr_to_stock_plain_db"]
    lines.append(
        "SNR of ours to stock_plain in dB: "
        + ", ".join(f"{stem} {value:.1f}" for stem, value in snr.items())
    )
    at_once = figures["concurrent"]
    lines.append(
        f"{at_once['songs']} songs at once: {at_once['seconds']:.2f} s, "
        f"{at_once['real_time_factor']:.2f} × real time"
    )
    lines.append(f"memory: {figures['memory']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
