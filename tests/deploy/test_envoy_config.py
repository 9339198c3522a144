"""The Envoy configuration that `mixdown up` uses."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from services.local.envoy import EnvoyAddresses, render

ADDRESSES = EnvoyAddresses(
    address="127.0.0.1", port=8080, admin_port=9901, gateway_host="127.0.0.1", gateway_port=50051
)
ENVOY = Path(sys.executable).with_name("envoy")


@pytest.fixture
def config() -> dict:
    return yaml.safe_load(render(ADDRESSES))


def validate(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "envoy.yaml"
    path.write_text(text)
    return subprocess.run(
        [ENVOY, "-c", path, "--mode", "validate"], capture_output=True, text=True, check=False
    )


def test_the_real_envoy_accepts_the_configuration(tmp_path):
    outcome = validate(render(ADDRESSES), tmp_path)
    assert outcome.returncode == 0, outcome.stderr


def test_the_real_envoy_refuses_a_broken_configuration(tmp_path):
    broken = render(ADDRESSES).replace("lb_policy: LEAST_REQUEST", "lb_policy: NO_SUCH_POLICY")
    assert validate(broken, tmp_path).returncode != 0


def test_the_admin_interface_listens_on_loopback_only(config):
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_an_identity_from_outside_is_dropped(config):
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]
    assert "x-mixdown-user" in routes["request_headers_to_remove"]


def test_every_streaming_call_has_a_route_without_a_time_limit(config):
    import re

    from mixdown.gateway.v1 import gateway_pb2

    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    unlimited = [
        route["match"]["safe_regex"]["regex"]
        for route in routes
        if route["route"]["timeout"] == "0s"
    ]
    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    for method in service.methods:
        path = f"/{service.full_name}/{method.name}"
        streams = method.client_streaming or method.server_streaming
        assert any(re.fullmatch(regex, path) for regex in unlimited) == streams, path
