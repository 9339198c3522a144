"""The services as processes that can be killed and come back, as an orchestrator would do it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.local.ports import free_port
from services.session.database import create_database_engine
from services.session.schema import migrate
from tests.separator_models import tiny_htdemucs, write_bag

SERVICES = ("session", "interpreter", "separator", "remixer", "gateway")
USER = "ada"
_START_SECONDS = 90


class Cluster:
    """One process of each service.

    Args:
        folder: Where models, logs and caches lie.
        database_url: The session service's database, which must be empty.
        blob_store: Location of the blob store.
        environment: What the processes need besides, such as how to reach S3.
    """

    def __init__(
        self, folder: Path, database_url: str, blob_store: str, environment: dict[str, str]
    ) -> None:
        self.database_url = database_url
        self.blob_store = blob_store
        self._folder = folder
        self._ports = {name: free_port() for name in SERVICES}
        addresses = {
            f"MIXDOWN_{name.upper()}_ADDRESS": self.address(name)
            for name in SERVICES
            if name != "gateway"
        }
        self._environment = {
            **os.environ,
            **environment,
            **addresses,
            "MIXDOWN_DATABASE_URL": database_url,
            "MIXDOWN_BLOB_STORE": blob_store,
            "MIXDOWN_CACHE_FOLDER": str(folder / "cache"),
            "MIXDOWN_MODEL_FOLDER": str(folder / "models"),
            "MIXDOWN_DEFAULT_MODEL": "tiny",
            "MIXDOWN_DEVICE": "cpu",
            "MIXDOWN_THREADS": "1",
            "MIXDOWN_DEVELOPMENT_USER": USER,
            "MIXDOWN_LEASE_SECONDS": "5",
            "MIXDOWN_PATIENCE_SECONDS": "60",
            "MIXDOWN_DRAIN_SECONDS": "1",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_bag(self._folder / "models", "tiny", {"aaaa": tiny_htdemucs()})
        engine = create_database_engine(self.database_url, 1)
        migrate(engine)
        engine.dispose()
        try:
            for name in SERVICES:
                self.start(name)
            for name in SERVICES:
                self.wait_for(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def address(self, name: str) -> str:
        """Returns where a service listens."""
        return f"127.0.0.1:{self._ports[name]}"

    def start(self, name: str) -> None:
        """Starts a service."""
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                env={**self._environment, "MIXDOWN_LISTEN": self.address(name)},
                stdout=log,
                stderr=log,
            )

    def wait_for(self, name: str) -> None:
        """Waits until a service serves."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with grpc.insecure_channel(self.address(name)) as channel:
                try:
                    health_pb2_grpc.HealthStub(channel).Check(
                        health_pb2.HealthCheckRequest(), timeout=1
                    )
                except grpc.RpcError:
                    if self._processes[name].poll() is None and time.monotonic() < deadline:
                        time.sleep(0.05)
                        continue
                    raise RuntimeError(f"{name} did not start: {self.log(name)}") from None
                return

    async def kill(self, name: str) -> None:
        """Ends a service without a warning, and starts it again."""
        self._processes[name].send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._processes[name].wait)
        self.start(name)

    def log(self, name: str) -> str:
        """Returns the end of what a service has logged."""
        return (self._folder / f"{name}.log").read_text(errors="replace")[-3000:]
