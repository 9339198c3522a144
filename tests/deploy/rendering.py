"""Renders the manifests, as `kubectl apply --kustomize` would."""

from __future__ import annotations

import copy
import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client.parser
import pytest
import yaml

from scripts.document_settings import PAGE, _settings_of
from services.local.envoy import write_from
from tests.certificates import Authority, settings_of
from tests.deploy.policies import Manifests
from tests.deploy.policies.manifests import SERVICES
from tests.deploy.policies.wiring import Code

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "k8s"
TEMPLATE = ROOT / "deploy" / "envoy" / "envoy.yaml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it was built
OVERLAYS = ("local", "staging", "production")


def needs_kubectl() -> None:
    """Skips where there is nothing to render with."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders Kustomize, is not on the PATH")


@functools.cache
def rendered(folder: str) -> str:
    """Returns a folder of deploy/k8s as one stream of documents."""
    needs_kubectl()
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _documents(folder: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(rendered(folder), LOADER))


def manifests(folder: str) -> Manifests:
    """Returns the documents of a folder, to be changed at will."""
    return Manifests(copy.deepcopy(_documents(folder)))


@functools.cache
def code() -> Code:
    """Returns what the code says of settings and metrics."""
    template = frozenset(re.findall(r"\$\{(MIXDOWN_[A-Z_]+)\}", TEMPLATE.read_text()))
    template |= {f"MIXDOWN_TLS_{name}_FILE" for name in ("CERTIFICATE", "KEY", "CA")}
    page = PAGE.read_text(encoding="utf-8")
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    return Code(
        settings={
            # What the probe beside the service is told.
            name: frozenset({"MIXDOWN_TLS_NAME"})
            | {f"MIXDOWN_{field.upper()}" for field in _settings_of(name).model_fields}
            for name in SERVICES
        },
        template=template,
        documented=frozenset(re.findall(r"`(MIXDOWN_[A-Z0-9_]+)`", page + operations)) | template,
        metrics=_metrics(),
    )


def _metrics() -> frozenset[str]:
    import importlib

    for module in ("rpc_metrics",):
        importlib.import_module(f"services.runtime.{module}")
    for name in SERVICES:
        if (ROOT / "services" / name / "metrics.py").exists():
            importlib.import_module(f"services.{name}.metrics")
    from services.runtime.metrics import REGISTRY

    text = prometheus_client.generate_latest(REGISTRY).decode()
    found: set[str] = set()
    for family in prometheus_client.parser.text_string_to_metric_families(text):
        found |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    return frozenset(found)


def envoy_text(of: Manifests, folder: Path) -> str:
    """Returns Envoy's configuration, filled in as its container would do it.

    Paths that only the container has are put into `folder`, so that a real Envoy can start.
    """
    proxy = next(workload for workload in of.workloads if workload.name == "envoy")
    container = next(c for c in proxy.containers if c.is_init)
    environment = {key: value or "" for key, value in of.environment(container).items()}
    if environment["MIXDOWN_JWT_DISABLED"] == "false":
        keys = folder / "jwks.json"
        keys.write_text('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0"}]}')
        environment["MIXDOWN_JWT_JWKS_FILE"] = str(keys)
        environment["MIXDOWN_JWT_JWKS_FOLDER"] = str(folder)
    if "MIXDOWN_TLS_CERTIFICATE_FILE" in environment:
        environment |= settings_of(Authority(folder / "tls").issue("envoy-internal"))
    template = next(
        document
        for document in of.of_kind("ConfigMap")
        if document["metadata"]["name"].startswith("envoy-template")
    )
    (folder / "template.yaml").write_text(template["data"]["envoy.yaml"])
    write_from(environment, folder, folder / "template.yaml")
    return (folder / "envoy.yaml").read_text()


def envoy_config(of: Manifests, folder: Path) -> dict[str, Any]:
    """The same, read."""
    config: dict[str, Any] = yaml.load(envoy_text(of, folder), LOADER)
    return config
