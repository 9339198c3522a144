"""compose.yaml, as docker-compose itself reads it."""

import copy
import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.policies.manifests import SERVICES
from tests.deploy.rendering import ROOT, code
from tests.deploy.test_images import stages

COMPOSE = Path(importlib.util.find_spec("compose").submodule_search_locations[0], "docker-compose")
FILE = ROOT / "deploy" / "compose.yaml"
EXAMPLE = ROOT / "deploy" / "compose.env.example"
DIGEST = "@sha256:" + "0" * 64


def filled_in() -> str:
    """Returns the example with a value for each variable."""
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        value = f"image{DIGEST}" if line.endswith("_IMAGE=") else "abc"
        lines.append(line + value if line.endswith("=") else line)
    return "\n".join(lines)


def config(folder: Path, environment: str, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    (folder / "compose.env").write_text(environment)
    return subprocess.run(
        [
            *(COMPOSE, "--env-file", folder / "compose.env", "--file", file),
            *("config", "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


@pytest.fixture
def services(tmp_path) -> dict:
    done = config(tmp_path, filled_in())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["services"]


@pytest.mark.parametrize(
    "name",
    re.findall(r"^([A-Z_]+)=$", EXAMPLE.read_text(), re.MULTILINE),
)
def test_each_variable_of_the_example_is_asked_for(name, tmp_path):
    done = config(tmp_path, filled_in().replace(f"\n{name}=", f"\nNOT_{name}="))
    if name == "TORCH_INDEX":  # only to build
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert name in done.stderr


def test_docker_compose_sees_a_broken_file(tmp_path):
    (tmp_path / "compose.yaml").write_text(FILE.read_text().replace("depends_on:", "depend_on:"))
    done = config(tmp_path, filled_in(), tmp_path / "compose.yaml")
    assert done.returncode != 0
    assert "depend_on" in done.stderr


def flaws(services: dict) -> list[str]:
    """Returns what is wrong, in words."""
    found = []
    built = {
        body["image"]: body["build"]["target"] for body in services.values() if "build" in body
    }
    for name, body in services.items():
        where = f"{name}:"
        ours = body["image"].startswith("mixdown/")
        if not ours and "@sha256:" not in body["image"]:
            found.append(f"{where} image without a digest")
        if ours and built.get(body["image"]) not in stages():
            found.append(f"{where} nobody builds {body['image']}")
        if "no-new-privileges:true" not in body.get("security_opt", ()):
            found.append(f"{where} may gain privileges")
        if ours and not (body.get("read_only") and body.get("cap_drop") == ["ALL"]):
            found.append(f"{where} not restricted")
        if not ours and "test" not in body.get("healthcheck", {}):
            found.append(f"{where} nobody asks whether it is well")
        for port in body.get("ports", ()):
            if name != "envoy" or port.get("host_ip") != "127.0.0.1":
                found.append(f"{where} others can reach it")
        if "public" in body["networks"] and name not in {"envoy", "interpreter"}:
            found.append(f"{where} has a way out")
        for other, condition in body.get("depends_on", {}).items():
            disabled = services[other].get("healthcheck", {}).get("disable")
            if condition["condition"] == "service_healthy" and disabled:
                found.append(f"{where} waits for ever for {other}")
    return found


def test_containers_are_restricted_and_only_envoy_is_reached_from_outside(services):
    assert flaws(services) == []


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("postgresql", "image", "postgres:latest"),
        ("gateway", "image", "mixdown/gatway"),
        ("remixer", "security_opt", []),
        ("remixer", "read_only", False),
        ("seaweedfs", "healthcheck", {}),
        ("session", "ports", [{"target": 50052, "host_ip": "127.0.0.1"}]),
        ("envoy", "ports", [{"target": 8080}]),
        ("separator", "networks", {"public": None}),
        ("postgresql", "healthcheck", {"disable": True}),
    ],
)
def test_a_broken_container_is_caught(services, name, key, value):
    services = copy.deepcopy(services)
    services[name][key] = value
    assert flaws(services)


def test_all_services_are_there_with_settings_that_they_know(services):
    assert set(SERVICES) <= set(services)
    for name in (*SERVICES, "migrate"):
        settings = code().settings["session" if name == "migrate" else name]
        addresses = {f"MIXDOWN_{other.upper()}_ADDRESS" for other in SERVICES}
        told = {key for key in services[name]["environment"] if key.startswith("MIXDOWN_")}
        assert told <= settings | addresses, name


def test_the_database_is_migrated_before_it_is_used(services):
    assert services["session"]["depends_on"]["migrate"]["condition"] == (
        "service_completed_successfully"
    )
    assert services["migrate"]["image"] == services["session"]["image"]
    assert services["migrate"]["command"] == ["python", "-m", "services.session", "migrate"]


def test_envoy_is_told_all_that_its_template_asks_and_where_the_services_are(services):
    environment = services["envoy-configuration"]["environment"]
    said_by_the_program = {
        "MIXDOWN_DESCRIPTORS_FILE",
        *(
            name
            for name in code().template
            if name.startswith(("MIXDOWN_JWT_", "MIXDOWN_TRANSPORT_", "MIXDOWN_TLS_"))
        ),
    }
    assert set(environment) - {"MIXDOWN_JWT_DISABLED"} == code().template - said_by_the_program
    for name in SERVICES:
        assert environment[f"MIXDOWN_{name.upper()}_HOST"] == name
        port = environment[f"MIXDOWN_{name.upper()}_PORT"]
        assert stages()[name if name != "separator" else "separator-service"].all("EXPOSE") == [
            port
        ]
