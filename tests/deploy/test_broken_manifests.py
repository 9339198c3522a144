"""The rules find what is broken: each manifest here is spoilt in one way, and caught."""

import pytest

from tests.deploy.policies import RULES
from tests.deploy.rendering import code, envoy_config, manifests
from tests.deploy.spoilt import network, pods, wiring

PRODUCTION = "overlays/production"

BROKEN = {**pods.SPOILT, **network.SPOILT, **wiring.SPOILT}


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        pytest.param(rule, spoil, id=f"{rule}-{spoil.__name__}")
        for rule, spoils in BROKEN.items()
        for spoil in spoils
    ],
)
def test_a_broken_manifest_is_caught(rule, spoil, tmp_path):
    found = manifests(PRODUCTION)
    spoil(found)
    envoy = envoy_config(found, tmp_path) if rule == "enveloped" else {}
    findings = RULES[rule](found, code(), envoy)
    assert list(findings), f"{rule} does not see {spoil.__name__}"


def test_every_rule_has_caught_something():
    assert set(BROKEN) == set(RULES)
