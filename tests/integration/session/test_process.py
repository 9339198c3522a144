"""The service as a process: `python -m services.session`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import inspect

from mixdown.session.v1 import session_pb2_grpc
from services.runtime.channels import connect
from services.session.database import create_database_engine
from tests.integration.session.driver import Driver, mix, refused, remix
from tests.patience import PATIENCE_SECONDS

_ROOT = Path(__file__).parents[3]


async def _start(url: str, *arguments: str, **settings: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.session", *arguments),
        cwd=_ROOT,
        env={**os.environ, "MIXDOWN_DATABASE_URL": url, **settings},
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def _serving(
    url: str, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Driver, str]]:
    program = await _start(url, **settings)
    assert program.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in program.stderr:
                entry = json.loads(line)  # every line of the log is JSON
                if entry["event"] == "listening":
                    break
        address = f"127.0.0.1:{entry['port']}"
        async with connect(address) as channel:
            yield program, Driver(session_pb2_grpc.SessionServiceStub(channel)), address
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


async def test_it_makes_its_database_serves_and_remembers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'folder' / '100%' / 'session.db'}"
    async with _serving(url) as (program, driver, address):
        async with connect(address) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="mixdown.session.v1.SessionService")
            )
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        session = await driver.session()
        work = await driver.begin(session, request_id="one")
        await driver.record(work, remix(mix(vocals=3)))
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await program.wait() == 0
    async with _serving(url) as (_, driver, _):
        await driver.complete(work)
        assert await driver.current_mix(session) == mix(vocals=3)


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'session.db'}"
    async with _serving(url) as (program, driver, _):
        session = await driver.session()
        work = await driver.begin(session)
        interpreted = await driver.record(work, remix(mix(vocals=3)))
        program.kill()
        await program.wait()
    async with _serving(url) as (_, driver, _):
        assert await driver.record(work, remix(mix(vocals=9))) == interpreted


async def test_migrate_brings_the_schema_up_to_date_and_leaves(empty_database_url: str) -> None:
    program = await _start(empty_database_url, "migrate")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await program.communicate()
    assert program.returncode == 0
    engine = create_database_engine(empty_database_url, 1)
    assert {"tracks", "sessions", "turns", "alembic_version"} <= set(
        inspect(engine).get_table_names()
    )
    engine.dispose()


async def test_migrating_what_cannot_be_reached_fails_with_one_line(tmp_path: Path) -> None:
    program = await _start(f"postgresql://postgres@/none?host={tmp_path}", "migrate")
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, log = await program.communicate()
    assert program.returncode == 1
    assert b"Traceback" not in log
    assert json.loads(log.splitlines()[-1])["reason"] == "DATABASE_UNAVAILABLE"


async def test_a_call_that_watches_a_turn_does_not_hold_up_the_end(tmp_path: Path) -> None:
    # Calls under way may take ten minutes.
    serving = _serving(f"sqlite:///{tmp_path / 'session.db'}", MIXDOWN_DRAIN_SECONDS="600")
    async with serving as (program, driver, _):
        work = await driver.begin(await driver.session())
        watching = driver.watch(work.turn.turn_id)
        assert (await anext(watching)).HasField("accepted")
        program.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with refused(StatusCode.UNAVAILABLE, "SHUTTING_DOWN"):
                await anext(watching)
            assert await program.wait() == 0
