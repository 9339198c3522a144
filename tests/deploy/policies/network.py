"""Rules for the network: every port has a Service and a policy; the arrows are those drawn."""

from __future__ import annotations

from collections.abc import Iterator

from tests.deploy.policies.manifests import (
    SERVICES,
    Document,
    Finding,
    Manifests,
    Workload,
    matches,
    where,
)

Arrow = tuple[str, str, str]
"""Who calls, who is called, by which port."""

ARROWS: frozenset[Arrow] = frozenset(
    {
        *(("envoy", name, "grpc") for name in SERVICES),
        ("gateway", "envoy", "internal"),
        ("remixer", "envoy", "internal"),
        ("session", "postgresql", "postgresql"),
        ("session-migrate", "postgresql", "postgresql"),
        ("gateway", "seaweedfs", "s3"),
        ("remixer", "seaweedfs", "s3"),
        ("separator", "seaweedfs", "s3"),
    }
)
"""The arrows of the architecture between pods; the stores are pods in `overlays/local` only."""

OPEN_TO_ALL = {("envoy", "public")}
"""Ports that anybody may call."""

OUTSIDE: dict[str, set[int]] = {
    "gateway": {443},
    "remixer": {443},
    "separator": {443},
    "interpreter": {443},
    "session": {5432},
    "session-migrate": {5432},
}
"""Ports outside of the namespace that a pod may call."""


def served(manifests: Manifests) -> Iterator[Finding]:
    """Every port but the metrics' is behind a Service, and every Service has pods with its port."""
    behind: set[tuple[str, str]] = set()
    for service in manifests.of_kind("Service"):
        selected = manifests.selected({"matchLabels": service["spec"]["selector"]})
        if not selected:
            yield Finding("served", where(service), "selects no pod")
        for port in service["spec"]["ports"]:
            for workload in selected:
                if port["targetPort"] not in workload.ports:
                    yield Finding("served", where(service), f"no port {port['targetPort']}")
                behind.add((workload.where, port["targetPort"]))
        if service["metadata"]["name"] in SERVICES and service["spec"].get("clusterIP") != "None":
            yield Finding("served", where(service), "is not headless: Envoy could not balance")
    for workload in manifests.workloads:
        for port in workload.ports:
            if port != "metrics" and (workload.where, port) not in behind:
                yield Finding("served", workload.where, f"its port {port} is in no Service")


def denied(manifests: Manifests) -> Iterator[Finding]:
    """What no policy allows is denied, both ways, for every pod."""
    for policy in manifests.of_kind("NetworkPolicy"):
        spec = policy["spec"]
        if spec["podSelector"] == {} and set(spec["policyTypes"]) == {"Ingress", "Egress"}:
            if spec.get("ingress") or spec.get("egress"):
                continue
            return
    yield Finding("denied", "NetworkPolicy", "nothing denies what is not allowed")


def selecting(manifests: Manifests) -> Iterator[Finding]:
    """Every policy selects pods, and the ports that it names are theirs."""
    for policy in manifests.of_kind("NetworkPolicy"):
        selected = manifests.selected(policy["spec"]["podSelector"])
        if not selected and not _is_an_operators(policy["spec"]["podSelector"]):
            yield Finding("selecting", where(policy), "selects no pod")
        for rule in policy["spec"].get("ingress", ()):
            for port in rule.get("ports", ()):
                for workload in selected:
                    if port["port"] not in {*workload.ports, *workload.ports.values()}:
                        what = f"{workload.name} has no port {port['port']}"
                        yield Finding("selecting", where(policy), what)


def _is_an_operators(selector: Document) -> bool:
    return "cnpg.io/cluster" in selector.get("matchLabels", {})


def reachable(manifests: Manifests) -> Iterator[Finding]:
    """Every port may be called by somebody, and only the public one by anybody."""
    for workload in manifests.workloads:
        for port, number in workload.ports.items():
            rules = [
                rule
                for rule in _rules(manifests, workload, "ingress")
                if any(p["port"] in {port, number} for p in rule.get("ports", ()))
            ]
            if port == "metrics" and not rules:
                continue  # without the component `monitoring` nobody may fetch them
            if not rules:
                yield Finding("reachable", workload.where, f"no policy lets anybody to {port}")
            open_to_all = any("from" not in rule for rule in rules)
            if open_to_all and (workload.name, port) not in OPEN_TO_ALL:
                yield Finding("reachable", workload.where, f"anybody may call its port {port}")
        for rule in _rules(manifests, workload, "ingress"):
            if "ports" not in rule:
                yield Finding("reachable", workload.where, "all its ports may be called")


