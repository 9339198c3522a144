"""The suite as processes on real sockets, two gateways included; only the separator is a double."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import uuid
import wave
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.client import Client
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.link import Link
from services.local.ports import free_port
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[3]
RATE_HZ = 44_100


@dataclass
class Suite:
    """Processes of the services, and where they listen."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def partial(self) -> Path:
        return self.folder / "blobs" / "partial"

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def separations(self) -> int:
        return int((self.folder / "separations").read_text() or 0)

    def start(self, name: str, module: str, **settings: str) -> None:
        self.ports.setdefault(name, free_port())
        addresses = {
            f"MIXDOWN_{other.upper()}_ADDRESS": self.address(other)
            for other in self.ports
            if other != name
        }
        environment = {
            **os.environ,
            **addresses,
            "MIXDOWN_LISTEN": self.address(name),
            "MIXDOWN_BLOB_STORE": str(self.folder / "blobs"),
            "MIXDOWN_DATABASE_URL": f"sqlite:///{self.folder / 'session.db'}",
            "MIXDOWN_LOG_LEVEL": "warning",
            "MIXDOWN_DRAIN_SECONDS": "1",
            "MIXDOWN_DELETION_GRACE_SECONDS": "0",
            "MIXDOWN_CLEAN_SECONDS": "0.2",
            "COUNTER_FILE": str(self.folder / "separations"),
            "TMPDIR": str(self.temporary),
            **settings,
        }
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=environment, stdout=log, stderr=log
        )

    def wait(self, *names: str, reaching: bool = True) -> None:
        """Waits until servers answer, and until gateways reach the others."""
        for name in names or tuple(self.processes):
            while not self._serves(name):
                if self.processes[name].poll() is not None:
                    raise AssertionError((self.folder / f"{name}.log").read_text())
                time.sleep(0.1)
            if reaching and name.startswith("gateway"):
                self._wait_until_the_others_are_reached(name)

    def _wait_until_the_others_are_reached(self, name: str) -> None:
        """A gateway that looked for the others before they were there looks again only later."""
        with grpc.insecure_channel(self.address(name)) as channel:
            stub = gateway_pb2_grpc.GatewayServiceStub(channel)
            metadata = (("x-mixdown-user", "readiness"),)

            def reaches_all() -> bool:
                try:
                    stub.ListTracks(gateway_pb2.ListTracksRequest(), metadata=metadata)
                    stub.GetCapabilities(gateway_pb2.GetCapabilitiesRequest(), metadata=metadata)
                except grpc.RpcError:
                    return False
                return True

            assert eventually(reaches_all)

    def _serves(self, name: str) -> bool:
        with grpc.insecure_channel(self.address(name)) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                return False
            return True

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


GATEWAY = "services.gateway"
BACKGROUND_TURNS = 2
GATEWAY_SETTINGS = {
    "MIXDOWN_BACKGROUND_TURNS": str(BACKGROUND_TURNS),
    # A gateway that stands still for a while keeps its turns: renewed every ten seconds.
    "MIXDOWN_LEASE_SECONDS": "30",
    "MIXDOWN_TAKEOVER_SECONDS": "1",
    "MIXDOWN_HEARTBEAT_SECONDS": "0.5",
    "MIXDOWN_UPLOAD_LIMIT_BYTES": "20000000",
    "MIXDOWN_TRACK_LIMIT_SECONDS": "60",
    "MIXDOWN_PATIENCE_SECONDS": "6",
}
DOOMED_SETTINGS = {**GATEWAY_SETTINGS, "MIXDOWN_LEASE_SECONDS": "5"}
"""Of a gateway that will be killed: its turns are to be taken over soon."""


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("suite"))
    suite.temporary.mkdir()
    names = ("session", "interpreter", "separator", "remixer", "gateway", "gateway-2")
    suite.ports = {name: free_port() for name in names}
    try:
        suite.start("session", "services.session")
        suite.start("interpreter", "services.interpreter", MIXDOWN_ENGINE="builtin")
        suite.start("separator", "tests.integration.gateway.separator_double")
        suite.start("remixer", "services.remixer")
        suite.start("gateway", GATEWAY, **GATEWAY_SETTINGS)
        suite.start("gateway-2", GATEWAY, **GATEWAY_SETTINGS)
        suite.wait()
        yield suite
    finally:
        suite.stop()


@dataclass
class Caller:
    """A user at a gateway: the client, and the bare stub for what the client never does."""

    client: Client
    stub: gateway_pb2_grpc.GatewayServiceStub
    metadata: tuple[tuple[str, str], ...]


def call_as(suite: Suite, user: str, gateway: str = "gateway") -> Caller:
    channel = aio.insecure_channel(suite.address(gateway))
    stub = gateway_pb2_grpc.GatewayServiceStub(channel)
    metadata = (("x-mixdown-user", user),) if user else ()
    return Caller(Client(channel, Link(stub, suite.address(gateway), metadata)), stub, metadata)


@pytest_asyncio.fixture
async def caller(suite: Suite) -> AsyncIterator[Caller]:
    caller = call_as(suite, f"user-{uuid.uuid4().hex}")
    async with caller.client:
        yield caller


def noise_wav(seconds: float = 3.0, seed: int = 1, channels: int = 2) -> bytes:
    """A WAV file of quiet noise, 16 bits."""
    random = np.random.default_rng(seed)
    samples = random.integers(-8000, 8000, (int(seconds * RATE_HZ), channels), dtype=np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "my song.wav"
    path.write_bytes(noise_wav())
    return path


def eventually(holds, seconds: float = PATIENCE_SECONDS) -> bool:
    """Waits until something holds."""
    limit = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True
