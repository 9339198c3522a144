"""Writes docs/metrics.md from the metrics that the services declare.

`make docs` runs it; a test fails where the page is not what this writes.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from scripts.document_settings import SERVICES
from services.runtime import metrics as runtime_metrics

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

_EVERYWHERE = ("services.runtime.metrics", "services.runtime.rpc_metrics")
_BLOBS = ("services.runtime.blobs.observed",)

_HEAD = """# Metrics

What every process tells Prometheus at `/metrics` (`MIXDOWN_METRICS_LISTEN`). This page is made from
the code by `make docs`; [telemetry.md](telemetry.md) tells how to use it. Beside these there are
what the Prometheus client knows of a process (`process_resident_memory_bytes`,
`process_cpu_seconds_total`, `process_open_fds`, …) and of Python (`python_gc_…`, `python_info`).

A histogram has `_bucket` (with the label `le`), `_sum` and `_count` behind its name.
"""


def document_metrics() -> str:
    """Returns the page as Markdown."""
    parts = [
        _HEAD,
        "\n## Every service\n\n",
        _table(*_EVERYWHERE),
        "\n## Services with a blob store: gateway, remixer, separator\n\n",
        _table(*_BLOBS),
    ]
    for service in SERVICES:
        parts += [f"\n## {service}\n\n", _table(f"services.{service}.metrics")]
    return "".join(parts)


def _table(*modules: str) -> str:
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for module in modules:
        for metric in _declared(module):
            (described,) = metric.describe()
            suffix = "_total" if described.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(
                f"| `{described.name}{suffix}` | {described.type} | {labels} "
                f"| {described.documentation} |"
            )
    return "\n".join(rows) + "\n"


def _declared(module: str) -> list[MetricWrapperBase]:
    """Returns the metrics that a module declares, in the order in which it does."""
    found = [
        value
        for _, value in inspect.getmembers_static(importlib.import_module(module))
        if isinstance(value, MetricWrapperBase)
    ]
    # The registry keeps the order.
    order = list(runtime_metrics.REGISTRY._collector_to_names)
    return sorted(found, key=order.index)


if __name__ == "__main__":
    PAGE.write_text(document_metrics(), encoding="utf-8")
