"""The manifests, as rendered for each overlay."""

import ast
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from scripts.document_settings import _settings_of
from services.local.ports import free_port
from tests.deploy.policies import RULES, check
from tests.deploy.policies.manifests import SERVICES
from tests.deploy.policies.pods import quantity
from tests.deploy.rendering import (
    KUBERNETES,
    OVERLAYS,
    ROOT,
    code,
    envoy_config,
    envoy_text,
    manifests,
    rendered,
)
from tests.patience import PATIENCE_SECONDS

ENVOY = Path(sys.executable).with_name("envoy")
FOLDERS = ("base", *(f"overlays/{name}" for name in OVERLAYS))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_rule_holds(folder, tmp_path):
    found = manifests(folder)
    assert check(found, code(), envoy_config(found, tmp_path)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_service_reads_the_settings_that_its_pod_has(folder, monkeypatch):
    found = manifests(folder)
    for name in SERVICES:
        container = next(w for w in found.workloads if w.name == name).main
        with monkeypatch.context() as patch:
            for key, value in found.environment(container).items():
                patch.setenv(key, "a-secret" if value is None else value)
            _settings_of(name)()


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_document_is_there_once(folder):
    names = [
        (document["kind"], document["metadata"]["name"]) for document in manifests(folder).documents
    ]
    assert len(names) == len(set(names))


def test_every_component_is_in_an_overlay():
    used = set()
    for overlay in OVERLAYS:
        text = (KUBERNETES / "overlays" / overlay / "kustomization.yaml").read_text()
        used |= {Path(name).name for name in yaml.safe_load(text).get("components", ())}
    assert used == {path.name for path in (KUBERNETES / "components").iterdir()}


def test_exactly_the_separators_of_the_gpu_overlays_ask_for_a_gpu():
    def asking(folder):
        return {
            workload.name
            for workload in manifests(folder).workloads
            for container in workload.containers
            if "nvidia.com/gpu" in container.body["resources"]["limits"]
        }

    assert {name: asking(f"overlays/{name}") for name in OVERLAYS} == {
        "local": set(),
        "staging": {"separator"},
        "production": {"separator"},
    }


def test_the_modules_that_containers_run_are_there():
    for folder in FOLDERS:
        for workload in manifests(folder).workloads:
            for container in workload.containers:
                command = container.body.get("command", [])
                if command[:2] == ["python", "-m"]:
                    module = ROOT.joinpath(*command[2].split("."))
                    main = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
                    assert "__main__" in {
                        node.value
                        for node in ast.walk(ast.parse(main.read_text()))
                        if isinstance(node, ast.Constant) and isinstance(node.value, str)
                    }, main


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_real_envoy_accepts_its_configuration(folder, tmp_path):
    envoy_text(manifests(folder), tmp_path)
    done = subprocess.run(
        [ENVOY, "-c", tmp_path / "envoy.yaml", "--mode", "validate"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["overlays/local", "overlays/production"])
def test_the_real_envoy_starts_and_drains_as_its_container_does(folder, tmp_path):
    """Only the ports are others: those of the manifests may be taken here."""
    found = manifests(folder)
    proxy = next(workload for workload in found.workloads if workload.name == "envoy")
    text = envoy_text(found, tmp_path)
    ports = {name: free_port() for name in ("8080", "8081", "9901")}
    for port, free in ports.items():
        text = text.replace(f"port_value: {port}", f"port_value: {free}")
    (tmp_path / "envoy.yaml").write_text(text.replace("0.0.0.0", "127.0.0.1"))
    command = [
        argument.replace("/etc/mixdown", str(tmp_path)) for argument in proxy.main.body["command"]
    ]
    drain = proxy.main.body["lifecycle"]["preStop"]["exec"]["command"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [ENVOY, *command[1:], "--use-dynamic-base-id"], stdout=log, stderr=log
        )
        try:
            # No service is there: it answers all the same, that it reaches none.
            assert _answers(ports["8080"], process)
            told = drain[-1].replace("9901", str(ports["9901"])).replace("sleep 100", "true")
            done = subprocess.run(
                [*drain[:-1], told],
                capture_output=True,
                check=False,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("HTTP/1.1 200"), done.stdout
        finally:
            process.kill()
            process.wait()


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            return False
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            time.sleep(0.1)
    return False


def test_rendering_a_folder_that_is_broken_fails(tmp_path):
    rendered("base")  # or skip
    (tmp_path / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
    done = subprocess.run(["kubectl", "kustomize", tmp_path], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_asked_for_holds_what_was_measured(folder):
    figures = json.loads((ROOT / "benchmarks/results/footprint-epyc-2-cores.json").read_text())
    for workload in manifests(folder).workloads:
        if workload.name not in figures["services"]:
            continue
        peak_bytes = figures["services"][workload.name]["peak_mib"] * 2**20
        resources = workload.main.body["resources"]
        assert quantity(resources["requests"]["memory"]) >= peak_bytes, workload.where
        assert quantity(resources["limits"]["memory"]) >= 2 * peak_bytes, workload.where


def test_the_pod_that_takes_in_weights_is_as_restricted_as_the_others():
    found = manifests("base")
    pod = yaml.safe_load((KUBERNETES / "weights-loader.yaml").read_text())
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    pod["spec"]["serviceAccountName"] = "of-the-namespace"  # without a token it need not be its own
    job = {"kind": "Job", "metadata": pod["metadata"], "spec": {"template": pod}}
    found.documents.append({**job, "apiVersion": "batch/v1"})
    for rule in ("restricted", "sized", "pinned"):
        assert list(RULES[rule](found, code(), {})) == []
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["spec"]["volumes"]]
    assert [found.find("PersistentVolumeClaim", claim) is None for claim in claims] == [False]
