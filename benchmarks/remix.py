"""Our rendering beside plain pedalboard: `python -m benchmarks.remix`.

Every run has a process of its own, so that its peak memory is its own. The song and its four true
stems are repeated or cut to `--seconds` and lie on disk as WAV files; each render reads them, works
and writes a WAV file of 24 bits. "Plain" is what one writes with pedalboard alone: whole files in,
one board for each stem, their sum out. It knows no loudness, no ceiling, no dither.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from pedalboard import (
    Compressor,
    Gain,
    HighpassFilter,
    PeakFilter,
    PitchShift,
    Plugin,
    Reverb,
    process,
)
from pedalboard.io import AudioFile

from benchmarks.machine import Figures, machine
from benchmarks.separation import example_song
from benchmarks.separation_runs import RATE_HZ, STEMS, write_wav
from mixdown.mix import MASTER, EqBand, Filter, Mix, Output, Passage, TargetSettings
from services.remixer import plan
from services.remixer.chain import Track, build_chain
from services.remixer.effects.limiter import Limiter
from services.remixer.effects.processor import Processor, empty
from services.remixer.events import OutputAudio
from services.remixer.original import read_measured
from services.remixer.pipeline import Pipeline
from services.remixer.plan import RenderRequest
from services.remixer.render import Renderer
from services.remixer.stems import Model, Separator, StemBlock, StemEvent, StemsStarted
from services.runtime.audio.formats import Encoding
from services.runtime.audio.loudness import LoudnessMeter
from services.runtime.audio.reader import AudioReader, Samples
from services.runtime.blobs import Blob, BlobStore
from services.runtime.blobs.folder import FolderBlobStore

_BLOCK_FRAMES = 16_384
_MESSAGE_FRAMES = 256 * 1024 // 8
_TURN_FRAMES = 4 * _MESSAGE_FRAMES
"""The separator sends four messages of a stem, then as many of the next."""

_SEMITONES = 2.0
_STEM = TargetSettings(
    gain_db=-2.0,
    pan=0.2,
    reverb=0.2,
    compression="medium",
    eq=(EqBand("peak", 3000.0, 3.0), EqBand("peak", 200.0, -2.0)),
    filters=(Filter("highpass", cutoff_hz=60.0),),
)
_WITH_REVERB = Passage(5.0, 10.0, TargetSettings(reverb=0.2))
FULL = Mix(dict.fromkeys(STEMS, _STEM))
"""A full chain on four stems, without pitch."""

_EFFECTS = {
    "gain": ("drums", TargetSettings(gain_db=-2.0)),
    "pan": ("drums", TargetSettings(pan=0.2)),
    "eq (two bands)": ("drums", TargetSettings(eq=_STEM.eq)),
    "filter (24 dB/octave)": ("drums", TargetSettings(filters=_STEM.filters)),
    "compression": ("drums", TargetSettings(compression="medium")),
    "reverb": ("drums", TargetSettings(reverb=0.2)),
    "echo": ("drums", TargetSettings(echo=0.3)),
    "chorus": ("drums", TargetSettings(chorus=0.5)),
    "distortion": ("drums", TargetSettings(distortion=0.5)),
    "width": ("drums", TargetSettings(width=1.5)),
    "fade in and out": ("drums", TargetSettings(fade_in_s=3.0, fade_out_s=5.0)),
    "reverb for 5 s": ("drums", TargetSettings(passages=(_WITH_REVERB,))),
    "pitch +2, vocals": ("vocals", TargetSettings(pitch_semitones=2.0)),
    "pitch +2, drums": ("drums", TargetSettings(pitch_semitones=2.0)),
    "pitch +2, bass": ("bass", TargetSettings(pitch_semitones=2.0)),
    "pitch -12, vocals": ("vocals", TargetSettings(pitch_semitones=-12.0)),
}


def main() -> None:
    """Measures, prints a table, and writes the figures where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remix", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of music")
    parser.add_argument("--long-seconds", type=float, default=1800.0, help="for the memory")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", type=Path, default=None, help="write the figures there too")
    parser.add_argument("--run", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        print(json.dumps(_RUNS[arguments.run](arguments.folder, arguments.seconds)))
        return
    figures = measure(arguments.seconds, arguments.long_seconds)
    text = json.dumps(figures, indent=1)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")
    print(text if arguments.json else table(figures))


def measure(seconds: float, long_seconds: float) -> Figures:
    """Runs everything, one after another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(example_song(), seconds, folder)
        runs = {run: _in_process(run, folder, seconds) for run in _RUNS if run != "memory"}
        return {
            "machine": machine(),
            # Of the minute before the end: others may have worked on the machine meanwhile.
            "load_average": round(os.getloadavg()[0], 1),
            "seconds": seconds,
            **runs,
            "time_to_plain": {
                run: round(runs[run]["seconds"] / runs[f"{run}_plain"]["seconds"], 2)
                for run in ("full", "full_pitch")
            },
            "memory_mib": {
                f"{length:g} s": _in_process("memory", folder, length)["peak_mib"]
                for length in (180.0, long_seconds)
            },
        }


def prepare(song: Path, seconds: float, folder: Path) -> None:
    """Writes the song and its stems as `mix.wav` and `<stem>.wav`."""
    frames = round(seconds * RATE_HZ)
    for number, name in enumerate((MASTER, *STEMS)):
        with AudioReader(song, number) as reader:
            samples = reader.read(1 << 40)
        repeated = np.tile(samples, (1, -(-frames // samples.shape[1])))
        write_wav(folder / f"{name}.wav", repeated[:, :frames])


def table(figures: Figures) -> str:
    """Returns the figures for people."""
    told = figures["machine"]
    lines = [f"{told['cpu']}, {told['cores']} cores, load {figures['load_average']}", ""]
    lines += ["Effect, one stereo stem, one thread        times real time"]
    for name, speed in figures["effects"]["times_real_time"].items():
        lines.append(f"  {name:<40} {speed:>10}")
    lines += ["", "Render of four stems             seconds  of work  times real time  peak MiB"]
    for run in ("full", "full_plain", "full_pitch", "full_pitch_plain"):
        seconds, work, speed, peak = (
            figures[run][key] for key in ("seconds", "cpu_seconds", "times_real_time", "peak_mib")
        )
        lines.append(f"  {run:<30} {seconds:>8} {work:>8} {speed:>16} {peak:>9}")
    lines += ["", f"time to plain pedalboard: {figures['time_to_plain']}"]
    lines += [f"first chunk of a remix of stems in the store: {figures['first_chunk']}"]
    lines += [f"peak memory in MiB by length: {figures['memory_mib']}"]
    return "\n".join(lines)


def _in_process(run: str, folder: Path, seconds: float) -> Figures:
    """Runs one measurement in a process of its own and returns what it prints last."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.remix", "--run", run]
    command += ["--folder", str(folder), "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


# The runs, each in its own process


class _Watch:
    """Measures from its making on: time, and work of all threads, which others do not change."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()

    def figures(self, seconds: float) -> Figures:
        """Returns the figures of a render of so many seconds of music."""
        took = time.perf_counter() - self._began
        return {
            "seconds": round(took, 3),
            "cpu_seconds": round(time.process_time() - self._cpu_began, 3),
            "times_real_time": round(seconds / took, 1),
            "peak_mib": _peak_mib(),
        }


def _peak_mib() -> float:
    """Peak memory of this process; `getrusage` would tell that of its parent where it is higher."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return round(int(peak) / 1024, 1)


def _effects(folder: Path, _seconds: float) -> Figures:
    """The speed of each effect alone, in one thread; the best of three."""
    with AudioReader(folder / "drums.wav") as reader:
        samples = reader.read(20 * RATE_HZ)
    length = samples.shape[1] / RATE_HZ
    makers: dict[str, Callable[[], Processor]] = {
        name: partial(build_chain, target, settings, Track(RATE_HZ, 2, samples.shape[1]))
        for name, (target, settings) in _EFFECTS.items()
    }
    makers["limiter, working"] = lambda: Limiter(0.3, RATE_HZ, 2)
    makers["limiter, idle"] = lambda: Limiter(2.0, RATE_HZ, 2)
    makers["loudness and true peak"] = _Meter
    return {
        "times_real_time": {
            name: round(length / min(_processed(make(), samples) for _ in range(3)), 1)
            for name, make in makers.items()
        }
    }


class _Meter:
    """The loudness meter as a processor."""

    def __init__(self) -> None:
        self._meter = LoudnessMeter(RATE_HZ, 2)

    def process(self, block: Samples) -> Samples:
        self._meter.add(block)
        return block

    def finish(self) -> Samples:
        self._meter.result()
        return empty(2)


def _processed(processor: Processor, samples: Samples) -> float:
    began = time.perf_counter()
    for start in range(0, samples.shape[1], _BLOCK_FRAMES):
        processor.process(samples[:, start : start + _BLOCK_FRAMES])
    processor.finish()
    return time.perf_counter() - began


def _ours(mix: Mix) -> Callable[[Path, float], Figures]:
    def run(folder: Path, seconds: float) -> Figures:
        store, track = _stored(folder)
        measured = read_measured(store, track.sha256)
        watch = _Watch()
        request = RenderRequest(track, mix, (Output("mix"),), Encoding.WAV_PCM24)
        planned = [plan.plan_output(request, mix, Output("mix"), measured.properties, "four")]
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            pipeline = Pipeline(store, track, measured, mix, planned, STEMS, {}, pool)
            pipeline.expect_stems(RATE_HZ, 2)
            for stem, block in _stem_blocks(folder):
                pipeline.feed(stem, block)
                while not pipeline.is_done and pipeline.can_advance:
                    pipeline.advance()
            pipeline.end_stems()
            while not pipeline.is_done:
                pipeline.advance()
            pipeline.close()
        return watch.figures(seconds)

    return run


def _stored(folder: Path) -> tuple[BlobStore, Blob]:
    store = FolderBlobStore(folder / "blobs")
    return store, _put(store, folder / f"{MASTER}.wav")


def _put(store: BlobStore, path: Path) -> Blob:
    with store.create() as writer:
        writer.write(path.read_bytes())
        return writer.commit()


def _stem_blocks(folder: Path) -> Iterator[tuple[str, Samples]]:
    """Yields blocks of every stem as the separator sends them: messages of one, then the next."""
    with ExitStack() as stack:
        readers = {stem: stack.enter_context(AudioReader(folder / f"{stem}.wav")) for stem in STEMS}
        while True:
            some = {stem: reader.read(_TURN_FRAMES) for stem, reader in readers.items()}
            if not any(block.shape[1] for block in some.values()):
                return
            for stem, block in some.items():
                for start in range(0, block.shape[1], _MESSAGE_FRAMES):
                    yield stem, block[:, start : start + _MESSAGE_FRAMES]


def _plain(semitones: float) -> Callable[[Path, float], Figures]:
    def run(folder: Path, seconds: float) -> Figures:
        watch = _Watch()
        total: Samples | None = None
        for stem in STEMS:
            with AudioFile(str(folder / f"{stem}.wav")) as file:
                samples = file.read(file.frames)
            plugins = _plugins(semitones if stem == "vocals" else 0.0)
            processed = process(samples, RATE_HZ, plugins) * np.array([[0.9], [1.1]], np.float32)
            total = processed if total is None else total + processed
        assert total is not None
        with AudioFile(
            str(folder / "plain.wav"), "w", RATE_HZ, num_channels=2, bit_depth=24
        ) as written:
            written.write(total)
        return watch.figures(seconds)

    return run


def _plugins(semitones: float) -> list[Plugin]:
    return [
        *([PitchShift(semitones)] if semitones else []),
        *(HighpassFilter(60.0) for _ in range(4)),  # 6 dB per octave each
        PeakFilter(3000.0, 3.0, 1.0),
        PeakFilter(200.0, -2.0, 1.0),
        Compressor(-25.0, 4.0, 5.0, 80.0),
        Gain(-2.0),
        Reverb(room_size=0.45, wet_level=0.08, dry_level=0.5),
    ]


class _StoredStems(Separator):
    """A separator that has the stems: what comes from the store, without the network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def model(self, name: str) -> Model:
        return Model("four", STEMS)

    async def separate(
        self, track: Blob, model: str, stems: Sequence[str], *, background: bool = False
    ) -> AsyncGenerator[StemEvent, None]:
        yield StemsStarted(RATE_HZ, 2, cached=True)
        for stem, block in _stem_blocks(self._folder):
            if stem in stems:
                yield StemBlock(stem, block)


def _first_chunk(folder: Path, _seconds: float) -> Figures:
    """Milliseconds from a call to the first audio beyond the file's header; the best of five."""
    with tempfile.TemporaryDirectory() as fresh:
        return _first_chunk_from(folder, FolderBlobStore(fresh))


def _first_chunk_from(folder: Path, store: BlobStore) -> Figures:
    track = _put(store, folder / f"{MASTER}.wav")
    read_measured(store, track.sha256)  # measured at the first render of a track
    threads = len(os.sched_getaffinity(0))
    renderer = Renderer(store, _StoredStems(folder), 4, threads)

    async def once(mix: Mix) -> float:
        began = time.perf_counter()
        encoding = Encoding.WAV_PCM24
        events = renderer.render(RenderRequest(track, mix, (Output("mix"),), encoding))
        async for event in events:
            if isinstance(event, OutputAudio) and event.offset_bytes + len(event.data) > 1000:
                break
        took = time.perf_counter() - began
        await events.aclose()
        return 1000.0 * took

    async def best(mix: Mix) -> float:
        return round(min([await once(mix) for _ in range(5)]), 1)

    async def all_of_them() -> Figures:
        gain = Mix().change("vocals", gain_db=3.0)
        return {
            "gain_ms": await best(gain),
            "gain_eq_reverb_ms": await best(
                gain.change("drums", reverb=0.3).change(MASTER, eq=_STEM.eq)
            ),
            "full_ms": await best(FULL),
            "full_pitch_ms": await best(FULL.change("vocals", pitch_semitones=_SEMITONES)),
        }

    return asyncio.run(all_of_them())


def _memory(_folder: Path, seconds: float) -> Figures:
    """Peak memory of a render of that length, whose original is made up as it is read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, track = _long_original(folder, seconds)
        measured = read_measured(store, track.sha256)
        request = RenderRequest(track, FULL, (Output("mix"),), Encoding.FLAC16)
        planned = [plan.plan_output(request, FULL, Output("mix"), measured.properties, "four")]
        pipeline = Pipeline(store, track, measured, FULL, planned, STEMS, {})
        pipeline.expect_stems(8000, 2)
        block = _noise(_BLOCK_FRAMES)
        while not pipeline.is_done:
            for stem in STEMS:
                pipeline.feed(stem, block)
            while not pipeline.is_done and pipeline.can_advance:
                pipeline.advance()
        pipeline.close()
    return {"peak_mib": _peak_mib()}


def _long_original(folder: Path, seconds: float) -> tuple[BlobStore, Blob]:
    """Stores noise at 8 kHz: an hour of it is rendered in a minute."""
    from services.runtime.audio.formats import file_format
    from services.runtime.audio.writer import AudioWriter

    store = FolderBlobStore(folder / "blobs")
    frames = round(seconds) * 8000
    block = _noise(8000)
    with (
        store.create() as blob,
        AudioWriter(file_format(Encoding.FLAC16), 8000, 2, frames) as writer,
    ):
        for _ in range(round(seconds)):
            blob.write(writer.write(block))
        blob.write(writer.finish())
        return store, blob.commit()


def _noise(frames: int) -> Samples:
    return (0.05 * np.random.default_rng(1).standard_normal((2, frames))).astype(np.float32)


_RUNS: dict[str, Callable[[Path, float], Figures]] = {
    "effects": _effects,
    "full": _ours(FULL),
    "full_plain": _plain(0.0),
    "full_pitch": _ours(FULL.change("vocals", pitch_semitones=_SEMITONES)),
    "full_pitch_plain": _plain(_SEMITONES),
    "first_chunk": _first_chunk,
    "memory": _memory,
}


if __name__ == "__main__":
    main()
