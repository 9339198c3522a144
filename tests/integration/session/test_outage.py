"""A database that is away costs a clear error, and is found again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from grpc import StatusCode, aio

from mixdown.session.v1 import session_pb2 as pb
from services.runtime.errors import error_info_of
from services.session.database import create_database_engine
from services.session.schema import migrate
from tests.integration.session.conftest import serving
from tests.integration.session.driver import Driver, clarification, kinds, refused, retry_info_of
from tests.postgresql import PostgresqlMissingError, PostgresqlServer

Call = Callable[[], Awaitable[object]]


async def test_postgresql_may_go_away_and_come_back() -> None:
    try:
        server = await asyncio.to_thread(PostgresqlServer().__enter__)
    except PostgresqlMissingError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        engine = create_database_engine(server.url(), 1)
        await asyncio.to_thread(migrate, engine)
        engine.dispose()
        async with serving(server.url()) as stub:
            driver = Driver(stub)
            session = await driver.session()
            work = await driver.begin(session)
            watching = asyncio.create_task(driver.events(work.turn.turn_id))
            await asyncio.sleep(0.2)

            await asyncio.to_thread(server.stop)
            calls: list[Call] = [
                lambda: driver.get_session(session.session_id),
                lambda: driver.begin(session),
                lambda: driver.record(work, clarification()),
                lambda: watching,
            ]
            for call in calls:
                with pytest.raises(aio.AioRpcError) as caught:
                    await call()
                assert caught.value.code() == StatusCode.UNAVAILABLE
                assert error_info_of(caught.value).reason == "DATABASE_UNAVAILABLE"
                assert "psycopg2" not in (caught.value.details() or "")
                retry = retry_info_of(caught.value)
                assert retry is not None
                assert retry.retry_delay.ToTimedelta().total_seconds() == 1

            await asyncio.to_thread(server.start)
            await driver.record(work, clarification())
            await driver.complete(work)
            events = await driver.events(work.turn.turn_id)
            assert kinds(events) == ["accepted", "interpreted", "completed"]
    finally:
        await asyncio.to_thread(server.__exit__)


async def test_a_file_that_cannot_be_opened_is_an_outage_too(tmp_path: Path) -> None:
    (tmp_path / "session.db").mkdir()
    async with (
        serving(f"sqlite:///{tmp_path / 'session.db'}") as stub,
        refused(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
    ):
        await stub.ListTracks(pb.ListTracksRequest(user_id="ada"))
