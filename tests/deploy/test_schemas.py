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


def unknown_fields(document: dict) -> set[str]:
    body = {
        key: value
        for key, value in document.items()
        if key not in {"apiVersion", "kind", "metadata"}
    }
    known = FIELDS.get(f"{document['apiVersion']} {document['kind']}")
    return {"the kind itself"} if known is None else fields(body) - set(known)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_knows_every_field(folder, version):
    for document in manifests(folder).documents:
        if not is_custom(document) and "gateway.networking" not in document["apiVersion"]:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_operators_know_every_field(folder):
    for document in manifests(folder).documents:
        if is_custom(document) or "gateway.networking" in document["apiVersion"]:
            assert unknown_fields(document) == set(), document["metadata"]["name"]


def test_a_misspelt_field_is_seen():
    found = manifests("overlays/production")
    deployment = found.find("Deployment", "gateway")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)
    scaler = found.find("ScaledObject", "gateway")
    scaler["spec"]["minReplicas"] = 2
    assert unknown_fields(scaler) == {"spec.minReplicas"}


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
