"""Runs the suite on this machine: `python -m services.local`, or `mixdown up`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
from pathlib import Path

from honcho.manager import Manager
from honcho.printer import Printer

from services.local.readiness import wait_until_ready
from services.local.suite import Suite, SuiteError, plan_suite
from services.runtime.settings import default_data_folder

_STOPPED_BY_SIGNAL = {130, 143}  # what honcho returns after SIGINT and SIGTERM


def run(suite: Suite) -> int:
    """Runs the suite until it is told to stop, or a process ends; then stops all.

    Returns:
        0 after SIGINT or SIGTERM, else the exit status of the process that ended.
    """
    manager = Manager(Printer(sys.stdout))
    for process in suite.processes():
        manager.add_process(
            process.name,
            f"exec {shlex.join(process.command)}",
            env={**os.environ, **process.environment},
        )
    running = threading.Event()
    running.set()
    threading.Thread(target=_announce, args=(suite, running), daemon=True).start()
    manager.loop()
    running.clear()
    status = manager.returncode or 0
    return 0 if status in _STOPPED_BY_SIGNAL else status


def _announce(suite: Suite, running: threading.Event) -> None:
    addresses = [*map(suite.address_of, suite.ports), suite.address]
    if wait_until_ready(addresses, running.is_set):
        print(f"Mixdown listens on {suite.address}. Data: {suite.data_folder}", flush=True)


def main() -> None:
    """Reads the command line and runs the suite."""
    parser = argparse.ArgumentParser(prog="mixdown up", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address for callers")
    parser.add_argument("--port", type=int, default=8080, help="port for callers; 0: a free one")
    parser.add_argument("--data-folder", type=Path, default=default_data_folder())
    arguments = parser.parse_args()
    try:
        status = run(plan_suite(arguments.data_folder, arguments.host, arguments.port))
    except SuiteError as error:
        sys.exit(f"mixdown up: {error}")
    sys.exit(status)


if __name__ == "__main__":
    main()
