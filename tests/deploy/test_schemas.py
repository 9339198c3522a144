"""What Kubernetes, its operators and checkov say of the manifests."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.rendering import KUBERNETES, OVERLAYS, manifests, rendered

FOLDERS = ("base", *(f"overlays/{name}" for name in OVERLAYS))
VERSIONS = ("1.32", "1.34", kubernetes_validate.latest_version())
FIELDS = yaml.safe_load(Path(__file__).with_name("custom_resources.yaml").read_text())
# Maps whose keys are not the definition's but ours.
OPEN = (
    "annotations",
    "labels",
    "limits",
    "matchLabels",
    "parameters",
    "requests",
    "triggers[].metadata",
)
CHECKOV = Path(sys.executable).parents[1] / "checkov" / "bin" / "checkov"


def is_custom(document: dict) -> bool:
    group = document["apiVersion"].split("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def fields(value: object, path: str = "") -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict) and not path.endswith(OPEN):
        for key, below in value.items():
            name = f"{path}.{key}" if path else key
            found |= {name} | fields(below, name)
    elif isinstance(value, list):
        for below in value:
            found |= fields(below, f"{path}[]")
    return found


def body_of(document: dict) -> dict:
    return {
        key: value
        for key, value in document.items()
        if key not in {"apiVersion", "kind", "metadata"}
    }


def unknown_fields(document: dict) -> set[str]:
    known = FIELDS.get(f"{document['apiVersion']} {document['kind']}")
    return {"the kind itself"} if known is None else fields(body_of(document)) - set(known)


def is_of_type(value: object, name: str) -> bool:
    """Whether a value is what a type says: "string", "list of strings", "integer or string" ..."""
    if name.startswith("list of "):
        items = name.removeprefix("list of ").removesuffix("s")
        return isinstance(value, list) and all(is_of_type(item, items) for item in value)
    if name.startswith("map of "):
        items = name.removeprefix("map of ").replace("s ", " ").removesuffix("s")
        return isinstance(value, dict) and all(is_of_type(item, items) for item in value.values())
    if " or " in name:
        return any(is_of_type(value, part) for part in name.split(" or "))
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "boolean": bool, "object": dict}[name])


def of_wrong_type(value: object, types: dict[str, str], path: str = "") -> set[str]:
    found: set[str] = set()
    if isinstance(value, dict) and not path.endswith(OPEN):
        for key, below in value.items():
            name = f"{path}.{key}" if path else key
            if name in types and not is_of_type(below, types[name]):
                found.add(f"{name} is no {types[name]}")
            found |= of_wrong_type(below, types, name)
    elif isinstance(value, list):
        for below in value:
            found |= of_wrong_type(below, types, f"{path}[]")
    return found


def wrong_types(document: dict) -> set[str]:
    types = FIELDS[f"{document['apiVersion']} {document['kind']}"]
    return of_wrong_type(body_of(document), types)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_knows_every_field(folder, version):
    for document in manifests(folder).documents:
        if not is_custom(document) and "gateway.networking" not in document["apiVersion"]:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_operators_know_every_field_and_its_type(folder):
    for document in manifests(folder).documents:
        if is_custom(document) or "gateway.networking" in document["apiVersion"]:
            assert unknown_fields(document) == set(), document["metadata"]["name"]
            assert wrong_types(document) == set(), document["metadata"]["name"]


def test_a_misspelt_field_is_seen():
    found = manifests("overlays/production")
    deployment = found.find("Deployment", "gateway")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)
    scaler = found.find("ScaledObject", "gateway")
    scaler["spec"]["minReplicas"] = 2
    assert unknown_fields(scaler) == {"spec.minReplicas"}


def test_a_value_of_another_type_is_seen():
    found = manifests("overlays/production")
    scaler = found.find("ScaledObject", "gateway")
    scaler["spec"]["minReplicaCount"] = "2"
    scaler["spec"]["triggers"][0]["metadata"]["threshold"] = 40
    scaler["spec"]["scaleTargetRef"] = "gateway"
    monitor = found.find("PodMonitor", "mixdown")
    monitor["spec"]["podMetricsEndpoints"][0]["port"] = 9464
    monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["sourceLabels"] = [True]
    assert wrong_types(scaler) == {
        "spec.minReplicaCount is no integer",
        "spec.scaleTargetRef is no object",
        "spec.triggers[].metadata is no map of strings",
    }
    assert wrong_types(monitor) == {
        "spec.podMetricsEndpoints[].port is no string",
        "spec.podMetricsEndpoints[].relabelings[].sourceLabels is no list of strings",
    }


def test_every_field_that_was_looked_up_is_still_used():
    used: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for document in manifests(folder).documents:
            name = f"{document['apiVersion']} {document['kind']}"
            body = {key: document[key] for key in document if key in {"spec", "data"}}
            used.setdefault(name, set()).update(fields(body))
    for name, known in FIELDS.items():
        assert set(known) <= used[name], name


def failed_checks(text: str, folder: Path) -> set[str]:
    program = str(CHECKOV) if CHECKOV.exists() else shutil.which("checkov")
    if program is None:
        pytest.skip("checkov is not installed; `make k8s-test` installs it")
    (folder / "manifests.yaml").write_text(text)
    done = subprocess.run(
        [
            *(program, "--file", folder / "manifests.yaml", "--framework", "kubernetes"),
            *("--config-file", KUBERNETES / "checkov.yaml", "--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 0, done.stderr
    return {
        f"{check['check_id']} {check['resource']}" for check in report["results"]["failed_checks"]
    }


@pytest.mark.parametrize("folder", ["overlays/local", "overlays/production"])
def test_checkov_has_nothing_to_say(folder, tmp_path):
    assert failed_checks(rendered(folder), tmp_path) == set()


def test_checkov_sees_a_broken_manifest(tmp_path):
    found = manifests("overlays/production")
    deployment = found.find("Deployment", "gateway")
    context = deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    context["privileged"] = True
    assert any(
        name.startswith("CKV_K8S_16 ")
        for name in failed_checks(yaml.safe_dump(deployment), tmp_path)
    )
