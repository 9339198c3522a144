"""What the dashboard and the alerts ask Prometheus."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

FOLDER = Path(__file__).parents[1] / "deploy" / "monitoring"

TARGET_LABELS = frozenset({"job", "instance", "service", "pod"})
"""Labels that Prometheus puts on what it fetches, by the configuration of its targets."""


@dataclass(frozen=True)
class Query:
    """An expression, and where it stands."""

    where: str
    text: str

    @property
    def expression(self) -> promql_parser.Expr:
        """The expression, parsed; Grafana's variables stand for any value."""
        return promql_parser.parse(self.text.replace("$__rate_interval", "5m"))

    def selectors(self) -> list[promql_parser.VectorSelector]:
        """Returns every metric that is asked for."""
        found: list[promql_parser.VectorSelector] = []

        def visit(expression: promql_parser.Expr) -> None:
            if isinstance(expression, promql_parser.MatrixSelector):
                found.append(expression.vector_selector)
            elif isinstance(expression, promql_parser.VectorSelector):
                found.append(expression)

        promql_parser.walk(self.expression, visit)
        return list({str(selector): selector for selector in found}.values())

    def grouping_labels(self) -> set[str]:
        """Returns the labels by which is grouped."""
        found: set[str] = set()

        def visit(expression: promql_parser.Expr) -> None:
            if isinstance(expression, promql_parser.AggregateExpr) and expression.modifier:
                found.update(expression.modifier.labels)

        promql_parser.walk(self.expression, visit)
        return found


def dashboard() -> dict[str, Any]:
    """Returns the dashboard."""
    return json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    """Returns the rules of all groups."""
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["spec"]["groups"] for rule in group["rules"]]


def recorded() -> set[str]:
    """Returns the names that rules record under."""
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard_queries() -> list[Query]:
    """Returns what the panels of the dashboard ask for."""
    return [
        Query(f"panel {panel['title']!r}", target["expr"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]


def rule_queries() -> list[Query]:
    """Returns what the rules ask for."""
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
