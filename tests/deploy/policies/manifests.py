"""Rendered manifests, and what the rules ask of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

WORKLOADS = ("Deployment", "StatefulSet", "Job")
SERVICES = ("gateway", "session", "interpreter", "remixer", "separator")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        rule: The rule that is broken.
        where: The object, as Kind/name.
        what: What is wrong with it.
    """

    rule: str
    where: str
    what: str


@dataclass(frozen=True)
class Container:
    """A container of a workload."""

    workload: Workload
    body: Document
    is_init: bool

    @property
    def where(self) -> str:
        return f"{self.workload.where}/{self.body['name']}"

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.body.get("ports", ())}


@dataclass(frozen=True)
class Workload:
    """Something that makes pods."""

    body: Document

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def where(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def pod(self) -> Document:
        return self.body["spec"]["template"]["spec"]

    @property
    def labels(self) -> Mapping[str, str]:
        return self.body["spec"]["template"]["metadata"].get("labels", {})

    @property
    def containers(self) -> list[Container]:
        return [
            *(Container(self, body, True) for body in self.pod.get("initContainers", ())),
            *(Container(self, body, False) for body in self.pod["containers"]),
        ]

    @property
    def main(self) -> Container:
        return Container(self, self.pod["containers"][0], False)

    @property
    def ports(self) -> dict[str, int]:
        return {
            name: port
            for container in self.containers
            if not container.is_init
            for name, port in container.ports.items()
        }


class Manifests:
    """All documents of one rendering."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def of_kind(self, *kinds: str) -> Iterator[Document]:
        for document in self.documents:
            if document["kind"] in kinds:
                yield document

    def find(self, kind: str, name: str) -> Document | None:
        for document in self.of_kind(kind):
            if document["metadata"]["name"] == name:
                return document
        return None

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(document) for document in self.of_kind(*WORKLOADS)]

    def selected(self, selector: Document) -> list[Workload]:
        return [workload for workload in self.workloads if matches(selector, workload.labels)]

    def environment(self, container: Container) -> dict[str, str | None]:
        """Returns a container's variables; None where a Secret has the value."""
        found: dict[str, str | None] = {}
        for source in container.body.get("envFrom", ()):
            if "configMapRef" in source:
                settings = self.find("ConfigMap", source["configMapRef"]["name"])
                found |= (settings or {}).get("data", {})
        for variable in container.body.get("env", ()):
            found[variable["name"]] = variable.get("value")
        return found


def matches(selector: Document, labels: Mapping[str, str]) -> bool:
    """Tells whether a label selector, of either kind, selects these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", ()):
        operator, value = expression["operator"], labels.get(expression["key"])
        if operator == "In" and value not in expression["values"]:
            return False
        if operator == "Exists" and value is None:
            return False
        if operator not in {"In", "Exists"}:
            raise ValueError(f"operator {operator} is not known here")
    return True


def where(document: Document) -> str:
    """Returns how findings name a document."""
    return f"{document['kind']}/{document['metadata']['name']}"
