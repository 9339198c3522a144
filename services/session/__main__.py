"""Starts the session service: `python -m services.session`, or `… migrate` for the schema only."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import timedelta

import structlog

from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.runtime.errors import MixdownError
from services.runtime.logs import configure_logs
from services.runtime.server import Server
from services.runtime.tracing import configure_tracing
from services.session.api import SessionService
from services.session.census import CensusTaker
from services.session.database import Database, create_database_engine
from services.session.schema import migrate
from services.session.settings import SessionSettings
from services.session.sweeper import Sweeper
from services.session.turns import TurnRules

_log = structlog.get_logger("mixdown.session")


async def serve(settings: SessionSettings) -> None:
    """Serves until SIGTERM."""
    database = Database(
        settings.database_url,
        settings.database_pool_size,
        slow_seconds=settings.slow_statement_seconds,
    )
    if settings.migrates_at_start:
        await asyncio.to_thread(migrate, database.engine)

    service = SessionService(
        database,
        settings.watch_poll_seconds,
        TurnRules(settings.turn_attempts, settings.turn_line_limit, settings.quotas),
        deletion_grace=timedelta(seconds=settings.deletion_grace_seconds),
    )
    sweeper = Sweeper(
        database,
        timedelta(days=settings.retention_days) if settings.retention_days else None,
        timedelta(days=settings.upload_retention_days),
        settings.sweep_seconds,
    )

    name = session_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name
    server = Server(
        settings,
        [name],
        lambda server: session_pb2_grpc.add_SessionServiceServicer_to_server(service, server),
        on_drain=service.shut_down,
    )
    census = CensusTaker(database, settings.census_seconds)
    background = {asyncio.create_task(sweeper.run()), asyncio.create_task(census.run())}
    try:
        await server.run()
    finally:
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        database.close()


def main() -> None:
    """Reads the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="python -m services.session", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "migrate"),
        default="serve",
        help="serve (the default), or bring the schema up to date and leave",
    )
    command = parser.parse_args().command
    settings = SessionSettings()
    configure_logs("session", settings.log_level, settings.log_format)
    configure_tracing("session", settings.otlp_endpoint, settings.trace_ratio)
    try:
        if command == "migrate":
            migrate(create_database_engine(settings.database_url, pool_size=1))
        else:
            asyncio.run(serve(settings))
    except MixdownError as error:
        _log.error("could not start", reason=error.reason, error=error.message)
        sys.exit(1)


if __name__ == "__main__":
    main()
