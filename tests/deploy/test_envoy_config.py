"""The Envoy configuration that `mixdown up` uses."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from mixdown.gateway.v1 import gateway_pb2
from mixdown.interpreter.v1 import interpreter_pb2
from mixdown.remixer.v1 import remixer_pb2
from mixdown.separator.v1 import separator_pb2
from mixdown.session.v1 import session_pb2
from services.local.envoy import EnvoySettings, render, write_from
from services.local.suite import SERVICES

ENVOY = Path(sys.executable).with_name("envoy")


@pytest.fixture
def rendered(tmp_path) -> str:
    return render(
        EnvoySettings(
            address="127.0.0.1",
            port=8080,
            internal_port=8081,
            admin_port=9901,
            ports={name: 50051 + number for number, name in enumerate(SERVICES)},
            folder=tmp_path,
        )
    )


@pytest.fixture
def config(rendered) -> dict:
    return yaml.safe_load(rendered)


def validate(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "envoy.yaml"
    path.write_text(text)
    return subprocess.run(
        [ENVOY, "-c", path, "--mode", "validate"], capture_output=True, text=True, check=False
    )


def test_the_real_envoy_accepts_the_configuration(tmp_path, rendered):
    outcome = validate(rendered, tmp_path)
    assert outcome.returncode == 0, outcome.stderr


def test_the_real_envoy_refuses_a_broken_configuration(tmp_path, rendered):
    broken = rendered.replace("lb_policy: LEAST_REQUEST", "lb_policy: NO_SUCH_POLICY")
    assert validate(broken, tmp_path).returncode != 0


def test_the_admin_interface_listens_on_loopback_only(config):
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_what_callers_hold_open_shuts_out_no_service_and_no_operator(config):
    limited = {
        listener["name"]
        for listener in config["static_resources"]["listeners"]
        if not listener.get("ignore_global_conn_limit")
    }
    assert limited == {"public"}
    assert config["admin"]["ignore_global_conn_limit"]


def test_the_keys_of_issuers_are_reached_by_envoy_alone(config):
    (keys,) = (
        listener
        for listener in config["static_resources"]["listeners"]
        if listener["name"] == "keys"
    )
    assert "address" not in keys
    assert keys["internal_listener"] == {}
    reaching = [
        listener["name"]
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for host in chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if route.get("route", {}).get("cluster") == "keys"
    ]
    assert reaching == []


def test_of_the_administration_only_the_metrics_are_reached(config):
    reaching = [
        (listener["name"], route["match"], route["route"])
        for listener in config["static_resources"]["listeners"]
        for chain in listener["filter_chains"]
        for host in chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
        for route in host["routes"]
        if route.get("route", {}).get("cluster") == "administration"
    ]
    ((listener, match, route),) = reaching
    assert listener == "metrics"
    assert match["path"] == "/metrics"  # this one, and no other that begins alike
    (method,) = match["headers"]
    assert method == {"name": ":method", "string_match": {"exact": "GET"}}
    assert route["prefix_rewrite"] == "/stats/prometheus"
    (metrics,) = (
        found for found in config["static_resources"]["listeners"] if found["name"] == listener
    )
    assert len(metrics["filter_chains"]) == 1
    (host,) = metrics["filter_chains"][0]["filters"][0]["typed_config"]["route_config"][
        "virtual_hosts"
    ]
    assert len(host["routes"]) == 1


def test_a_refusal_of_our_own_carries_the_details_that_its_message_tells(config):
    refusals = {}
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    for mapper in manager["typed_config"]["local_reply_config"]["mappers"]:
        if "headers_to_add" not in mapper:  # for JSON alone, or nothing is there to tell
            continue
        headers = {
            added["header"]["key"]: added["header"]["value"] for added in mapper["headers_to_add"]
        }
        encoded = headers["grpc-status-details-bin"]
        status = status_pb2.Status.FromString(base64.b64decode(encoded + "=" * (-len(encoded) % 4)))
        assert mapper["body"]["inline_string"] == status.message
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info.domain == "mixdown"
        refusals[info.reason] = status.code
        if "body_format_override" in mapper:
            said = {**mapper["body_format_override"]["json_format"], "message": status.message}
            assert json_format.ParseDict(said, status_pb2.Status()) == status
    assert refusals == {
        "NO_IDENTITY": grpc.StatusCode.UNAUTHENTICATED.value[0],
        "RATE_LIMITED": grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
        "SERVICE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE.value[0],
        "STREAM_IDLE": grpc.StatusCode.UNAVAILABLE.value[0],
    }


def test_the_streaming_calls_and_no_others_have_a_route_without_a_time_limit(config):
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    unlimited = {
        route["match"]["path"] for route in routes if route.get("route", {}).get("timeout") == "0s"
    }
    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    paths = {
        f"/{service.full_name}/{method.name}": method.client_streaming or method.server_streaming
        for method in service.methods
    }
    for path, streams in paths.items():
        assert (path in unlimited) == streams, path


def test_of_what_callers_ask_only_reads_are_asked_again(config):
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]

    def matches(match: dict, path: str) -> bool:
        pattern = match.get("safe_regex", {}).get("regex", "no regex")
        return (
            path == match.get("path")
            or path.startswith(match.get("prefix", "no prefix"))
            or re.fullmatch(pattern, path) is not None
        )

    service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
    for method in service.methods:
        path = f"/{service.full_name}/{method.name}"
        route = next(route["route"] for route in routes if matches(route["match"], path))
        retried = route.get("retry_policy", {}).get("retry_on", "").split(",")
        streams = method.client_streaming or method.server_streaming
        reads = method.name.startswith(("Get", "List", "Query")) and not streams
        assert ("unavailable" in retried) == reads, path
        assert ("connect-failure" in retried) == (not method.client_streaming), path


@pytest.mark.parametrize(
    "module", [session_pb2, interpreter_pb2, remixer_pb2, separator_pb2], ids=lambda m: m.__name__
)
def test_between_services_only_reads_are_asked_again_and_only_streams_are_endless(config, module):
    manager = config["static_resources"]["listeners"][1]["filter_chains"][0]["filters"][0]
    routes = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            path = f"/{service.full_name}/{method.name}"
            route = next(
                route["route"]
                for route in routes
                if path == route["match"].get("path")
                or path.startswith(route["match"].get("prefix", "no prefix"))
            )
            streams = method.client_streaming or method.server_streaming
            assert (route["timeout"] == "0s") == streams, path
            retried = route.get("retry_policy", {}).get("retry_on", "")
            reads = method.name.startswith(("Get", "List", "Interpret")) and not streams
            assert ("unavailable" in retried.split(",")) == reads, path


def test_a_listener_for_services_is_not_for_callers(config):
    public, internal, *_ = config["static_resources"]["listeners"]
    assert internal["name"] == "internal"
    assert internal["address"]["socket_address"]["address"] == "127.0.0.1"
    manager = public["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    called = {route["route"]["cluster"] for route in routes if "route" in route}
    assert called == {"gateway", "gateway-turns"}


ENVIRONMENT = {
    "MIXDOWN_ENVOY_ADDRESS": "0.0.0.0",
    "MIXDOWN_ENVOY_PORT": "8080",
    "MIXDOWN_ENVOY_INTERNAL_ADDRESS": "0.0.0.0",
    "MIXDOWN_ENVOY_INTERNAL_PORT": "8081",
    "MIXDOWN_ENVOY_METRICS_ADDRESS": "0.0.0.0",
    "MIXDOWN_ENVOY_METRICS_PORT": "9464",
    "MIXDOWN_ENVOY_ADMIN_PORT": "9901",
    "MIXDOWN_JWT_DISABLED": "true",
    "MIXDOWN_RATE_LIMIT_BURST": "200",
    "MIXDOWN_RATE_LIMIT_PER_SECOND": "50",
    "MIXDOWN_CORS_ORIGINS": "[]",
    "MIXDOWN_SEPARATOR_CALLS": "64",
    **{f"MIXDOWN_{name.upper()}_HOST": name for name in SERVICES},
    **{f"MIXDOWN_{name.upper()}_PORT": str(50051 + n) for n, name in enumerate(SERVICES)},
}


def test_a_container_fills_in_the_same_template_from_its_environment(tmp_path):
    write_from(ENVIRONMENT, tmp_path)
    text = (tmp_path / "envoy.yaml").read_text()
    assert validate(text, tmp_path).returncode == 0
    clusters = yaml.safe_load(text)["static_resources"]["clusters"]
    assert {cluster["name"] for cluster in clusters} == {
        *SERVICES,
        "gateway-turns",
        "administration",
        "keys",
    }


def test_a_variable_that_is_missing_leaves_no_configuration(tmp_path):
    some = {key: value for key, value in ENVIRONMENT.items() if key != "MIXDOWN_SESSION_HOST"}
    with pytest.raises(KeyError, match="MIXDOWN_SESSION_HOST"):
        write_from(some, tmp_path)
    assert not (tmp_path / "envoy.yaml").exists()


def test_where_tokens_are_asked_for_it_must_be_said_whose(tmp_path):
    with pytest.raises(KeyError, match="MIXDOWN_JWT"):
        write_from({**ENVIRONMENT, "MIXDOWN_JWT_DISABLED": "false"}, tmp_path)
