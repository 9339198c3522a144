"""The separator's metrics where its GPU has failed."""

from __future__ import annotations

import math
import urllib.request

import pytest
import torch

from services.runtime.metrics import MetricsEndpoint
from services.separator import metrics
from tests.metrics import value
from tests.patience import PATIENCE_SECONDS

MEMORY = "mixdown_separator_device_memory_bytes"


def fail() -> tuple[int, int]:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_all_other_metrics_are_told_where_the_gpu_answers_with_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    metrics.observe(lambda: 1, lambda: 2, lambda: 3)
    endpoint = MetricsEndpoint("127.0.0.1:0")
    try:
        address = f"http://127.0.0.1:{endpoint.port}/metrics"
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            told = answer.read().decode()
        assert "mixdown_separator_waiting_segments 3.0" in told
        assert f'{MEMORY}{{kind="free"}} NaN' in told
        assert math.isnan(value(MEMORY, kind="total"))
    finally:
        endpoint.close()
        metrics.DEVICE_MEMORY.clear()
