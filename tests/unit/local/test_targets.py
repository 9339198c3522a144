"""Where `mixdown up` serves metrics."""

import json

from services.local.suite import SERVICES, Edge, plan_suite


def test_every_process_has_metrics_of_its_own_and_prometheus_is_told_where(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXDOWN_METRICS_LISTEN", "127.0.0.1:9100")  # five could not share it
    suite = plan_suite(tmp_path, Edge(port=0))
    listen = {
        process.name: process.environment["MIXDOWN_METRICS_LISTEN"]
        for process in suite.processes()
        if process.name != "envoy"
    }
    assert set(listen) == set(SERVICES)
    assert len({*listen.values(), *map(suite.address_of, SERVICES)}) == 2 * len(SERVICES)
    groups = json.loads((tmp_path / "prometheus-targets.json").read_text())
    told = {group["labels"]["service"]: group["targets"] for group in groups}
    envoy = told.pop("envoy")
    assert told == {name: [address] for name, address in listen.items()}
    assert envoy == [f"127.0.0.1:{suite.metrics_ports['envoy']}"]
    assert suite.metrics_ports["envoy"] != suite.admin_port
