"""What the way through Envoy and the gateway costs, and what many callers at once cost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterable, Callable, Sequence
from pathlib import Path

import grpc

import mixdown
from benchmarks.machine import Figures
from benchmarks.turn.bench import CACHED_STEM, Bench, keep_stem, open_session, write_song
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix import EqBand, Mix, TargetSettings
from mixdown.mix.protobuf import mix_to_message
from mixdown.mix.v1 import mix_pb2
from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from mixdown.session.v1 import session_pb2, session_pb2_grpc

_BLOCK_BYTES = 256 * 1024
_SAMPLE_SECONDS = 0.2
_SLOW_PAUSE_SECONDS = 0.5
_SHORT_CALLS = 200
_NOBODY = "nobody"
_LARGE = (("grpc.max_receive_message_length", 8 << 20),)
_OUTPUT = mix_pb2.Output(kind=mix_pb2.Output.KIND_MIX)


class Prepared:
    """A song with one stem in the store, and a conversation about it."""

    def __init__(self, session: mixdown.Session, track: conversation_pb2.Track) -> None:
        self.session = session
        self.track = track
        self._count = 0

    @classmethod
    async def open(cls, bench: Bench, folder: Path, seconds: float) -> Prepared:
        """Uploads a song of so many seconds."""
        path = write_song(folder / "prepared.wav", seconds, skip_seconds=0.25)
        session = await open_session(bench, path)
        track = await anext(aiter(mixdown.connect(bench.address).tracks()))
        await keep_stem(bench, track, path)
        path.unlink()
        return cls(session, track)

    async def again(self, bench: Bench) -> Prepared:
        """Begins another conversation about the same song."""
        client = mixdown.connect(bench.address)
        return Prepared(await client.create_session(self.track), self.track)

    def request(self, mix: mix_pb2.Mix) -> remixer_pb2.RenderRequest:
        """Returns what the gateway would ask of the remixer."""
        return remixer_pb2.RenderRequest(
            track=self.track.blob, mix=mix, outputs=[_OUTPUT], model=self.session.resource.model
        )

    def next_mix(self, number: int | None = None) -> mix_pb2.Mix:
        """Returns a mix that was not rendered before: what was is only fetched from the store."""
        self._count += 1
        level = (self._count if number is None else number) / 1000
        settings = TargetSettings(
            gain_db=3.0 + level, reverb=0.3, eq=(EqBand("peak", 3000.0, 5.0),)
        )
        return mix_to_message(Mix({CACHED_STEM: settings}))


# The same remix, asked of the remixer itself and through Envoy and the gateway


async def measure_overhead(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures remixes by both ways in turn, every one of them rendered anew."""
    prepared = await Prepared.open(bench, folder, seconds)
    stub = bench.caller()
    direct, through = _Way(bench), _Way(bench)
    async with _connect(bench.address_of("remixer")) as channel:
        remixer = _remixer(channel)
        for _ in range(repeats + 1):
            await direct.take(remixer.Render(prepared.request(prepared.next_mix())))
            said = gateway_pb2.RenderRequest(
                session_id=prepared.session.session_id, mix=prepared.next_mix()
            )
            await through.take(stub.Render(said))
    return {
        "repeats": repeats,
        "remixer_seconds": round(min(direct.took), 3),
        "through_envoy_and_gateway_seconds": round(min(through.took), 3),
        "overhead_percent": _percent_more(min(through.took), min(direct.took)),
        "overhead_percent_of_medians": _percent_more(
            statistics.median(through.took), statistics.median(direct.took)
        ),
        "cpu_seconds_of_the_remixer_itself": direct.cpu_seconds(),
        "cpu_seconds_through_envoy_and_gateway": through.cpu_seconds(),
    }


