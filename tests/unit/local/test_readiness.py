"""What the suite tells while it waits for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.local import readiness
from services.local.suite import Edge, plan_suite


def test_what_takes_long_is_told_once_and_waiting_ends_when_nobody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_LONG_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "_PAUSE_SECONDS", 0.001)
    asked = iter([True] * 5)
    told: list[str] = []
    suite = plan_suite(tmp_path, Edge(port=0))  # nothing of it runs
    assert not readiness.wait_until_ready(suite, lambda: next(asked, False), told.append)
    assert told == ["Mixdown waits for session to listen."]
