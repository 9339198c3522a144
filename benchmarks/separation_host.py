"""What a song costs the host of a GPU: `python -m benchmarks.separation_host`.

Decoding, cutting, adding up, storing and sending, with a device that gives its results at once. The
callers are another process. What is told is the time of all cores for a segment of 7.8 s, four
stems and 5.85 s of new audio each, and of that the part of the event loop, which one core does: a
device that is faster than that waits for its host.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import grpc
import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

from benchmarks.machine import Figures, machine
from benchmarks.separation_runs import RATE_HZ, STEMS, write_wav
from mixdown.separator.v1 import separator_pb2 as pb
from mixdown.separator.v1 import separator_pb2_grpc
from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.levels import LEVEL_CHANNELS
from services.runtime.blobs import open_blob_store
from services.separator.backends.backend import SegmentBatch, StemBatch
from services.separator.models import SeparationModel
from services.separator.service import SeparatorService
from services.separator.settings import SeparatorSettings
from services.separator.track import TrackReader, measure_levels

_TOLD = {
    "sources": list(STEMS),
    "channels": 4,
    "t_layers": 0,
    "segment": {"_type": "fraction", "numerator": 39, "denominator": 5},
    "samplerate": RATE_HZ,
}


class InstantBackend:
    """Gives the mixture for every stem, after as long as a device is said to take."""

    name = "instant"
    is_reference = False
    lanes = 1
    depth = 2

    def __init__(self, max_batch: int, segment_seconds: float) -> None:
        self.max_batch = max_batch
        self._segment_seconds = segment_seconds

    def run(self, member: int, batch: SegmentBatch, *, undivided: bool = False) -> StemBatch:
        """Returns the same for every stem; no copy is made, as none is on the host of a GPU."""
        del undivided
        time.sleep(self._segment_seconds * len(batch))
        segments, channels, frames = batch.shape
        return np.broadcast_to(batch[:, None], (segments, len(STEMS), channels, frames))

    def close(self) -> None:
        """Does nothing."""


def main() -> None:
    """Measures, prints the figures, and writes them where `--output` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.separation_host")
    parser.add_argument("--songs", type=int, default=16, help="at once")
    parser.add_argument("--seconds", type=float, default=60.0, help="of music in a song")
    parser.add_argument("--batch", type=int, default=16, help="segments that the device takes")
    parser.add_argument(
        "--device-ms", type=float, default=0.0, help="that the device takes for a segment"
    )
    parser.add_argument("--output", type=Path, default=None, help="write the figures there too")
    parser.add_argument("--note", default="", help="what a reader of the figures should know")
    parser.add_argument("--call", nargs="+", default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.call is not None:
        _call(arguments.call[0], arguments.call[1:])
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(_measure(arguments, Path(folder)))
    figures = {"machine": machine(), "note": arguments.note, **figures}
    text = json.dumps(figures, indent=1)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n")
    print(text)


async def _measure(arguments: argparse.Namespace, folder: Path) -> Figures:
    models = folder / "models"
    models.mkdir()
    network = HTDemucs(**{**_TOLD, "segment": Fraction(39, 5)})
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(_TOLD)}
    save_file(network.state_dict(), models / "small.safetensors", metadata=metadata)
    settings = SeparatorSettings(
        model_folder=models,
        default_model="small",
        cache_folder=folder,
        blob_store=str(folder / "blobs"),
        listen="127.0.0.1:0",
        running_tracks=arguments.songs,
        drain_seconds=0,
        log_level="warning",
    )
    tracks = [_put(settings, arguments.seconds, seed) for seed in range(arguments.songs)]
    torch.set_num_threads(1)

    def instant(_: SeparationModel) -> InstantBackend:
        return InstantBackend(arguments.batch, arguments.device_ms / 1000)

    async with SeparatorService(settings, instant) as service:
        server = service.server()
        await server.start()
        async with service.engines.use("small"):
            pass
        address = f"127.0.0.1:{server.port}"
        command = [sys.executable, "-m", "benchmarks.separation_host", "--call", address, *tracks]
        used, looped = _cpu_seconds(), time.thread_time()
        caller = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        told, _ = await caller.communicate()
        used, looped = _cpu_seconds() - used, time.thread_time() - looped
        segments = service.scheduler.statistics.segments
        await server.stop()
    seconds = json.loads(told)["seconds"]
    return {
        "songs": arguments.songs,
        "song_seconds": arguments.seconds,
        "segments": segments,
        "device_ms_a_segment": arguments.device_ms,
        "seconds": round(seconds, 2),
        "real_time_factor": round(arguments.songs * arguments.seconds / seconds, 1),
        "cpu_ms_a_segment": round(1000 * used / segments, 2),
        "event_loop_ms_a_segment": round(1000 * looped / segments, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _put(settings: SeparatorSettings, seconds: float, seed: int) -> str:
    """Stores a song, and its levels, as the check of an upload does."""
    blobs = open_blob_store(settings.blob_store)
    noise = np.random.default_rng(seed).standard_normal((2, round(seconds * RATE_HZ)), np.float32)
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        write_wav(Path(file.name), noise * np.float32(0.1))
        with blobs.create() as writer:
            writer.write(Path(file.name).read_bytes())
            track = writer.commit().sha256
    with TrackReader(blobs.open(track), RATE_HZ, LEVEL_CHANNELS) as reader:
        levels = measure_levels(reader)
    LevelStore(blobs).keep(track, RATE_HZ, LEVEL_CHANNELS, levels)
    return track


def _call(address: str, tracks: list[str]) -> None:
    """Has all tracks separated at once, and reads every stem."""
    options = [("grpc.max_receive_message_length", 1 << 24)]
    with grpc.insecure_channel(address, options) as channel, ThreadPoolExecutor(len(tracks)) as run:
        stub = separator_pb2_grpc.SeparatorServiceStub(channel)

        def read(track: str) -> int:
            request = pb.SeparateRequest(stems=STEMS)
            request.track.sha256 = track
            return sum(len(response.audio.pcm) for response in stub.Separate(request))

        began = time.perf_counter()
        sizes = list(run.map(read, tracks))
        print(json.dumps({"seconds": time.perf_counter() - began, "bytes": sizes}))


if __name__ == "__main__":
    main()