async def measure_internal(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures calls from service to service, without and with Envoy's internal listener.

    A stream: a file that the remixer has in the store. A short call: a list of sessions.
    """
    prepared = await Prepared.open(bench, folder, seconds)
    request = prepared.request(prepared.next_mix())
    listing = session_pb2.ListSessionsRequest(user_id=_NOBODY)
    places = {
        "directly": (bench.address_of("remixer"), bench.address_of("session")),
        "through_envoy": (bench.internal_address, bench.internal_address),
    }
    streams = {name: _Way(bench) for name in places}
    short: dict[str, list[float]] = {name: [] for name in places}
    async with contextlib.AsyncExitStack() as stack:
        remixers, sessions = {}, {}
        for name, (remixer, session) in places.items():
            remixers[name] = _remixer(await stack.enter_async_context(_connect(remixer)))
            sessions[name] = _session(await stack.enter_async_context(_connect(session)))
        for _ in range(repeats + 1):  # the first one of all renders the file
            for name in places:
                await streams[name].take(remixers[name].Render(request))
        for _ in range(_SHORT_CALLS):
            for name in places:
                began = time.perf_counter()
                await sessions[name].ListSessions(listing)
                short[name].append(time.perf_counter() - began)
    told = {
        name: {
            "stream_seconds": round(min(streams[name].took), 3),
            "stream_cpu_seconds": streams[name].cpu_seconds(),
            "short_call_ms": round(1000 * statistics.median(short[name]), 2),
        }
        for name in places
    }
    return {"repeats": repeats, **told}


class _Way:
    """Streams of one kind: their seconds, and the CPU seconds of every process meanwhile."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._cpu_seconds: list[dict[str, float]] = []
        self._took: list[float] = []

    @property
    def took(self) -> list[float]:
        """The seconds of each stream, without the first one, which opens what stays open."""
        return self._took[1:]

    async def take(self, call: AsyncIterable[object]) -> None:
        """Reads a stream to its end."""
        before = self._bench.cpu_seconds()
        self._took.append(await _drain(call))
        after = self._bench.cpu_seconds()
        self._cpu_seconds.append({name: after[name] - before[name] for name in before})

    def cpu_seconds(self) -> Figures:
        """Returns the mean of each process and of their sums."""
        runs = self._cpu_seconds[1:]
        means = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
        means["all"] = sum(means.values())
        return {name: round(seconds, 3) for name, seconds in means.items()}


def _percent_more(one: float, other: float) -> float:
    return round(100 * (one / other - 1), 1)


def _connect(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=_LARGE)


def _remixer(channel: grpc.aio.Channel) -> remixer_pb2_grpc.RemixerServiceAsyncStub:
    stub: remixer_pb2_grpc.RemixerServiceAsyncStub = remixer_pb2_grpc.RemixerServiceStub(channel)
    return stub


def _session(channel: grpc.aio.Channel) -> session_pb2_grpc.SessionServiceAsyncStub:
    stub: session_pb2_grpc.SessionServiceAsyncStub = session_pb2_grpc.SessionServiceStub(channel)
    return stub


async def _drain(call: AsyncIterable[object], pause_seconds: float = 0.0) -> float:
    """Reads a stream to its end and returns the seconds; a slow reader pauses at each message."""
    began = time.perf_counter()
    async for _ in call:
        if pause_seconds:
            await asyncio.sleep(pause_seconds)
    return time.perf_counter() - began


# A download, and a copy of the same file over the same kind of socket


async def measure_download(bench: Bench, folder: Path, seconds: float, repeats: int) -> Figures:
    """Measures downloads of one artifact against a plain copy of the file over loopback TCP."""
    artifact = await _make_artifact(bench, folder, seconds)
    path = _blob_path(bench, artifact.blob.sha256)
    size = artifact.blob.size_bytes
    ways: dict[str, Callable[[], float]] = {
        "copy_over_socket": lambda: _copy_over_socket(path),
        "http": lambda: _download_by_http(bench.address, artifact.artifact_id),
    }
    took: dict[str, list[float]] = {"grpc": [], **{name: [] for name in ways}}
    for _ in range(repeats):
        for name, measure in ways.items():
            took[name].append(await asyncio.to_thread(measure))
        request = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id)
        took["grpc"].append(await _drain(bench.caller().DownloadArtifact(request)))
    rates = {name: size / 1e6 / min(times) for name, times in took.items()}
    return {
        "size_mb": round(size / 1e6, 1),
        **{f"{name}_mb_per_second": round(rate) for name, rate in rates.items()},
        "http_to_copy": round(rates["http"] / rates["copy_over_socket"], 3),
        "grpc_to_copy": round(rates["grpc"] / rates["copy_over_socket"], 3),
    }


async def _make_artifact(bench: Bench, folder: Path, seconds: float) -> conversation_pb2.Artifact:
    prepared = await Prepared.open(bench, folder, seconds)
    turn = await prepared.session.render(Mix({"mix": TargetSettings(gain_db=-1.0)}))
    return turn.files[0].artifact


