"""How fast files come, and what many callers at once cost."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import Figures
from benchmarks.turn.bench import Bench
from benchmarks.turn.prepared import Prepared, drain
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix import Mix, TargetSettings

_BLOCK_BYTES = 256 * 1024
_SAMPLE_SECONDS = 0.2
_SLOW_PAUSE_SECONDS = 0.5


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
        took["grpc"].append(await drain(bench.caller().DownloadArtifact(request)))
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
        return asyncio.create_task(drain(bench.caller().Render(request), pause_seconds))

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
