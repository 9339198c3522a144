"""The dashboard and the alerts by themselves; that their metrics exist, a running suite tells."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scripts.document_metrics import PAGE, document_metrics
from tests.monitoring import (
    FOLDER,
    dashboard,
    dashboard_queries,
    recorded,
    rule_queries,
    rules,
)

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"

ALERTS = [rule for rule in rules() if "alert" in rule]
QUERIES = [*dashboard_queries(), *rule_queries()]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_query_is_promql_and_asks_for_something(query):
    assert query.selectors()


def test_rates_on_the_dashboard_follow_its_resolution():
    ranges = re.findall(r"\[(.+?)\]", " ".join(query.text for query in dashboard_queries()))
    assert set(ranges) == {"$__rate_interval"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_says_how_urgent_it_is_and_what_to_do(alert):
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert alert["alert"] in headings
    assert anchor == alert["alert"].lower()


def test_the_runbook_tells_of_no_alert_that_is_not_there():
    headings = re.findall(r"^#+ (Mixdown[A-Z]\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in ALERTS)


def test_what_is_recorded_is_used_and_what_is_used_is_recorded():
    used = {
        selector.name
        for query in QUERIES
        for selector in query.selectors()
        if selector.name and ":" in selector.name
    }
    assert used == recorded()


def test_thresholds_of_recorded_times_are_bounds_of_buckets():
    import services.gateway.metrics  # noqa: F401  # declares them
    from services.runtime.metrics import SECONDS_BUCKETS

    bounds = {
        matcher.value
        for query in rule_queries()
        for selector in query.selectors()
        for matcher in selector.matchers.matchers
        if matcher.name == "le"
    }
    assert bounds == {"0.5", "1.0", "30.0"}
    assert bounds <= {str(bound) for bound in SECONDS_BUCKETS}


def test_panels_have_a_title_a_unit_and_a_place_of_their_own():
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart


def test_the_page_of_metrics_is_what_the_code_says():
    assert PAGE.read_text(encoding="utf-8") == document_metrics(), "run `make docs`"


@pytest.fixture
def promtool(tmp_path: Path) -> Path:
    """Prometheus' own tool, which runs where the rules lie as a file of Prometheus' own."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool, which comes with Prometheus, is not on the PATH")
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(document["spec"]))
    return Path(found)


def run(promtool: Path, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_own_tool_takes_the_rules(promtool, tmp_path):
    run(promtool, tmp_path, "check", "rules", "rules.yaml")


def test_alerts_fire_when_they_should_and_only_then(promtool, tmp_path):
    shutil.copy(Path(__file__).with_name("alert_cases.yaml"), tmp_path)
    run(promtool, tmp_path, "test", "rules", "alert_cases.yaml")
