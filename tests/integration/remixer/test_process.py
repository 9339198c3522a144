"""The remixer as a process: it starts, answers, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.remixer.v1 import remixer_pb2, remixer_pb2_grpc
from services.local.ports import free_port
from tests.patience import PATIENCE_SECONDS


def test_the_process_serves_and_ends_on_sigterm(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "MIXDOWN_LISTEN": address,
        "MIXDOWN_BLOB_STORE": str(tmp_path / "blobs"),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.remixer"], env=environment)
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=PATIENCE_SECONDS)
            health = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="mixdown.remixer.v1.RemixerService")
            )
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            stub = remixer_pb2_grpc.RemixerServiceStub(channel)
            assert stub.GetEffects(remixer_pb2.GetEffectsRequest()).effects
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
