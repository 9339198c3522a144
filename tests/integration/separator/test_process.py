"""The separator as a process: it starts, answers, and goes when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.separator.v1 import separator_pb2 as pb
from mixdown.separator.v1 import separator_pb2_grpc
from services.local.ports import free_port
from services.runtime.blobs import open_blob_store
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import music, tiny_htdemucs, write_bag, write_wav


def environment(folder: Path, **settings: str) -> dict[str, str]:
    told = {
        "BLOB_STORE": folder / "blobs",
        "CACHE_FOLDER": folder / "cache",
        "MODEL_FOLDER": folder / "models",
        "DEFAULT_MODEL": "tiny",
        "DEVICE": "cpu",
        "THREADS": 1,
        **settings,
    }
    return os.environ | {f"MIXDOWN_{name}": str(value) for name, value in told.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bag(tmp_path / "models", "tiny", {"aaaa": tiny_htdemucs()})
    return tmp_path


def test_a_process_serves_and_ends_on_sigterm_without_leaving_files(folder: Path) -> None:
    write_wav(folder / "song.wav", music(300.0), 8_000)
    with open_blob_store(str(folder / "blobs")).create() as writer:
        writer.write((folder / "song.wav").read_bytes())
        track = writer.commit().sha256
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "services.separator"],
        env=environment(folder, LISTEN=f"127.0.0.1:{port}", DRAIN_SECONDS="0"),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=PATIENCE_SECONDS)
            health = health_pb2_grpc.HealthStub(channel)
            watching = health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
            assert any(told.status == health_pb2.HealthCheckResponse.SERVING for told in watching)
            watching.cancel()
            request = pb.SeparateRequest(stems=["vocals"])
            request.track.sha256 = track
            call = separator_pb2_grpc.SeparatorServiceStub(channel).Separate(request)
            assert any(response.HasField("audio") for response in call)
            process.send_signal(signal.SIGTERM)
            _, logs = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, logs
    assert "defect" not in logs
    assert not [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert not list((folder / "blobs" / "partial").iterdir())


def test_fetching_weights_tells_where_they_came_from(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.separator", "fetch-weights"],
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.stdout == "tiny: weights from the local folder\n"


def test_fetching_weights_that_nobody_has_fails_and_does_not_wait(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.separator", "fetch-weights", "htdemucs_6s"],
        env=environment(folder)
        | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert "MIXDOWN_MODEL_FOLDER" in done.stderr
    assert "Traceback" not in done.stderr
