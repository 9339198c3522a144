"""Our separation beside stock Demucs: `python -m benchmarks.separation`.

Every run has a process of its own, so that its peak memory is its own. The song is repeated or cut
to `--seconds`. Where its true stems are there too, the SDR is told: in a file of five streams (a
`.stem.mp4`) or in a folder with `mixture`, `drums`, `bass`, `other` and `vocals`.

On a GPU: `python -m benchmarks.separation --device cuda --seconds 180 --songs 16`. Stock Demucs
runs on the same GPU; `concurrent` tells how much faster many songs at once are than stock is with
one after another.

The memory of the real model is watched while it works on an hour of music, for `--watch-seconds`
only: whatever grows with the length shows from the first segments on, and a whole hour takes a
quarter of one on two cores. A small network goes through all of the hour. Both are compared with
two minutes, the small network with one as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.machine import Figures, machine
from benchmarks.separation_runs import RATE_HZ, RUNS, STEMS, write_wav
from services.runtime.audio.reader import AudioReader, Samples


def main() -> None:
    """Measures, prints a table, and writes the figures where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.separation", description=__doc__)
    parser.add_argument(
        "--song", type=Path, default=None, help="file or folder; default: stempeg's example"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of music")
    parser.add_argument("--songs", type=int, default=4, help="songs at once, beside one")
    parser.add_argument(
        "--rounds", type=int, default=1, help="of stock and ours in turns; the medians are told"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, openvino or cuda")
    parser.add_argument(
        "--long-minutes", type=float, default=60.0, help="for the memory; 0 leaves it out"
    )
    parser.add_argument(
        "--watch-seconds", type=float, default=120.0, help="for the memory of the real model"
    )
    parser.add_argument("--memory", action="store_true", help="measure the memory, nothing else")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--output", type=Path, default=None, help="write the figures there too")
    parser.add_argument("--note", default="", help="what a reader of the figures should know")
    parser.add_argument("--run", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        print(json.dumps(RUNS[arguments.run](arguments)))
        return
    figures = measure(arguments)
    text = json.dumps(figures, indent=1)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n")
    print(text if arguments.json or arguments.memory else table(figures))


def measure(arguments: argparse.Namespace) -> Figures:
    """Runs everything, one after another."""
    song = arguments.song or example_song()
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder)
        prepare(song, arguments.seconds, prepared)
        arguments.song = prepared
        _in_process("warm_up", arguments)  # weights and compiled models are there from now on
        about = {"machine": machine(), "note": arguments.note, "song": song.name}
        if arguments.memory:
            return {**about, "memory": _measure_memory(arguments)}
        runs = _in_turns(("stock", "stock_plain", "ours"), arguments)
        outputs = {name: np.load(prepared / f"{name}.npy") for name in runs}
        truth = prepared / "truth.npy"
        if truth.exists():
            for name, figures in runs.items():
                figures["sdr_db"] = _by_stem(np.load(truth), outputs[name])
        runs["ours"]["snr_to_stock_plain_db"] = _by_stem(outputs["stock_plain"], outputs["ours"])
        result: Figures = {
            **about,
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
        at_once = result["concurrent"]
        at_once["speedup_over_stock_one_by_one"] = round(
            arguments.songs * runs["stock"]["seconds"] / at_once["seconds"], 2
        )
        if arguments.long_minutes:
            result["memory"] = _measure_memory(arguments)
        return result


def example_song() -> Path:
    """Returns the example song of the stempeg package."""
    spec = importlib.util.find_spec("stempeg")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("Name a song with --song, or install stempeg for its example.")
    return next(Path(spec.submodule_search_locations[0], "data").glob("*.stem.mp4"))


def prepare(song: Path, seconds: float, folder: Path) -> None:
    """Writes `mix.wav` and, where the true stems are there too, `truth.npy` into `folder`."""
    sources = _sources(song)
    write_wav(folder / "mix.wav", _fit(_decode(*sources[0]), seconds))
    if len(sources) == 1 + len(STEMS):
        np.save(folder / "truth.npy", np.stack([_fit(_decode(*s), seconds) for s in sources[1:]]))


def _sources(song: Path) -> list[tuple[Path, int]]:
    """Returns file and stream of the mixture and, where they are there, of its true stems."""
    if song.is_dir():
        files = {file.stem: file for file in song.iterdir()}
        names = ["mixture", *(stem for stem in STEMS if stem in files)]
        return [(files[name], 0) for name in names]
    with av.open(str(song)) as container:
        streams = len(container.streams.audio)
    return [(song, number) for number in range(streams if streams == 1 + len(STEMS) else 1)]


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


def _in_turns(names: Sequence[str], arguments: argparse.Namespace) -> dict[str, Figures]:
    """Returns, by name, the figures of the round of median length, and how long each round took."""
    rounds = [
        {name: _in_process(name, arguments) for name in names} for _ in range(arguments.rounds)
    ]
    runs = {}
    for name in names:
        by_length = sorted((done[name] for done in rounds), key=lambda run: run["seconds"])
        seconds = [done[name]["seconds"] for done in rounds]
        runs[name] = {**by_length[(len(rounds) - 1) // 2], "seconds_by_round": seconds}
    return runs


def _in_process(run: str, arguments: argparse.Namespace, **environment: str) -> Figures:
    """Runs one measurement in a process of its own and returns what it prints last."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.separation", "--run", run]
    for name in ("song", "seconds", "songs", "device", "watch_seconds"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def _measure_memory(arguments: argparse.Namespace) -> Figures:
    """Returns the peaks of short tracks and a long one, and how much more the long one takes."""

    def measured(run: str, *short_minutes: float, **changes: Any) -> Figures:
        runs: Figures = {}
        for minutes in (*short_minutes, arguments.long_minutes):
            told = {**vars(arguments), **changes, "seconds": 60 * minutes}
            runs[f"{minutes:g}_minutes"] = _in_process(run, argparse.Namespace(**told))
        *short, long = (figures["peak_mib"] for figures in runs.values())
        growth = [round(100 * (long / peak - 1), 1) for peak in short]
        return {**runs, "growth_percent": dict(zip(runs, growth, strict=False))}

    return {
        "real_model": measured("real_memory", 2.0),
        "small_network_to_the_end": measured("engine_memory", 1.0, 2.0, device="cpu"),
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
    rounds = len(figures["runs"]["ours"]["seconds_by_round"])
    if rounds > 1:
        lines.append(f"(the median of {rounds} rounds)")
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
        f"{at_once['real_time_factor']:.2f} × real time, "
        f"{at_once['speedup_over_stock_one_by_one']}× as fast as stock with one after another"
    )
    lines += [f"memory, {what}: {told}" for what, told in figures.get("memory", {}).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
