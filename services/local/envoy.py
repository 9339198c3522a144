"""Fills in Envoy's configuration for this machine.

The template, `deploy/envoy/envoy.yaml`, is the one that a cluster uses too. There
`python -m services.local.envoy --folder FOLDER` fills it in from the environment, and puts beside
it what it refers to.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mixdown.gateway.v1
from services.local.envoy_tls import transports
from services.runtime.settings import Settings
from services.runtime.tls import TlsFiles

_BESIDE = Path(__file__).with_name("envoy.yaml")  # in an installed package
_CHECKOUT = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"

_HOST = "127.0.0.1"
_SERVICES = ("gateway", "session", "interpreter", "remixer", "separator")
_DESCRIPTORS = Path(mixdown.gateway.v1.__file__).with_name("gateway.binpb")


@dataclass(frozen=True)
class Authentication:
    """Whose tokens are accepted.

    Args:
        jwks: File with the issuer's public keys (a JSON Web Key Set).
        issuer: What a token must say in `iss`.
        audience: What a token must say in `aud`.
    """

    jwks: Path
    issuer: str
    audience: str


@dataclass(frozen=True)
class RateLimit:
    """How often one user may call.

    Args:
        burst: Calls at once.
        per_second: Calls a second that come back.
    """

    burst: int = 200
    per_second: int = 50


@dataclass(frozen=True)
class EnvoySettings:
    """What Envoy must know of this machine.

    Args:
        address: Address that Envoy listens on.
        port: Port that Envoy listens on.
        internal_port: Port for calls from service to service, on 127.0.0.1 only.
        admin_port: Port of Envoy's administration, on 127.0.0.1 only.
        ports: Ports of the services on 127.0.0.1, by name.
        folder: Where what Envoy needs besides is written.
        authentication: Whose tokens are accepted; None is development mode, in which no token is
            asked for and the gateway itself names the one user.
        rate_limit: How often one user may call.
        cors_origins: Origins whose pages may call, as `https://example.com`.
        separator_calls: Calls of the separators, running or waiting, above which further ones are
            refused at once.
        tls: Envoy's certificate for mutual TLS with the services; None talks in the clear.
        metrics_port: Port of Envoy's metrics, on 127.0.0.1 only; 0 takes any.
    """

    address: str
    port: int
    internal_port: int
    admin_port: int
    ports: Mapping[str, int]
    folder: Path
    authentication: Authentication | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)
    cors_origins: tuple[str, ...] = ()
    separator_calls: int = 72
    tls: TlsFiles | None = None
    metrics_port: int = 0


def render(settings: EnvoySettings) -> str:
    """Returns Envoy's configuration as YAML.

    In development mode a JWKS is written into `folder` that no token can satisfy: a filter that is
    switched on by mistake lets nobody in.
    """
    known = settings.authentication
    accepted = known or Authentication(_keys_of_nobody(settings.folder), "nobody", "nobody")
    return _template().substitute(
        MIXDOWN_ENVOY_ADDRESS=settings.address,
        MIXDOWN_ENVOY_PORT=settings.port,
        MIXDOWN_ENVOY_ADMIN_PORT=settings.admin_port,
        MIXDOWN_ENVOY_METRICS_ADDRESS=_HOST,
        MIXDOWN_ENVOY_METRICS_PORT=settings.metrics_port,
        MIXDOWN_ENVOY_INTERNAL_ADDRESS=_HOST,
        MIXDOWN_ENVOY_INTERNAL_PORT=settings.internal_port,
        **{f"MIXDOWN_{name.upper()}_HOST": _HOST for name in settings.ports},
        **{f"MIXDOWN_{name.upper()}_PORT": port for name, port in settings.ports.items()},
        MIXDOWN_SEPARATOR_CALLS=settings.separator_calls,
        MIXDOWN_JWT_DISABLED="true" if known is None else "false",
        MIXDOWN_JWT_JWKS_FILE=_quoted(str(accepted.jwks.resolve())),
        MIXDOWN_JWT_JWKS_FOLDER=_quoted(str(accepted.jwks.resolve().parent)),
        MIXDOWN_JWT_ISSUER=_quoted(accepted.issuer),
        MIXDOWN_JWT_AUDIENCE=_quoted(accepted.audience),
        MIXDOWN_RATE_LIMIT_BURST=settings.rate_limit.burst,
        MIXDOWN_RATE_LIMIT_PER_SECOND=settings.rate_limit.per_second,
        MIXDOWN_DESCRIPTORS_FILE=_quoted(str(_DESCRIPTORS)),
        MIXDOWN_CORS_ORIGINS=json.dumps([{"exact": origin} for origin in settings.cors_origins]),
        **transports(dict.fromkeys(settings.ports, _HOST), settings.folder, settings.tls),
    )


def _quoted(text: str) -> str:
    """Returns `text` for between the double quotes of the template."""
    return json.dumps(text)[1:-1]


def _keys_of_nobody(folder: Path) -> Path:
    # Random bytes as a public key: nobody has the private one.
    key = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
    keys = [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "nobody", "x": key}]
    path = folder / "nobody.jwks.json"
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
    return path


def _template(path: Path | None = None) -> string.Template:
    path = path or (_BESIDE if _BESIDE.exists() else _CHECKOUT)
    return string.Template(path.read_text(encoding="utf-8"))


def write_from(environment: Mapping[str, str], folder: Path, template: Path | None = None) -> None:
    """Writes `envoy.yaml` and the gateway's descriptors into a folder.

    Where no tokens are asked for (MIXDOWN_JWT_DISABLED is "true") nothing need be said of them.
    MIXDOWN_TLS_{CERTIFICATE,KEY,CA}_FILE, read as every service reads them, switch mutual TLS on.

    Args:
        environment: The variables of the template, but for MIXDOWN_DESCRIPTORS_FILE.
        folder: Where Envoy will find both.
        template: The template; by default the one that we came with.

    Raises:
        KeyError: a variable is missing; nothing is written then, since half a configuration is
            worse than none.
    """
    descriptors = folder / _DESCRIPTORS.name
    variables = {**environment, "MIXDOWN_DESCRIPTORS_FILE": str(descriptors)}
    if environment.get("MIXDOWN_JWT_DISABLED") == "true":
        keys = _keys_of_nobody(folder)
        variables |= {
            "MIXDOWN_JWT_ISSUER": "nobody",
            "MIXDOWN_JWT_AUDIENCE": "nobody",
            "MIXDOWN_JWT_JWKS_FILE": str(keys),
            "MIXDOWN_JWT_JWKS_FOLDER": str(folder),
        }
    hosts = {name: environment[f"MIXDOWN_{name.upper()}_HOST"] for name in _SERVICES}
    variables |= transports(hosts, folder, _tls_of(environment))
    text = _template(template).substitute(variables)
    shutil.copyfile(_DESCRIPTORS, descriptors)
    (folder / "envoy.yaml").write_text(text, encoding="utf-8")


def _tls_of(environment: Mapping[str, str]) -> TlsFiles | None:
    """Reads the files of TLS, with the rules of every service's settings."""
    names = ("tls_certificate_file", "tls_key_file", "tls_ca_file")
    files = {name: environment.get(f"MIXDOWN_{name.upper()}", "") for name in names}
    return Settings.model_validate(files).tls


def main() -> None:
    """Reads the command line and writes the files."""
    parser = argparse.ArgumentParser(prog="python -m services.local.envoy", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the files are written")
    parser.add_argument("--template", type=Path, help="another template than our own")
    arguments = parser.parse_args()
    try:
        write_from(os.environ, arguments.folder, arguments.template)
    except KeyError as missing:
        sys.exit(f"Envoy's configuration needs the variable {missing.args[0]}.")


if __name__ == "__main__":
    main()
