"""Rules for what objects say of each other and of the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.deploy.policies.manifests import SERVICES, Document, Finding, Manifests, where

OUR_SECRETS = {
    "session-database": {"uri", "password"},
    "blobs": {"access-key-id", "secret-access-key"},
    "interpreter-openai": {"api-key"},
    "identity-keys": set(),
    "database-app": {"uri"},  # made by CloudNativePG for the cluster `database`
}
"""Secrets that are made outside, with their keys; docs/operations.md tells how."""

_STEP = "mixdown/step"
_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$|_KEY_ID$|DATABASE_URL")
_CREDENTIALS = re.compile(r"://[^/\s:@]+:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY")
_METRIC = re.compile(r"\bmixdown_[a-z0-9_]+")


@dataclass(frozen=True)
class Code:
    """What the code says.

    Args:
        settings: The variables of each service, as MIXDOWN_….
        template: The variables of Envoy's template.
        documented: All that the page of settings, or the template, describes.
        metrics: Names of the metrics that services export.
    """

    settings: Mapping[str, frozenset[str]]
    template: frozenset[str]
    documented: frozenset[str]
    metrics: frozenset[str]


def known(manifests: Manifests, code: Code) -> Iterator[Finding]:
    """Every variable is a setting of the one that gets it, and is documented."""
    shared: dict[str, set[str]] = {}
    for workload in manifests.workloads:
        for container in workload.containers:
            expected = _expected(workload.name, container.body["name"], code)
            if expected is None:
                continue
            names = {name for name in manifests.environment(container) if name[:8] == "MIXDOWN_"}
            for name in sorted(names - _shared_names(manifests) - expected):
                yield Finding("known", container.where, f"{name} is no setting of it")
            for name in sorted(names - code.documented):
                yield Finding("known", container.where, f"{name} is not documented")
            for name in names & expected:
                shared.setdefault(name, set()).add(container.where)
    for document in manifests.of_kind("ConfigMap"):
        for key in document.get("data", {}):
            if key.startswith("MIXDOWN_") and key not in shared:
                yield Finding("known", where(document), f"nobody has a setting {key}")


def _expected(workload: str, container: str, code: Code) -> frozenset[str] | None:
    if workload == "envoy":
        return code.template if container == "configuration" else None
    return code.settings.get(workload.removesuffix("-migrate"))


def _shared_names(manifests: Manifests) -> set[str]:
    # Addresses and the like are told to all: who does not ask for them does not mind.
    names: set[str] = set()
    for document in manifests.of_kind("ConfigMap"):
        if document["metadata"]["name"].rsplit("-", 1)[0] in {"services", "blobs"}:
            names |= set(document.get("data", {}))
    return names


def referenced(manifests: Manifests) -> Iterator[Finding]:
    """What a pod refers to is there, or is known to be made outside."""
    for workload in manifests.workloads:
        pod = workload.pod
        if manifests.find("ServiceAccount", pod.get("serviceAccountName", "")) is None:
            yield Finding("referenced", workload.where, "its account is not there")
        for container in workload.containers:
            for source in container.body.get("envFrom", ()):
                name = source.get("configMapRef", {}).get("name", "")
                if manifests.find("ConfigMap", name) is None:
                    yield Finding("referenced", container.where, f"no ConfigMap {name}")
            for variable in container.body.get("env", ()):
                secret = variable.get("valueFrom", {}).get("secretKeyRef")
                if secret and secret["key"] not in OUR_SECRETS.get(secret["name"], set()):
                    yield Finding("referenced", container.where, f"no Secret for {secret}")
            volumes = {volume["name"] for volume in pod.get("volumes", ())} | {
                claim["metadata"]["name"]
                for claim in workload.body["spec"].get("volumeClaimTemplates", ())
            }
            for mount in container.body.get("volumeMounts", ()):
                if mount["name"] not in volumes:
                    yield Finding("referenced", container.where, f"no volume {mount['name']}")
        for volume in pod.get("volumes", ()):
            yield from _volume_findings(manifests, workload.where, volume)
    for account in manifests.of_kind("ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield Finding("referenced", where(account), "hands out a token")


def _volume_findings(manifests: Manifests, at: str, volume: Document) -> Iterator[Finding]:
    if "configMap" in volume and not manifests.find("ConfigMap", volume["configMap"]["name"]):
        yield Finding("referenced", at, f"no ConfigMap {volume['configMap']['name']}")
    claim = volume.get("persistentVolumeClaim", {}).get("claimName")
    if claim and manifests.find("PersistentVolumeClaim", claim) is None:
        yield Finding("referenced", at, f"no claim {claim}")
    secret = volume.get("secret", {}).get("secretName")
    if secret and secret not in OUR_SECRETS and not _issued(manifests, secret):
        yield Finding("referenced", at, f"no Secret {secret}")


def _issued(manifests: Manifests, secret: str) -> bool:
    return any(
        certificate["spec"]["secretName"] == secret
        for certificate in manifests.of_kind("Certificate")
    )


def certified(manifests: Manifests) -> Iterator[Finding]:
    """With TLS, everybody has a certificate of the name by which others call it."""
    if not any(manifests.of_kind("Certificate")):
        return
    for name in (*SERVICES, "envoy"):
        called = "envoy-internal" if name == "envoy" else name
        pod = next(workload.pod for workload in manifests.workloads if workload.name == name)
        mounted = {
            volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume
        }
        names = {
            host
            for certificate in manifests.of_kind("Certificate")
            if certificate["spec"]["secretName"] in mounted
            for host in certificate["spec"]["dnsNames"]
        }
        if names != {called}:
            yield Finding("certified", f"Deployment/{name}", f"has no certificate of {called}")
        paths = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
        if "/tls" not in paths:
            yield Finding("certified", f"Deployment/{name}", "does not see its certificate")


def secret(manifests: Manifests) -> Iterator[Finding]:
    """No secret stands in the manifests."""
    for document in manifests.of_kind("Secret"):
        if document.get("data") or document.get("stringData"):
            yield Finding("secret", where(document), "holds a secret in clear")
    for document in manifests.documents:
        if _CREDENTIALS.search(json.dumps(document)):
            yield Finding("secret", where(document), "holds credentials")
    for document in manifests.of_kind("ConfigMap"):
        for key in document.get("data", {}):
            if _SECRET_NAME.search(key):
                yield Finding("secret", where(document), f"{key} belongs into a Secret")
    for workload in manifests.workloads:
        for container in workload.containers:
            for variable in container.body.get("env", ()):
                if _SECRET_NAME.search(variable["name"]) and "value" in variable:
                    yield Finding("secret", container.where, f"{variable['name']} is in clear")


def enveloped(manifests: Manifests, envoy: Mapping[str, Any]) -> Iterator[Finding]:
    """Envoy's clusters are our Services, and its own administration for its metrics.

    Args:
        manifests: The manifests.
        envoy: Envoy's configuration, as its container would fill it in.
    """
    clusters = envoy["static_resources"]["clusters"]
    for name in sorted(set(SERVICES) - {cluster["name"] for cluster in clusters}):
        yield Finding("enveloped", f"cluster {name}", "is missing")
    admin = envoy["admin"]["address"]["socket_address"]
    for cluster in clusters:
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        if "envoy_internal_address" in endpoint["address"]:  # a listener of its own
            continue
        address = endpoint["address"]["socket_address"]
        if cluster["name"] == "administration":
            if address != admin:
                yield Finding("enveloped", "cluster administration", "is not the administration")
            continue
        service = manifests.find("Service", address["address"])
        ports = [port["port"] for port in service["spec"]["ports"]] if service else []
        if address["port_value"] not in ports:
            at = f"{address['address']}:{address['port_value']}"
            yield Finding("enveloped", f"cluster {cluster['name']}", f"no Service at {at}")
    listening = {
        listener["name"]: listener["address"]["socket_address"]["port_value"]
        for listener in envoy["static_resources"]["listeners"]
        if "internal_listener" not in listener
    }
    proxy = next(workload for workload in manifests.workloads if workload.name == "envoy")
    for name, port in proxy.ports.items():
        if listening.get(name) != port:
            yield Finding("enveloped", proxy.where, f"does not listen at its port {name}")


def placed(manifests: Manifests) -> Iterator[Finding]:
    """All lies in one namespace, in which PodSecurity enforces what we hold."""
    namespaces = list(manifests.of_kind("Namespace"))
    if len(namespaces) != 1:
        yield Finding("placed", "Namespace", f"there are {len(namespaces)}")
        return
    labels = namespaces[0]["metadata"].get("labels", {})
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield Finding("placed", where(namespaces[0]), "does not enforce restricted pods")
    name = namespaces[0]["metadata"]["name"]
    for document in manifests.documents:
        if document["kind"] != "Namespace" and document["metadata"].get("namespace") != name:
            yield Finding("placed", where(document), f"is not in the namespace {name}")


def migrated(manifests: Manifests) -> Iterator[Finding]:
    """The migration can be applied first, with all that it needs (`-l mixdown/step=migrate`)."""
    job = manifests.find("Job", "session-migrate")
    if job is None:
        yield Finding("migrated", "Job/session-migrate", "is missing")
        return
    pod = job["spec"]["template"]["spec"]
    session = manifests.find("Deployment", "session")
    if session and pod["containers"][0]["image"] != _image(session):
        yield Finding("migrated", where(job), "is not of the release that it migrates for")
    needed: list[Document | None] = [
        job,
        *manifests.of_kind("Namespace", "Cluster"),
        manifests.find("ServiceAccount", pod["serviceAccountName"]),
    ]
    labels = job["spec"]["template"]["metadata"]["labels"]
    for policy in manifests.of_kind("NetworkPolicy"):
        if job in [w.body for w in manifests.selected(policy["spec"]["podSelector"])]:
            needed.append(policy)
    assert labels
    for document in filter(None, needed):
        if document["metadata"].get("labels", {}).get(_STEP) != "migrate":
            yield Finding("migrated", where(document), "is not there when the migration runs")


def _image(deployment: Document) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def scaled(manifests: Manifests, code: Code) -> Iterator[Finding]:
    """What scales a Deployment is alone in that, and asks for metrics that there are."""
    for document in manifests.of_kind("ScaledObject"):
        spec = document["spec"]
        target = manifests.find("Deployment", spec["scaleTargetRef"]["name"])
        if target is None:
            yield Finding("scaled", where(document), "scales nothing")
        elif "replicas" in target["spec"]:
            yield Finding("scaled", where(target), "its replicas are said twice")
        if spec["minReplicaCount"] > spec["maxReplicaCount"]:
            yield Finding("scaled", where(document), "has a minimum above its maximum")
        for trigger in spec["triggers"]:
            for name in _METRIC.findall(trigger["metadata"].get("query", "")):
                if name not in code.metrics:
                    yield Finding("scaled", where(document), f"nobody exports {name}")
