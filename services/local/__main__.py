"""Runs the suite on this machine: `python -m services.local`, or `mixdown up`."""

from __future__ import annotations

import argparse
import ipaddress
import os
import shlex
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from honcho.manager import Manager
from honcho.printer import Printer

from services.local.envoy import Authentication, RateLimit
from services.local.readiness import has_its_model, wait_for_its_model, wait_until_ready
from services.local.suite import Edge, Suite, SuiteError, plan_suite
from services.local.whole_lines import WholeLines
from services.runtime.settings import default_data_folder

_STOPPED_BY_SIGNAL = {130, 143}  # what honcho returns after SIGINT and SIGTERM


def run(suite: Suite) -> int:
    """Runs the suite until it is told to stop, or a process ends; then stops all.

    Returns:
        0 after SIGINT or SIGTERM, else the exit status of the process that ended.
    """
    output = WholeLines(sys.stdout)  # honcho's loop and the announcement write to it
    manager = Manager(Printer(output))
    for process in suite.processes():
        manager.add_process(
            process.name,
            f"exec {shlex.join(process.command)}",
            env={**os.environ, **process.environment},
        )
    running = threading.Event()
    running.set()
    tell = partial(print, file=output, flush=True)
    threading.Thread(target=_announce, args=(suite, running, tell), daemon=True).start()
    manager.loop()
    running.clear()
    status = manager.returncode or 0
    return 0 if status in _STOPPED_BY_SIGNAL else status


def _announce(suite: Suite, running: threading.Event, tell: Callable[[str], None]) -> None:
    if not wait_until_ready(suite, running.is_set, tell):
        return
    tell(f"Mixdown listens on {suite.address}. Data: {suite.data_folder}")
    if has_its_model(suite):
        return
    tell(
        "Separations wait until the model is ready: the first time that takes a minute or two, "
        "for it is fetched and compiled; what is in the way the separator says above."
    )
    if wait_for_its_model(suite, running.is_set):
        tell("The model is ready.")


def main() -> None:
    """Reads the command line and runs the suite."""
    arguments = _parser().parse_args()
    try:
        status = run(plan_suite(arguments.data_folder, _edge(arguments)))
    except SuiteError as error:
        sys.exit(f"mixdown up: {error}")
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mixdown up", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address for callers")
    parser.add_argument("--port", type=int, default=8080, help="port for callers; 0: a free one")
    parser.add_argument("--data-folder", type=Path, default=default_data_folder())
    parser.add_argument("--jwks", type=Path, help="public keys of those who issue tokens")
    parser.add_argument("--issuer", default="", help="the issuer whose tokens are accepted")
    parser.add_argument("--audience", default="", help="the audience that tokens must name")
    parser.add_argument(
        "--development",
        action="store_true",
        help="ask for no tokens although others can reach the address",
    )
    parser.add_argument("--calls-at-once", type=int, default=RateLimit.burst)
    parser.add_argument("--calls-per-second", type=int, default=RateLimit.per_second)
    parser.add_argument("--cors-origin", action="append", default=[])
    return parser


def _edge(arguments: argparse.Namespace) -> Edge:
    authentication = _authentication(arguments)
    if authentication is None and not arguments.development and not _is_loopback(arguments.host):
        raise SuiteError(
            f"others can reach {arguments.host}: say whose tokens count (--jwks, --issuer, "
            "--audience), or let everybody in with --development"
        )
    return Edge(
        host=arguments.host,
        port=arguments.port,
        authentication=authentication,
        rate_limit=RateLimit(arguments.calls_at_once, arguments.calls_per_second),
        cors_origins=tuple(arguments.cors_origin),
    )


def _authentication(arguments: argparse.Namespace) -> Authentication | None:
    said = (arguments.jwks, arguments.issuer, arguments.audience)
    if not any(said):
        return None
    if not all(said) or arguments.development:
        raise SuiteError("--jwks, --issuer and --audience go together, without --development")
    if not arguments.jwks.is_file():
        raise SuiteError(f"there is no file {arguments.jwks}")
    return Authentication(arguments.jwks, arguments.issuer, arguments.audience)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


if __name__ == "__main__":
    main()