def _blob_path(bench: Bench, sha256: str) -> Path:
    return bench.data_folder / "blobs" / "blobs" / sha256[:2] / sha256


def _copy_over_socket(path: Path) -> float:
    """Sends a file through a TCP connection on loopback; returns the seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            connection, _ = server.accept()
            with connection, path.open("rb") as file:
                while data := file.read(_BLOCK_BYTES):
                    connection.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        began = time.perf_counter()
        with socket.create_connection(server.getsockname()) as reader:
            block = bytearray(_BLOCK_BYTES)
            while reader.recv_into(block):
                pass
        seconds = time.perf_counter() - began
        sender.join()
    return seconds


def _download_by_http(address: str, artifact_id: str) -> float:
    connection = http.client.HTTPConnection(address)
    began = time.perf_counter()
    connection.request("GET", f"/v1/artifacts/{artifact_id}/file")
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"the download was refused: {response.status}")
    block = bytearray(_BLOCK_BYTES)
    while response.readinto(block):
        pass
    connection.close()
    return time.perf_counter() - began


# Many at once


async def measure_streams(bench: Bench, folder: Path, seconds: float, clients: int) -> Figures:
    """Measures remixes streamed to many callers at once, without and with a slow one among them."""
    first = await Prepared.open(bench, folder, seconds)
    callers = [first, *[await first.again(bench) for _ in range(clients)]]
    alone = await _stream_to(bench, callers[:clients], slow=None, start=0)
    before = bench.memory_mib()
    with_slow = await _stream_to(bench, callers[:clients], slow=callers[clients], start=clients)
    return {
        "clients": clients,
        "music_seconds": seconds,
        "seconds": round(max(alone), 2),
        "seconds_with_a_slow_one": round(max(with_slow), 2),
        "memory_mib_before": before,
        "memory_mib_while_one_is_slow": bench.memory_mib(),
    }


async def _stream_to(
    bench: Bench, callers: Sequence[Prepared], *, slow: Prepared | None, start: int
) -> list[float]:
    """Renders another mix for each caller; the slow one is cut off when the others have all."""

    def stream(caller: Prepared, number: int, pause_seconds: float = 0.0) -> asyncio.Task[float]:
        request = gateway_pb2.RenderRequest(
            session_id=caller.session.session_id, mix=first.next_mix(1000 + start + number)
        )
        return asyncio.create_task(_drain(bench.caller().Render(request), pause_seconds))

    first = callers[0]
    tasks = [stream(caller, number) for number, caller in enumerate(callers)]
    slow_task = None if slow is None else stream(slow, len(callers), _SLOW_PAUSE_SECONDS)
    took = await asyncio.gather(*tasks)
    if slow_task is not None:
        if slow_task.done():
            raise RuntimeError("the slow caller was not slow")
        slow_task.cancel()
        await asyncio.wait({slow_task})
    return took


async def measure_downloads(bench: Bench, folder: Path, seconds: float, downloads: int) -> Figures:
    """Measures many downloads at once, and the memory of every process meanwhile."""
    artifact = await _make_artifact(bench, folder, seconds)
    before = bench.memory_mib()
    highest = dict(before)
    began = time.perf_counter()
    work = asyncio.gather(*(_download(bench, artifact) for _ in range(downloads)))
    while not work.done():
        await asyncio.wait({work}, timeout=_SAMPLE_SECONDS)
        for name, mib in bench.memory_mib().items():
            highest[name] = max(highest[name], mib)
    await work
    took = time.perf_counter() - began
    return {
        "downloads": downloads,
        "size_mb": round(artifact.blob.size_bytes / 1e6, 1),
        "seconds": round(took, 2),
        "mb_per_second": round(downloads * artifact.blob.size_bytes / 1e6 / took),
        "memory_mib_before": before,
        "memory_mib_highest": highest,
        "memory_mib_grown": {name: round(highest[name] - before[name], 1) for name in before},
    }


async def _download(bench: Bench, artifact: conversation_pb2.Artifact) -> None:
    request = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id)
    digest = hashlib.sha256()
    async for message in bench.caller().DownloadArtifact(request):
        digest.update(message.data)
    if digest.hexdigest() != artifact.blob.sha256:
        raise RuntimeError("a download is not the file")
