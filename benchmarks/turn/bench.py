"""The suite under measurement: its callers, its processes, its songs."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import psutil

import mixdown
from benchmarks.accuracy import read_all
from benchmarks.demo.song import default_song
from benchmarks.demo.suite import running_suite
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2_grpc
from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from services.runtime.audio.reader import AudioReader
from services.runtime.blobs import open_blob_store
from services.separator.stem_store import Recipe, StemStore, StoredStem

RATE_HZ = 44_100

_PLENTY = "1000000"
"""Calls that one user may make: the limit is not what is measured."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own, as another caller has
)


@dataclass(frozen=True)
class Bench:
    """A running suite.

    Args:
        address: Where callers reach it.
        data_folder: Where it keeps everything.
        processes: Its processes, by name of the service, Envoy included.
    """

    address: str
    data_folder: Path
    processes: dict[str, psutil.Process]

    def caller(self) -> gateway_pb2_grpc.GatewayServiceAsyncStub:
        """Returns the calls of a caller with a connection of its own."""
        channel = grpc.aio.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
        stub: gateway_pb2_grpc.GatewayServiceAsyncStub = gateway_pb2_grpc.GatewayServiceStub(
            channel
        )
        return stub

    def address_of(self, service: str) -> str:
        """Returns where a service itself listens."""
        return self.processes[service].environ()["MIXDOWN_LISTEN"]

    @property
    def internal_address(self) -> str:
        """Where Envoy listens for calls from service to service."""
        return self.processes["gateway"].environ()["MIXDOWN_REMIXER_ADDRESS"]

    def memory_mib(self) -> dict[str, float]:
        """Returns the memory of each process, its part of what it shares; our own as "caller"."""
        return {
            name: round(process.memory_full_info().pss / 2**20, 1)
            for name, process in self._with_us().items()
        }

    def cpu_seconds(self) -> dict[str, float]:
        """Returns what each process has computed so far; our own as "caller"."""
        return {name: sum(process.cpu_times()[:2]) for name, process in self._with_us().items()}

    def _with_us(self) -> dict[str, psutil.Process]:
        return {**self.processes, "caller": psutil.Process()}


@contextmanager
def running_bench(folder: Path) -> Iterator[Bench]:
    """Runs the suite as `mixdown up` does."""
    options = ("--calls-at-once", _PLENTY, "--calls-per-second", _PLENTY)
    with running_suite(folder / "data", folder / "suite.log", options=options) as address:
        yield Bench(address, folder / "data", _processes())


def _processes() -> dict[str, psutil.Process]:
    found = {}
    for process in psutil.Process().children(recursive=True):
        command = process.cmdline()
        if len(command) > 2 and command[2].startswith("services."):
            found[command[2].removeprefix("services.")] = process
        elif command and Path(command[0]).name == "envoy":
            found["envoy"] = process
    found.pop("local", None)
    return found


def write_song(path: Path, seconds: float, skip_seconds: float = 0.0) -> Path:
    """Writes the example song, repeated for `seconds`, as a WAV of 16 bits.

    Args:
        path: Where to.
        seconds: How long.
        skip_seconds: Where in the song it begins: another beginning is another track.
    """
    once = np.clip(read_all(default_song().path) * 2**15, -(2**15), 2**15 - 1).astype("<i2")
    once = np.roll(once, -round(skip_seconds * RATE_HZ), axis=1)
    left = round(seconds * RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(once.shape[0])
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        while left:
            part = once[:, :left]
            file.writeframes(part.T.tobytes())
            left -= part.shape[1]
    return path


async def open_session(bench: Bench, path: Path) -> mixdown.Session:
    """Uploads a song and begins a conversation; the connection lives as long as the session."""
    client = mixdown.connect(bench.address)
    return await client.create_session(await client.upload(path))


async def keep_stems(
    bench: Bench, track: conversation_pb2.Track, path: Path, stems: Sequence[str]
) -> None:
    """Puts stems of a track into the store, as if they had been separated before.

    Where stems are cached, what made them does not matter: each of these is half of the song.
    """
    models, weights_sha256 = await _describe_model(bench, track, stems)
    recipe = Recipe(track.blob.sha256, models.default_model, weights_sha256, 0.25, 0)
    store = StemStore(open_blob_store(str(bench.data_folder / "blobs")))
    frames = 0
    with store.write() as writer, AudioReader(path) as reader:
        for block in reader.blocks(1 << 20):
            frames += block.shape[1]
            writer.write((block * np.float32(0.5)).T.astype("<f4", order="C").tobytes())
        stored = StoredStem(
            writer.commit(), frames, RATE_HZ, reader.channels, writer.peak, "benchmark"
        )
    for stem in stems:
        store.keep(recipe, stem, stored)


async def _describe_model(
    bench: Bench, track: conversation_pb2.Track, stems: Sequence[str]
) -> tuple[separator_pb2.ListModelsResponse, str]:
    async with grpc.aio.insecure_channel(bench.address_of("separator")) as channel:
        stub: separator_pb2_grpc.SeparatorServiceAsyncStub = (
            separator_pb2_grpc.SeparatorServiceStub(channel)
        )
        models = await stub.ListModels(separator_pb2.ListModelsRequest())
        call = stub.Separate(
            separator_pb2.SeparateRequest(track=track.blob, model=models.default_model, stems=stems)
        )
        async for response in call:
            if response.HasField("started"):
                call.cancel()
                return models, response.started.weights_sha256
    raise RuntimeError("the separator ended before it began")
