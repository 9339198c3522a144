"""Tells a Prometheus on this machine where metrics are served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

NAME = "prometheus-targets.json"


def write_targets(folder: Path, host: str, metrics_ports: Mapping[str, int]) -> Path:
    """Writes a file for Prometheus' `file_sd_configs`, and returns its path.

    Args:
        folder: Where it is written, as `prometheus-targets.json`.
        host: Where everything listens.
        metrics_ports: Ports of the metrics, by name of the service; Envoy is one here.
    """
    groups = [
        {
            "targets": [f"{host}:{port}"],
            "labels": {"job": f"mixdown-{service}", "service": service},
        }
        for service, port in metrics_ports.items()
    ]
    path = folder / NAME
    path.write_text(json.dumps(groups, indent=2) + "\n", encoding="utf-8")
    return path
