"""How Envoy talks to services: in the clear, or by mutual TLS.

Certificate, key and authority are read from files, and again when these are replaced (as a mounted
Secret is): they are named in `identity.json` and `authority.json`, whose folder Envoy watches.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.runtime.tls import TlsFiles

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
_IN_THE_CLEAR = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    },
}


def transports(hosts: Mapping[str, str], folder: Path, tls: TlsFiles | None) -> dict[str, str]:
    """Returns the variables of the template that tell how services and Envoy talk to each other.

    Args:
        hosts: Where the services are, by name of service: each must show a certificate of its host.
        folder: Where `identity.json` and `authority.json` are written, with TLS.
        tls: Envoy's own certificate, its key, and the authority; None talks in the clear.
    """
    to_each = dict.fromkeys(hosts, _IN_THE_CLEAR)
    from_all = _IN_THE_CLEAR
    if tls is not None:
        for name, secret in _secrets(tls).items():
            document = {"resources": [{"@type": f"{_TLS}Secret", "name": name, **secret}]}
            (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
        to_each = {name: _to(host, folder) for name, host in hosts.items()}
        from_all = _from_services(folder)
    return {
        "MIXDOWN_TRANSPORT_FROM_SERVICES": json.dumps(from_all),
        **{f"MIXDOWN_TRANSPORT_TO_{name.upper()}": json.dumps(to) for name, to in to_each.items()},
    }


def _secrets(tls: TlsFiles) -> dict[str, dict[str, Any]]:
    def watched(file: Path) -> dict[str, str]:
        return {"path": str(file.parent.absolute())}

    identity = {
        "certificate_chain": {"filename": str(tls.certificate.absolute())},
        "private_key": {"filename": str(tls.key.absolute())},
        "watched_directory": watched(tls.certificate),
    }
    authority = {
        "trusted_ca": {"filename": str(tls.authority.absolute())},
        "watched_directory": watched(tls.authority),
    }
    return {
        "identity": {"tls_certificate": identity},
        "authority": {"validation_context": authority},
    }


def _from_services(folder: Path) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [_secret("identity", folder)],
                "validation_context_sds_secret_config": _secret("authority", folder),
            },
        },
    }


def _to(host: str, folder: Path) -> dict[str, Any]:
    san_type = _san_type(host)
    name = {"san_type": san_type, "matcher": {"exact": host}}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}UpstreamTlsContext",
            **({"sni": host} if san_type == "DNS" else {}),
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [_secret("identity", folder)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": [name]},
                    "validation_context_sds_secret_config": _secret("authority", folder),
                },
            },
        },
    }


def _secret(name: str, folder: Path) -> dict[str, Any]:
    source = {"path": str((folder / f"{name}.json").absolute())}
    return {
        "name": name,
        "sds_config": {"path_config_source": source, "resource_api_version": "V3"},
    }


def _san_type(host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
