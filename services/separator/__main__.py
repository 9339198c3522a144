"""Runs the separator: `python -m services.separator`.

`python -m services.separator fetch-weights [MODEL]` only brings a model's weights here and tells
where they came from.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from services.runtime.logs import configure_logs
from services.runtime.tracing import configure_tracing
from services.separator.errors import SeparatorError
from services.separator.service import SeparatorService, weights_chain
from services.separator.settings import SeparatorSettings


async def _serve(settings: SeparatorSettings) -> None:
    service = SeparatorService(settings)
    try:
        async with service:
            await service.server().run()
    finally:
        if service.scheduler.has_hung:
            _leave()


def _leave() -> None:
    """Ends the process at once: Python would wait for the thread that the device holds."""
    sys.stdout.flush()
    os._exit(os.EX_SOFTWARE)


def _fetch_weights(settings: SeparatorSettings, model: str) -> None:
    try:
        _, source = weights_chain(settings).load(model)
    except SeparatorError as error:
        sys.exit(error.message)
    print(f"{model}: weights from the {source}")


def main() -> None:
    """Reads the command line and the settings, and runs."""
    parser = argparse.ArgumentParser(prog="python -m services.separator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    fetch = commands.add_parser("fetch-weights", help="bring a model's weights here")
    fetch.add_argument("model", nargs="?", help="name of a model; the default model if absent")
    arguments = parser.parse_args()
    settings = SeparatorSettings()
    configure_logs("separator", settings.log_level, settings.log_format)
    configure_tracing("separator", settings.otlp_endpoint, settings.trace_ratio)
    if arguments.command == "fetch-weights":
        _fetch_weights(settings, arguments.model or settings.default_model)
    else:
        asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
