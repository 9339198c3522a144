"""All rules, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.deploy.policies import network, pods, wiring
from tests.deploy.policies.manifests import Finding, Manifests
from tests.deploy.policies.wiring import Code

Rule = Callable[[Manifests, Code, Mapping[str, Any]], Iterator[Finding]]

_OF_MANIFESTS = (
    pods.restricted,
    pods.sized,
    pods.pinned,
    pods.probed,
    pods.listening,
    pods.drained,
    pods.disrupted,
    pods.accelerated,
    network.served,
    network.denied,
    network.selecting,
    network.reachable,
    network.scraped,
    network.arrows,
    network.outgoing,
    wiring.referenced,
    wiring.certified,
    wiring.secret,
    wiring.placed,
    wiring.migrated,
)

RULES: dict[str, Rule] = {
    **{
        rule.__name__: lambda manifests, code, envoy, rule=rule: rule(manifests)
        for rule in _OF_MANIFESTS
    },
    "known": lambda manifests, code, envoy: wiring.known(manifests, code),
    "scaled": lambda manifests, code, envoy: wiring.scaled(manifests, code),
    "enveloped": lambda manifests, code, envoy: wiring.enveloped(manifests, envoy),
}


def check(manifests: Manifests, code: Code, envoy: Mapping[str, Any]) -> list[Finding]:
    """Returns all that is wrong.

    Args:
        manifests: The rendered manifests.
        code: What the code says.
        envoy: Envoy's configuration as its container would fill it in.
    """
    return [finding for rule in RULES.values() for finding in rule(manifests, code, envoy)]
