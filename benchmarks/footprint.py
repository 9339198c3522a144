"""Measures what each process of the suite needs: memory at rest and under load, and cores.

    python -m benchmarks.footprint [--songs N] [--seconds S] [--json FILE]

Several people at once upload a song each and talk to it, through Envoy, on this machine. Memory is
PSS (shared pages are split between those who share them), sampled; a service's children count with
it. The requests and limits of `deploy/k8s/` come from these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
import wave
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

import mixdown
from benchmarks.demo.suite import running_suite
from benchmarks.machine import Figures, machine

_PROMPTS = (
    "only the vocals",
    "vocals 3 dB louder and some reverb on the drums",
    "pitch the bass up two semitones",
    "give me the drums and the bass as separate files",
)
_RATE_HZ = 44_100
_SAMPLE_SECONDS = 0.25
_REST_SECONDS = 5.0


class Watch:
    """Samples the memory and the CPU time of processes below this one, by service."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak_bytes: dict[str, int] = defaultdict(int)
        self.cpu_seconds: dict[str, float] = defaultdict(float)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_SAMPLE_SECONDS):
            for service, (memory, seconds) in sample().items():
                self.peak_bytes[service] = max(self.peak_bytes[service], memory)
                self.cpu_seconds[service] = max(self.cpu_seconds[service], seconds)


def sample() -> dict[str, tuple[int, float]]:
    """Returns PSS in bytes and CPU seconds so far of each service below this process."""
    found: dict[str, tuple[int, float]] = {}
    for child in psutil.Process().children(recursive=True):
        service = _service_of(child)
        if service is None:
            continue
        memory, seconds = 0, 0.0
        for process in (child, *_children(child)):
            try:
                memory += process.memory_full_info().pss
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            seconds += times.user + times.system
        found[service] = (memory, seconds)
    return found


def _service_of(process: psutil.Process) -> str | None:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return None
    if command and Path(command[0]).name == "envoy":
        return "envoy"
    if len(command) == 3 and command[1] == "-m" and command[2].startswith("services."):
        return command[2].removeprefix("services.")
    return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def write_song(path: Path, seconds: float, seed: int) -> None:
    """Writes noise as a stereo WAV: separation and rendering take as long as with music."""
    noise = np.random.default_rng(seed).standard_normal((round(seconds * _RATE_HZ), 2)) * 3000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(noise.astype("<i2").tobytes())


async def talk(address: str, song: Path, folder: Path) -> None:
    """Uploads a song and says every prompt."""
    async with mixdown.connect(address) as client:
        track = await client.upload(song)
        session = await client.create_session(track)
        for prompt in _PROMPTS:
            await session.ask(prompt, folder=folder)


async def _talk_at_once(address: str, songs: list[Path], folder: Path) -> None:
    await asyncio.gather(*(talk(address, song, folder / song.stem) for song in songs))


def measure(count: int, seconds: float) -> Figures:
    """Measures the suite at rest and with `count` people talking at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = [folder / f"song-{number}.wav" for number in range(count)]
        for seed, song in enumerate(songs):
            write_song(song, seconds, seed)
        with running_suite(folder / "data", folder / "log") as address:
            time.sleep(_REST_SECONDS)
            rest = sample()
            with Watch() as watch:
                began = time.monotonic()
                asyncio.run(_talk_at_once(address, songs, folder / "out"))
                took = time.monotonic() - began
    return {
        "songs": count,
        "seconds_each": seconds,
        "turns_each": len(_PROMPTS),
        "wall_seconds": round(took, 1),
        "services": {
            service: {
                "rest_mib": round(memory / 2**20),
                "peak_mib": round(watch.peak_bytes[service] / 2**20),
                "cores": round((watch.cpu_seconds[service] - before) / took, 2),
            }
            for service, (memory, before) in sorted(rest.items())
        },
    }


def main() -> None:
    """Reads the command line, measures, and tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--songs", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    figures = {"machine": machine(), **measure(arguments.songs, arguments.seconds)}
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