def scraped(manifests: Manifests) -> Iterator[Finding]:
    """Where metrics are fetched, they are from every pod that has some."""
    monitors = list(manifests.of_kind("PodMonitor"))
    for workload in manifests.workloads if monitors else ():
        if "metrics" not in workload.ports:
            continue
        fetching = [
            endpoint
            for monitor in monitors
            if workload in manifests.selected(monitor["spec"]["selector"])
            for endpoint in monitor["spec"]["podMetricsEndpoints"]
        ]
        if not any(
            endpoint["port"] == "metrics" and endpoint["path"] == "/metrics"
            for endpoint in fetching
        ):
            yield Finding("scraped", workload.where, "no PodMonitor fetches its metrics")
        if not any(
            _has(rule, "metrics", workload.ports["metrics"])
            for rule in _rules(manifests, workload, "ingress")
        ):
            yield Finding("scraped", workload.where, "nobody may fetch its metrics")


def arrows(manifests: Manifests) -> Iterator[Finding]:
    """Pods of ours call each other along the arrows of the architecture, and no others."""
    allowed = set(_arrows(manifests))
    names = {workload.name for workload in manifests.workloads}
    expected = {arrow for arrow in ARROWS if arrow[0] in names and arrow[1] in names}
    for source, target, port in sorted(allowed - expected):
        yield Finding("arrows", f"NetworkPolicy {source} → {target}", f"may call {port}")
    for source, target, port in sorted(expected - allowed):
        yield Finding("arrows", f"NetworkPolicy {source} → {target}", f"cannot call {port}")


def outgoing(manifests: Manifests) -> Iterator[Finding]:
    """Outside of the namespace a pod may call only what it is known to need."""
    for workload in manifests.workloads:
        for rule in _rules(manifests, workload, "egress"):
            if not _leaves(rule):
                continue
            ports = {port["port"] for port in rule.get("ports", ())}
            if not ports:
                yield Finding("outgoing", workload.where, "may call any port outside")
            if extra := ports - OUTSIDE.get(workload.name, set()):
                yield Finding("outgoing", workload.where, f"may call {sorted(extra)} outside")
            for peer in rule.get("to", ()):
                block = peer.get("ipBlock", {})
                if block.get("cidr") == "0.0.0.0/0" and not _spares_metadata(block):
                    what = "may ask the cloud's metadata for credentials"
                    yield Finding("outgoing", workload.where, what)


def _spares_metadata(block: Document) -> bool:
    return "169.254.0.0/16" in block.get("except", ())


def _leaves(rule: Document) -> bool:
    """Whether a rule lets out of the namespace, but for DNS and what is named by its pods."""
    return "to" not in rule or any("ipBlock" in peer for peer in rule["to"])


def _arrows(manifests: Manifests) -> Iterator[Arrow]:
    for target in manifests.workloads:
        for source in manifests.workloads:
            for port, number in target.ports.items():
                if port == "metrics":
                    continue
                into = any(
                    _names(rule, "from", source) and _has(rule, port, number)
                    for rule in _rules(manifests, target, "ingress")
                )
                out = any(
                    _names(rule, "to", target) and _has(rule, port, number)
                    for rule in _rules(manifests, source, "egress")
                )
                if into and out:
                    yield (source.name, target.name, port)


def _rules(manifests: Manifests, workload: Workload, way: str) -> Iterator[Document]:
    for policy in manifests.of_kind("NetworkPolicy"):
        if workload in manifests.selected(policy["spec"]["podSelector"]):
            yield from policy["spec"].get(way, ())


def _names(rule: Document, key: str, workload: Workload) -> bool:
    if key not in rule:
        return False  # anybody: told by `reachable` and `outgoing`
    return any(
        "podSelector" in peer
        and "namespaceSelector" not in peer
        and matches(peer["podSelector"], workload.labels)
        for peer in rule[key]
    )


def _has(rule: Document, name: str, number: int) -> bool:
    return any(port["port"] in {name, number} for port in rule.get("ports", ()))
