"""A device that never answers, nor fails: its process ends all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from mixdown.separator.v1 import separator_pb2 as pb
from mixdown.separator.v1 import separator_pb2_grpc
from services.local.ports import free_port
from services.runtime.blobs import open_blob_store
from services.runtime.errors import error_info_of
from tests.integration.separator.test_process import environment
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import music, tiny_htdemucs, write_bag, write_wav

HANGING = """
import threading
from services.separator.__main__ import main
from services.separator.backends.torch_cpu import TorchCpuBackend
TorchCpuBackend.run = lambda *_, **__: threading.Event().wait()
main()
"""


def test_a_process_whose_device_hangs_tells_its_callers_and_ends(tmp_path: Path) -> None:
    write_bag(tmp_path / "models", "tiny", {"aaaa": tiny_htdemucs()})
    write_wav(tmp_path / "song.wav", music(2.0), 8_000)
    with open_blob_store(str(tmp_path / "blobs")).create() as writer:
        writer.write((tmp_path / "song.wav").read_bytes())
        request = pb.SeparateRequest(stems=["vocals"])
        request.track.sha256 = writer.commit().sha256
    port = free_port()
    settings = {
        "LISTEN": f"127.0.0.1:{port}",
        "PRELOAD": "false",
        "DEVICE_PATIENCE_SECONDS": "0.5",
        "DRAIN_NOTICE_SECONDS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING],
        env=environment(tmp_path, **settings),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=PATIENCE_SECONDS)
            call = separator_pb2_grpc.SeparatorServiceStub(channel).Separate(request)
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
        _, logs = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert error_info_of(caught.value).reason == "DEVICE_LOST"
    assert process.returncode == os.EX_SOFTWARE, logs
    assert "the device is lost" in logs
    assert not list((tmp_path / "blobs" / "partial").iterdir())
