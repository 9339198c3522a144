"""Rules for pods: restricted, sized, probed, drained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from tests.deploy.policies.manifests import (
    SERVICES,
    Container,
    Document,
    Finding,
    Manifests,
    Workload,
)

_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
_HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")
_GPU = "nvidia.com/gpu"
_UNITS = {"": 1, "m": Decimal("0.001"), "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DEVICE_VOLUMES = {"/dev/shm"}


def restricted(manifests: Manifests) -> Iterator[Finding]:
    """Every pod is what PodSecurity calls restricted, and cannot write to its root."""
    for workload in manifests.workloads:
        for what in _pod_flaws(workload):
            yield Finding("restricted", workload.where, what)
        for container in workload.containers:
            for what in _container_flaws(container):
                yield Finding("restricted", container.where, what)


def _pod_flaws(workload: Workload) -> Iterator[str]:
    pod = workload.pod
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "may run as root"
    if not isinstance(context.get("runAsUser"), int) or context["runAsUser"] == 0:
        yield "names no user that is not root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "gets a token of its account"
    if pod.get("serviceAccountName", "default") == "default":
        yield "has no account of its own"
    if pod.get("enableServiceLinks") is not False:
        yield "gets variables named after Services"
    for key in _HOST:
        if pod.get(key):
            yield f"sets {key}"
    for volume in pod.get("volumes", ()):
        kind = next(key for key in volume if key != "name")
        if kind not in _VOLUMES:
            yield f"has a volume of kind {kind}"
        if kind == "emptyDir" and "sizeLimit" not in volume[kind]:
            yield f"lets the volume {volume['name']} grow without a limit"


def _container_flaws(container: Container) -> Iterator[str]:
    context = container.body.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("privileged"):
        yield "is privileged"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield "may run as root"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "keeps capabilities"
    if any("hostPort" in port for port in container.body.get("ports", ())):
        yield "takes a port of the node"


def sized(manifests: Manifests) -> Iterator[Finding]:
    """Every container says what it needs and what it may take."""
    for workload in manifests.workloads:
        for container in workload.containers:
            resources = container.body.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            for name in ("cpu", "memory", "ephemeral-storage"):
                if name not in requests or name not in limits:
                    yield Finding("sized", container.where, f"does not say its {name}")
                elif quantity(requests[name]) > quantity(limits[name]):
                    yield Finding("sized", container.where, f"asks for more {name} than it may use")


def quantity(text: str | int) -> Decimal:
    """Returns a quantity of Kubernetes as a number."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    if found is None:
        raise ValueError(f"{text} is no quantity")
    return Decimal(found[1]) * _UNITS[found[2]]


def pinned(manifests: Manifests) -> Iterator[Finding]:
    """Every image has a version."""
    for workload in manifests.workloads:
        for container in workload.containers:
            name = container.body["image"].rsplit("/", 1)[-1]
            if "@sha256:" not in name and (":" not in name or name.endswith(":latest")):
                yield Finding("pinned", container.where, f"image {name} has no version")


_PROGRAM = ["python", "-m", "services.runtime.probe"]


def probed(manifests: Manifests) -> Iterator[Finding]:
    """Every server is probed on its own port; our services by gRPC.

    The separator is alive before it is ready: only its readiness is that of its model.
    """
    for workload in manifests.workloads:
        container = workload.main
        if workload.kind == "Job":
            continue
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.body.get(name, {})
            if not probe:
                yield Finding("probed", container.where, f"has no {name}")
            if workload.name in SERVICES and not _asks_by_grpc(manifests, container, probe):
                yield Finding("probed", container.where, f"its {name} is not by gRPC")
            of_life = workload.name == "separator" and name != "readinessProbe"
            if workload.name in SERVICES and _asked_of(probe) != ("liveness" if of_life else ""):
                yield Finding("probed", container.where, f"its {name} asks for another name")
            ports = [probe.get(kind, {}).get("port") for kind in ("grpc", "tcpSocket", "httpGet")]
            for port in filter(None, ports):
                if port not in {*container.ports, *container.ports.values()}:
                    yield Finding("probed", container.where, f"its {name} asks port {port}")


def _asks_by_grpc(manifests: Manifests, container: Container, probe: Document) -> bool:
    """Whether a probe asks the health service: Kubernetes itself, or with TLS our own program."""
    environment = manifests.environment(container)
    if "MIXDOWN_TLS_CERTIFICATE_FILE" not in environment:
        return "grpc" in probe
    name = environment.get("MIXDOWN_TLS_NAME")
    command = probe.get("exec", {}).get("command", [])
    return command[:3] == _PROGRAM and name == container.workload.name


def _asked_of(probe: Document) -> str:
    """The name that a probe asks the health service for; "" is the server as a whole."""
    command = probe.get("exec", {}).get("command", [])
    return str(probe.get("grpc", {}).get("service", "") or "".join(command[3:]))


