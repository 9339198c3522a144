"""Reading the metrics of this process."""

from __future__ import annotations

from collections.abc import Callable

from services.runtime.metrics import REGISTRY


def value(name: str, **labels: str) -> float:
    """Returns a sample; 0 where it was never counted."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def growth(name: str, **labels: str) -> Callable[[], float]:
    """Returns what tells by how much a sample has grown since now."""
    before = value(name, **labels)
    return lambda: value(name, **labels) - before
