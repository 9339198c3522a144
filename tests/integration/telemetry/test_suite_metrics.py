"""What the dashboard and the alerts ask for is what a suite that was used exports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pytest
from promql_parser import MatchOp

from services.local.suite import SERVICES
from tests.integration.telemetry.conftest import Observed
from tests.monitoring import (
    TARGET_LABELS,
    Query,
    dashboard_queries,
    recorded,
    rule_queries,
)
from tests.patience import PATIENCE_SECONDS

QUERIES = [*dashboard_queries(), *rule_queries()]

SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "unknown": ("",),
}

NEEDS_A_GPU = {"mixdown_separator_device_memory_bytes"}

RARE = NEEDS_A_GPU | {
    "mixdown_gateway_retries_total",  # by code, once something was away
    "mixdown_gateway_turn_errors_total",  # by reason, once a turn failed
    "mixdown_interpreter_limitations_total",  # by kind, once something could not be done
    "mixdown_separator_model_load_failures_total",  # by reason, once a model could not be loaded
}
"""Metrics that have no sample after a conversation in which nothing goes wrong."""


@dataclass
class Exported:
    """A metric as it is exported: the values of its labels that were seen."""

    labels: dict[str, set[str]] = field(default_factory=dict)
    samples: int = 0


@pytest.fixture(scope="module")
def exported(observed: Observed) -> dict[str, Exported]:
    """What is exported, a census and a cleaning included, which come a little later."""
    limit = time.monotonic() + PATIENCE_SECONDS
    missing = QUERIES
    while True:
        found = everything(observed)
        missing = [query for query in missing if problems(query, found)]
        if not missing or time.monotonic() > limit:
            return found
        time.sleep(0.5)


def everything(observed: Observed) -> dict[str, Exported]:
    found: dict[str, Exported] = {}
    for families in observed.scrape().values():
        for family in families.values():
            for suffix in SUFFIXES[family.type]:
                found.setdefault(f"{family.name}{suffix}", Exported())
            for sample in family.samples:
                metric = found.setdefault(sample.name, Exported())
                metric.samples += 1
                for label, value in sample.labels.items():
                    metric.labels.setdefault(label, set()).add(value)
    return found


def test_every_process_is_scraped(observed: Observed):
    components = {
        sample.labels["component"]: job
        for job, families in observed.scrape().items()
        if "mixdown_build_info" in families
        for sample in families["mixdown_build_info"].samples
    }
    assert components == {name: f"mixdown-{name}" for name in SERVICES}
    assert "envoy_server_uptime" in observed.scrape()["mixdown-envoy"]


def problems(query: Query, exported: dict[str, Exported]) -> list[str]:
    """Returns what a query asks for that is not exported."""
    found: list[str] = []
    known: set[str] = set(TARGET_LABELS)
    for selector in query.selectors():
        if selector.name in recorded():
            continue
        metric = exported.get(selector.name or "")
        if metric is None:
            found.append(f"nobody exports {selector.name}")
            continue
        if not metric.samples:
            if selector.name not in RARE:
                found.append(f"{selector.name} has no sample")
            return found  # its labels are not known
        known |= set(metric.labels)
        for matcher in selector.matchers.matchers:
            values = metric.labels.get(matcher.name)
            if values is None:
                found.append(f"{selector.name} has no label {matcher.name}")
            elif matcher.op == MatchOp.Equal and matcher.value not in values:
                found.append(f"{selector.name} never has {matcher.name}={matcher.value}")
    return found + [f"no label {label}" for label in query.grouping_labels() - known]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_metric_and_label_that_is_asked_for_exists(
    exported: dict[str, Exported], query: Query
):
    assert problems(query, exported) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rate(mixdown_gateway_turn_total[5m])", "nobody exports mixdown_gateway_turn_total"),
        ("mixdown_session_turns{status='orphaned'}", "mixdown_session_turns has no label status"),
        (
            "mixdown_session_turns{state='lost'}",
            "mixdown_session_turns never has state=lost",
        ),
        ("sum by (user) (mixdown_gateway_streams)", "no label user"),
        (
            "histogram_quantile(0.9, mixdown_gateway_reply_seconds)",
            "nobody exports mixdown_gateway_reply_seconds",
        ),
    ],
)
def test_a_query_for_what_is_not_there_is_found(
    exported: dict[str, Exported], text: str, problem: str
):
    assert problems(Query("a broken panel", text), exported) == [problem]


def test_every_metric_of_ours_is_on_the_dashboard(exported: dict[str, Exported]):
    asked = {selector.name for query in dashboard_queries() for selector in query.selectors()}
    ours = {name for name in exported if name.startswith("mixdown_")}
    histograms = {name.removesuffix("_bucket") for name in ours if name.endswith("_bucket")}
    shown = {name for name in histograms if {f"{name}_bucket", f"{name}_count"} & asked}
    of_histograms = {
        f"{name}{part}" for name in histograms for part in ("_bucket", "_sum", "_count")
    }
    assert histograms == shown
    assert ours - of_histograms <= asked


def test_no_metric_names_a_user_or_says_what_was_said(exported: dict[str, Exported]):
    values = {
        value
        for metric in exported.values()
        for label, seen in metric.labels.items()
        for value in seen
        if label not in {"grpc_service", "grpc_method"}
    }
    assert not [value for value in values if "vocals" in value or value == "local"]
    assert not [value for value in values if len(value) >= 32], (
        "an id, of which there are ever more"
    )


def test_what_is_under_way_is_nothing_once_all_is_done(observed: Observed):
    gauges = {
        "mixdown_gateway_streams",
        "mixdown_gateway_turns_in_progress",
        "mixdown_remixer_renders_in_progress",
        "mixdown_separator_running_tracks",
        "mixdown_separator_waiting_tracks",
        "mixdown_separator_waiting_segments",
        "mixdown_rpc_in_progress",
    }
    limit = time.monotonic() + PATIENCE_SECONDS
    while True:
        busy = {
            (family.name, *sample.labels.values()): sample.value
            for families in observed.scrape().values()
            for family in families.values()
            if family.name in gauges
            for sample in family.samples
            if sample.value
        }
        if not busy:
            return
        assert time.monotonic() < limit, busy
        time.sleep(0.2)


def test_the_number_of_series_of_a_process_is_bounded(observed: Observed):
    for job, families in observed.scrape().items():
        ours = [family for family in families.values() if family.name.startswith("mixdown_")]
        assert sum(len(family.samples) for family in ours) < 3000, job
