"""The suite as processes of its own, for as long as it is needed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_LISTENS = re.compile(r"Mixdown listens on (\S+?)\.? Data:")
_STOP_SECONDS = 30


class SuiteNotStartedError(Exception):
    """The suite ended, or did not come up in time; its log says why."""


@contextmanager
def running_suite(
    data_folder: Path, log: Path, patience_seconds: float = 120, options: Sequence[str] = ()
) -> Iterator[str]:
    """Runs the five services and Envoy on a free port; gives the address; stops them at the end.

    Args:
        data_folder: Where the suite keeps everything.
        log: Where its output goes.
        patience_seconds: How long it may take to come up.
        options: What else `mixdown up` is told.

    Raises:
        SuiteNotStartedError: it did not come up.
    """
    command = [
        *(sys.executable, "-m", "services.local", "--port", "0"),
        *("--data-folder", str(data_folder), *options),
    ]
    with log.open("wb") as output, _sigterm_as_exit():
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _wait_for_address(process, log, patience_seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Has SIGTERM end this process by an exception, so that the suite is stopped on the way out."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _wait_for_address(process: subprocess.Popen[bytes], log: Path, patience_seconds: float) -> str:
    limit = time.monotonic() + patience_seconds
    while time.monotonic() < limit and process.poll() is None:
        found = _LISTENS.search(log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found.group(1)
        time.sleep(0.1)
    raise SuiteNotStartedError(f"The suite did not start. Its log: {log}")
