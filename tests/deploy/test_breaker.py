"""The breaker of the separators is as wide as their queues, wherever they run."""

import json
from pathlib import Path

import yaml

from services.local.suite import Edge, plan_suite
from services.separator.settings import SeparatorSettings

DEPLOY = Path(__file__).parents[2] / "deploy"


def held_calls() -> int:
    """By one separator whose settings are as they come."""
    fields = SeparatorSettings.model_fields
    return 2 * (fields["running_tracks"].default + fields["queue_limit"].default)


def local_breaker(folder: Path) -> dict[str, int]:
    plan_suite(folder, Edge(port=0)).processes()
    clusters = yaml.safe_load((folder / "envoy.yaml").read_text())["static_resources"]["clusters"]
    (separator,) = (cluster for cluster in clusters if cluster["name"] == "separator")
    (thresholds,) = separator["circuit_breakers"]["thresholds"]
    return thresholds


def test_on_one_machine_it_follows_the_settings_of_the_separator(tmp_path, monkeypatch):
    for name in ("MIXDOWN_RUNNING_TRACKS", "MIXDOWN_QUEUE_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    assert local_breaker(tmp_path)["max_requests"] == held_calls()
    monkeypatch.setenv("MIXDOWN_RUNNING_TRACKS", "2")
    monkeypatch.setenv("MIXDOWN_QUEUE_LIMIT", "10")
    thresholds = local_breaker(tmp_path)
    assert thresholds["max_requests"] == thresholds["max_pending_requests"] == 24


def test_in_containers_it_is_that_of_one_separator():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    told = services["envoy-configuration"]["environment"]["MIXDOWN_SEPARATOR_CALLS"]
    assert int(told) == held_calls()
    told = {key for key in services["separator"]["environment"] if key.startswith("MIXDOWN_")}
    assert not told & {"MIXDOWN_RUNNING_TRACKS", "MIXDOWN_QUEUE_LIMIT"}


def test_in_a_cluster_all_envoys_let_through_what_all_separators_hold():
    folder = DEPLOY / "k8s"
    lines = (folder / "base" / "settings" / "envoy.env").read_text().splitlines()
    each = int(dict(line.split("=", 1) for line in lines if "=" in line)["MIXDOWN_SEPARATOR_CALLS"])
    scaled = yaml.safe_load((folder / "components" / "keda" / "separator.yaml").read_text())
    production = yaml.safe_load(
        (folder / "overlays" / "production" / "kustomization.yaml").read_text()
    )
    (envoys,) = (item["count"] for item in production["replicas"] if item["name"] == "envoy")
    held = scaled["spec"]["maxReplicaCount"] * held_calls()
    assert held <= envoys * each < 1.25 * held
    assert "MIXDOWN_QUEUE_LIMIT" not in json.dumps(production)
