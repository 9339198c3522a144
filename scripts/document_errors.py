"""Writes docs/errors.md: every reason that a call can be refused for, from the code.

`make docs` runs it; a test fails where the page is not what this writes.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from http import HTTPStatus
from pathlib import Path
from typing import Final

import grpc

import services
from services.runtime.errors import MixdownError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

_HEAD = """# Why a call is refused

Every error carries a `google.rpc.ErrorInfo` with domain `mixdown` and one of these reasons, and a
`google.rpc.RetryInfo` where it makes sense to call again after a while. JSON callers get the same
as a `google.rpc.Status`. This page is made from the code by `make docs`.

| reason | gRPC code | HTTP | meaning | from |
|---|---|---|---|---|
"""

_HTTP: Final = {
    # As Envoy translates them; what is not here is 500.
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}

_EDGE = {
    "RATE_LIMITED": (grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls of one user.", {"edge"}),
    "STREAM_IDLE": (grpc.StatusCode.UNAVAILABLE, "Nothing came for too long.", {"edge"}),
}
"""What Envoy says by itself (`deploy/envoy/envoy.yaml`); its other reasons are services' too."""


def every_error() -> set[type[MixdownError]]:
    """Returns the classes that are raised: those of the services without others below them."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.rsplit(".", 1)[-1] in {"errors", "interceptors"}:
            importlib.import_module(module.name)
    found: set[type[MixdownError]] = set()
    waiting = [MixdownError]
    while waiting:
        kind = waiting.pop()
        below = [
            other for other in kind.__subclasses__() if other.__module__.startswith("services.")
        ]
        if not below:
            found.add(kind)
        waiting += below
    return found


def document_errors() -> str:
    """Returns the page as Markdown."""
    rows = dict(_EDGE)
    # By name, so that the page is the same whatever was imported first.
    for kind in sorted(every_error(), key=lambda kind: (kind.__module__, kind.__name__)):
        meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        _, told, sources = rows.get(kind.reason, (kind.code, "", set()))
        if meaning not in told:
            told = f"{told} {meaning}".strip()
        rows[kind.reason] = (kind.code, told, sources | {kind.__module__.split(".")[1]})
    lines = [
        f"| `{reason}` | {code.name} | "
        f"{_HTTP.get(code, HTTPStatus.INTERNAL_SERVER_ERROR).value} | "
        f"{meaning.replace('|', chr(92) + '|')} | {', '.join(sorted(sources))} |"
        for reason, (code, meaning, sources) in sorted(rows.items())
    ]
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(document_errors(), encoding="utf-8")