def listening(manifests: Manifests) -> Iterator[Finding]:
    """Our services run their own module, and listen where their container says."""
    for name in SERVICES:
        container = _service(manifests, name)
        if container is None:
            yield Finding("listening", f"Deployment/{name}", "is missing")
            continue
        environment = manifests.environment(container)
        if container.body.get("command") != ["python", "-m", f"services.{name}"]:
            yield Finding("listening", container.where, "does not run its service")
        for port, variable in (("grpc", "MIXDOWN_LISTEN"), ("metrics", "MIXDOWN_METRICS_LISTEN")):
            if environment.get(variable) != f"0.0.0.0:{container.ports.get(port)}":
                yield Finding("listening", container.where, f"{variable} is not the port {port}")


def drained(manifests: Manifests) -> Iterator[Finding]:
    """No pod is killed before what it does by itself at its end is over."""
    for name in SERVICES:
        container = _service(manifests, name)
        if container is None:
            continue
        sleep = container.body.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        if "seconds" not in sleep:
            yield Finding("drained", container.where, "stops before its name has left the DNS")
            continue
        environment = manifests.environment(container)
        notice = float(environment.get("MIXDOWN_DRAIN_NOTICE_SECONDS") or 0)
        drain = float(environment.get("MIXDOWN_DRAIN_SECONDS") or 30)
        # The gateway drains its calls, then the turns that nobody listens to.
        needed = sleep["seconds"] + notice + drain * (2 if name == "gateway" else 1)
        grace = container.workload.pod.get("terminationGracePeriodSeconds", 30)
        if grace <= needed:
            yield Finding("drained", container.where, f"has {grace} s to end, needs {needed} s")
        # Envoy asks every 5 s whether a service serves.
        if notice < 10:
            yield Finding("drained", container.where, f"gives Envoy {notice} s to notice")
    yield from _envoy_drained(manifests)


def _envoy_drained(manifests: Manifests) -> Iterator[Finding]:
    envoy = next((w for w in manifests.workloads if w.name == "envoy"), None)
    if envoy is None:
        yield Finding("drained", "Deployment/envoy", "is missing")
        return
    command = envoy.main.body["command"]
    drain = int(command[command.index("--drain-time-s") + 1])
    script = " ".join(
        envoy.main.body.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ())
    )
    sleep = re.search(r"sleep (\d+)", script)
    if "/drain_listeners?graceful" not in script or sleep is None or int(sleep[1]) <= drain:
        yield Finding("drained", envoy.where, "does not let its listeners drain")
    elif envoy.pod["terminationGracePeriodSeconds"] <= int(sleep[1]):
        yield Finding("drained", envoy.where, "is killed while its listeners drain")


def disrupted(manifests: Manifests) -> Iterator[Finding]:
    """A budget lets nodes be drained, one pod at a time; replicas lie apart."""
    for workload in manifests.workloads:
        if workload.kind != "Deployment":
            continue
        budgets = [
            budget
            for budget in manifests.of_kind("PodDisruptionBudget")
            if workload in manifests.selected(budget["spec"]["selector"])
        ]
        if [budget["spec"].get("maxUnavailable") for budget in budgets] != [1]:
            yield Finding("disrupted", workload.where, "has no budget of one pod at a time")
        spread = workload.pod.get("topologySpreadConstraints", ())
        keys = {constraint["topologyKey"] for constraint in spread}
        if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= keys:
            yield Finding("disrupted", workload.where, "may have all its pods in one place")


def accelerated(manifests: Manifests) -> Iterator[Finding]:
    """Nobody but the separator asks for a GPU; it asks for all that belongs to one."""
    for workload in manifests.workloads:
        for container in workload.containers:
            resources = container.body.get("resources", {})
            asked = resources.get("limits", {}).get(_GPU), resources.get("requests", {}).get(_GPU)
            if asked == (None, None):
                continue
            if workload.name != "separator":
                yield Finding("accelerated", container.where, "asks for a GPU")
                continue
            if asked[0] != asked[1]:
                yield Finding("accelerated", container.where, "asks for a part of a GPU")
            yield from _gpu_flaws(manifests, container)


def _gpu_flaws(manifests: Manifests, container: Container) -> Iterator[Finding]:
    pod = container.workload.pod
    if not any(taint.get("key") == _GPU for taint in pod.get("tolerations", ())):
        yield Finding("accelerated", container.where, "does not tolerate the GPU nodes' taint")
    required = pod.get("affinity", {}).get("nodeAffinity", {})
    terms = required.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    keys = {
        expression["key"]
        for term in terms.get("nodeSelectorTerms", ())
        for expression in term.get("matchExpressions", ())
    }
    if "nvidia.com/gpu.present" not in keys:
        yield Finding("accelerated", container.where, "may run on a node without a GPU")
    mounts = {mount["mountPath"]: mount["name"] for mount in container.body["volumeMounts"]}
    memory = {
        volume["name"]
        for volume in pod["volumes"]
        if volume.get("emptyDir", {}).get("medium") == "Memory"
    }
    for path in _DEVICE_VOLUMES:
        if mounts.get(path) not in memory:
            yield Finding("accelerated", container.where, f"has no memory at {path}")
    if manifests.environment(container).get("MIXDOWN_DEVICE") != "cuda":
        yield Finding("accelerated", container.where, "would fall back to the CPU")


def _service(manifests: Manifests, name: str) -> Container | None:
    for workload in manifests.workloads:
        if workload.kind == "Deployment" and workload.name == name:
            return workload.main
    return None
