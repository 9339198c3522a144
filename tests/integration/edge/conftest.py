"""The suite as processes behind the real Envoy; only the separator is a double."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
import psutil
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from services.local.envoy import Authentication, EnvoySettings, RateLimit, render
from services.local.suite import SERVICES
from tests.integration.gateway.conftest import Suite, eventually, free_port
from tests.patience import PATIENCE_SECONDS

ENVOY = Path(sys.executable).with_name("envoy")

ISSUER = "https://issuer.example.com/"
AUDIENCE = "mixdown"
ORIGIN = "https://app.example.com"
CALLS_AT_ONCE = 30


class Issuer:
    """Whoever makes tokens."""

    def __init__(self, kid: str = "one") -> None:
        self.kid = kid
        self.key = ec.generate_private_key(ec.SECP256R1())

    def public_key(self) -> dict[str, str]:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": "ES256", "use": "sig"}

    def jwks(self) -> str:
        return json.dumps({"keys": [self.public_key()]})

    def token(self, user: str, **claims: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user,
            "exp": time.time() + 300,
            **claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(said, self.key, algorithm="ES256", headers={"kid": self.kid})


@dataclass
class Edge:
    """Where Envoy listens, and who makes tokens that it accepts."""

    port: int
    issuer: Issuer
    suite: Suite

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def token(self, user: str | None = None, **claims: Any) -> str:
        return self.issuer.token(user or f"user-{uuid.uuid4().hex}", **claims)


@pytest.fixture(scope="session")
def edge_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    suite = Suite(tmp_path_factory.mktemp("edge"))
    suite.temporary.mkdir()
    suite.ports = {name: free_port() for name in (*SERVICES, "internal")}
    # From service to service they go through Envoy too.
    through_envoy = {
        f"MIXDOWN_{name.upper()}_ADDRESS": suite.address("internal") for name in SERVICES
    }
    try:
        suite.start("session", "services.session")
        suite.start("interpreter", "services.interpreter", MIXDOWN_ENGINE="builtin")
        suite.start("separator", "tests.integration.gateway.separator_double")
        suite.start("remixer", "services.remixer", **through_envoy)
        suite.start("gateway", "services.gateway", **through_envoy)
        suite.wait(reaching=False)  # that is through Envoy, which comes later
        yield suite
    finally:
        suite.stop()


@pytest.fixture(scope="session")
def edge(edge_suite: Suite) -> Iterator[Edge]:
    issuer = Issuer()
    folder = edge_suite.folder / "edge"
    folder.mkdir()
    jwks = folder / "jwks.json"
    jwks.write_text(issuer.jwks())
    settings = EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=edge_suite.ports["internal"],
        admin_port=free_port(),
        ports={name: edge_suite.ports[name] for name in SERVICES},
        folder=folder,
        authentication=Authentication(jwks, ISSUER, AUDIENCE),
        rate_limit=RateLimit(burst=CALLS_AT_ONCE, per_second=1),
        cors_origins=(ORIGIN,),
    )

    def look_for_keys_often(config: dict[str, Any]) -> None:
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
        filters = {found["name"]: found for found in manager["typed_config"]["http_filters"]}
        provider = filters["envoy.filters.http.jwt_authn"]["typed_config"]["providers"]["mixdown"]
        provider["remote_jwks"]["cache_duration"] = "0.5s"

    with running_envoy(settings, look_for_keys_often):
        edge = Edge(settings.port, issuer, edge_suite)
        # The gateway looked for the others before Envoy was there, and looks again soon.
        assert eventually(lambda: reaches_session_service(edge))
        yield edge


LEASE_SECONDS = 120


@dataclass
class OpenEdge:
    """Envoy in development mode, two gateways and everything else behind it."""

    port: int
    suite: Suite
    envoy: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def memory_mib(self) -> dict[str, float]:
        """What each process on the way of audio to its reader has for itself."""
        names = ("gateway", "gateway-2", "remixer")
        pids = {"envoy": self.envoy.pid, **{name: self.suite.processes[name].pid for name in names}}
        found = {name: psutil.Process(pid).memory_full_info().uss for name, pid in pids.items()}
        return {name: size / (1 << 20) for name, size in found.items()}


@pytest.fixture(scope="session")
def open_edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenEdge]:
    suite = Suite(tmp_path_factory.mktemp("open-edge"))
    suite.temporary.mkdir()
    suite.ports = {name: free_port() for name in (*SERVICES, "gateway-2", "internal")}
    through_envoy = {
        f"MIXDOWN_{name.upper()}_ADDRESS": suite.address("internal") for name in SERVICES
    }
    gateway = {
        **through_envoy,
        "MIXDOWN_DEVELOPMENT_USER": "local",
        "MIXDOWN_HEARTBEAT_SECONDS": "0.5",
        "MIXDOWN_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    settings = EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=suite.ports["internal"],
        admin_port=free_port(),
        ports={name: suite.ports[name] for name in SERVICES},
        folder=suite.folder,
        rate_limit=RateLimit(burst=1_000_000, per_second=1_000_000),
    )

    def add_gateway(config: dict[str, Any]) -> None:
        clusters = {found["name"]: found for found in config["static_resources"]["clusters"]}
        address = {"address": "127.0.0.1", "port_value": suite.ports["gateway-2"]}
        for name in ("gateway", "gateway-turns"):
            (locality,) = clusters[name]["load_assignment"]["endpoints"]
            locality["lb_endpoints"].append({"endpoint": {"address": {"socket_address": address}}})

    try:
        suite.start("session", "services.session")
        suite.start("interpreter", "services.interpreter", MIXDOWN_ENGINE="builtin")
        suite.start("separator", "tests.integration.gateway.separator_double")
        suite.start("remixer", "services.remixer", **through_envoy)
        for name in ("gateway", "gateway-2"):
            suite.start(name, "services.gateway", **gateway)
        suite.wait(reaching=False)
        with running_envoy(settings, add_gateway) as envoy:
            suite.wait("gateway", "gateway-2")
            yield OpenEdge(settings.port, suite, envoy)
    finally:
        suite.stop()


def reaches_session_service(edge: Edge) -> bool:
    with grpc.insecure_channel(edge.address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        try:
            stub.ListSessions(gateway_pb2.ListSessionsRequest(), metadata=bearer(edge.token()))
        except grpc.RpcError:
            return False
        return True


@contextmanager
def running_envoy(
    settings: EnvoySettings,
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    answers: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the real Envoy.

    Args:
        settings: What the template leaves open.
        change: May change what it does not leave open.
        answers: Whether there is a gateway behind it, which is waited for.
    """
    text = render(settings)
    if change is not None:
        document = yaml.safe_load(text)
        change(document)
        text = yaml.safe_dump(document)
    config = settings.folder / "envoy.yaml"
    config.write_text(text)
    log = settings.folder / "envoy.log"
    with log.open("wb") as output:
        envoy = subprocess.Popen(
            [
                *(ENVOY, "-c", config, "--log-level", "warning", "--use-dynamic-base-id"),
                *("--file-flush-interval-msec", "100"),
            ],
            stdout=output,
            stderr=output,
        )
        try:
            if answers:
                wait(settings.port, envoy, log)
            yield envoy
        finally:
            envoy.terminate()
            envoy.wait(PATIENCE_SECONDS)


def wait(port: int, envoy: subprocess.Popen[bytes], log: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True)
            except grpc.RpcError:
                assert envoy.poll() is None, log.read_text()
                time.sleep(0.2)
            else:
                return


@pytest.fixture
def stub(edge: Edge) -> Iterator[gateway_pb2_grpc.GatewayServiceStub]:
    with grpc.insecure_channel(edge.address) as channel:
        yield gateway_pb2_grpc.GatewayServiceStub(channel)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)
