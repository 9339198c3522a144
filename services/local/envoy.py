"""Fills in Envoy's configuration for this machine.

The template, `deploy/envoy/envoy.yaml`, is the one that a cluster uses too.
"""

from __future__ import annotations

import os
import string
import sys
from dataclasses import dataclass
from pathlib import Path

_BESIDE = Path(__file__).with_name("envoy.yaml")  # in an installed package
_CHECKOUT = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"


@dataclass(frozen=True)
class EnvoyAddresses:
    """What Envoy must know of this machine.

    Args:
        address: Address that Envoy listens on.
        port: Port that Envoy listens on.
        admin_port: Port of Envoy's administration, on 127.0.0.1 only.
        gateway_host: Where the gateway is.
        gateway_port: Port of the gateway.
    """

    address: str
    port: int
    admin_port: int
    gateway_host: str
    gateway_port: int


def render(addresses: EnvoyAddresses) -> str:
    """Returns Envoy's configuration as YAML."""
    return _template().substitute(
        MIXDOWN_ENVOY_ADDRESS=addresses.address,
        MIXDOWN_ENVOY_PORT=addresses.port,
        MIXDOWN_ENVOY_ADMIN_PORT=addresses.admin_port,
        MIXDOWN_GATEWAY_HOST=addresses.gateway_host,
        MIXDOWN_GATEWAY_PORT=addresses.gateway_port,
    )


def _template() -> string.Template:
    path = _BESIDE if _BESIDE.exists() else _CHECKOUT
    return string.Template(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    # A variable that is missing is an error: half a configuration is worse than none.
    sys.stdout.write(_template().substitute(os.environ))
