"""Services that are replaced one by one behind a real Envoy, as a rolling update does it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from services.local.envoy import EnvoySettings, render
from services.local.ports import free_port
from tests.e2e.faults.cluster import SERVICES, Cluster

_ENVOY = Path(sys.executable).with_name("envoy")
_NOTICE_SECONDS = 10  # Envoy asks every 5 s
_DRAIN_SECONDS = 60
_PATIENCE_SECONDS = 60


class RollingCluster(Cluster):
    """A process of each service and, beside its address, another for the one that follows it.

    Envoy knows both addresses of a service and sends calls where the health check says SERVING, as
    it knows the addresses of all pods behind a headless Service.
    """

    def __init__(
        self, folder: Path, database_url: str, blob_store: str, environment: dict[str, str]
    ) -> None:
        super().__init__(folder, database_url, blob_store, environment)
        self._others = {name: free_port() for name in SERVICES}
        self._public, self._internal, self._admin = (free_port() for _ in range(3))
        self._envoy: subprocess.Popen[bytes] | None = None
        self._environment |= {
            **{
                f"MIXDOWN_{name.upper()}_ADDRESS": f"127.0.0.1:{self._internal}"
                for name in SERVICES
            },
            "MIXDOWN_LEASE_SECONDS": "30",
            "MIXDOWN_DRAIN_NOTICE_SECONDS": str(_NOTICE_SECONDS),
            "MIXDOWN_DRAIN_SECONDS": str(_DRAIN_SECONDS),
        }

    @property
    def public(self) -> str:
        """Where callers reach Envoy."""
        return f"127.0.0.1:{self._public}"

    def __enter__(self) -> Self:
        super().__enter__()
        path = self._folder / "envoy.yaml"
        path.write_text(self._configuration())
        with (self._folder / "envoy.log").open("wb") as log:
            self._envoy = subprocess.Popen(
                [_ENVOY, "-c", path, "--log-level", "warning", "--use-dynamic-base-id"],
                stdout=log,
                stderr=log,
            )
        try:
            for name in SERVICES:
                self._wait_until_found(name)
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
        if self._envoy is not None:
            self._envoy.kill()
            self._envoy.wait()
        super().__exit__(kind, error, trace)

    async def replace(self, name: str) -> None:
        """Starts a new process of a service; when Envoy has found it, stops the old one."""
        old = self._processes[name]
        self._ports[name], self._others[name] = self._others[name], self._ports[name]
        self.start(name)
        await asyncio.to_thread(self.wait_for, name)
        await asyncio.to_thread(self._wait_until_found, name)
        old.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(old.wait, _NOTICE_SECONDS + 3 * _DRAIN_SECONDS)
        assert status == 0, self.log(name)

    def _wait_until_found(self, name: str) -> None:
        # The gateways are two clusters: of turns, and of all else.
        clusters = (name, "gateway-turns") if name == "gateway" else (name,)
        wanted = {f"{each}::{self.address(name)}::health_flags::healthy" for each in clusters}
        limit = time.monotonic() + _PATIENCE_SECONDS
        while True:
            if wanted <= set(self._clusters()):
                return
            if time.monotonic() > limit:
                raise RuntimeError(f"Envoy does not find {name}: {self.log(name)}")
            time.sleep(0.1)

    def _clusters(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/clusters") as answer:
                return answer.read().decode().splitlines()
        except OSError:  # not there yet
            return []

    def _configuration(self) -> str:
        settings = EnvoySettings(
            address="127.0.0.1",
            port=self._public,
            internal_port=self._internal,
            admin_port=self._admin,
            ports=self._ports,
            folder=self._folder,
        )
        config = yaml.safe_load(render(settings))
        for cluster in config["static_resources"]["clusters"]:
            other = self._others.get(cluster["name"].partition("-")[0])
            if other is None:  # not one of ours, but of Envoy itself
                continue
            address = {"socket_address": {"address": "127.0.0.1", "port_value": other}}
            cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].append(
                {"endpoint": {"address": address}}
            )
        return yaml.safe_dump(config)
