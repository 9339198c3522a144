"""Watching a turn: what was stored, then what comes, until nobody works on it."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode

from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import Driver, clarification, kinds, mix, refused, remix
from tests.metrics import growth
from tests.patience import PATIENCE_SECONDS


async def test_events_are_replayed_from_any_number(driver: Driver) -> None:
    turn = await driver.turn(await driver.session(), remix(mix(vocals=3)))
    assert kinds(await driver.events(turn.turn_id)) == ["accepted", "interpreted", "completed"]
    assert kinds(await driver.events(turn.turn_id, after=1)) == ["interpreted", "completed"]
    assert await driver.events(turn.turn_id, after=3) == []
    assert await driver.events(turn.turn_id, after=99) == []


async def test_a_watcher_sees_events_as_they_are_stored(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    request = pb.WatchEventsRequest(user_id=driver.user_id, turn_id=work.turn.turn_id)
    stream = aiter(driver.stub.WatchEvents(request))
    steps = [
        ("accepted", None),
        ("interpreted", lambda: driver.record(work, clarification())),
        ("output_started", lambda: driver.output_started(work)),
        ("output_finished", lambda: driver.output_finished(work)),
        ("completed", lambda: driver.complete(work)),
    ]
    for kind, step in steps:
        if step is not None:
            await step()
        async with asyncio.timeout(PATIENCE_SECONDS):
            event = await anext(stream)
        assert event.WhichOneof("event") == kind
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_a_watcher_at_one_replica_sees_what_another_stores(
    database_url: str, clock: Clock
) -> None:
    async with serving(database_url, clock) as one, serving(database_url, clock) as two:
        here, there = Driver(one), Driver(two)
        work = await here.begin(await here.session())
        watching = asyncio.create_task(there.events(work.turn.turn_id))
        await asyncio.sleep(0.2)
        await here.record(work, clarification())
        await here.complete(work)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert kinds(await watching) == ["accepted", "interpreted", "completed"]


async def test_one_look_into_the_database_serves_all_who_watch(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    looks = growth("mixdown_session_operation_seconds_count", operation="look_at")
    reads = growth("mixdown_session_operation_seconds_count", operation="events_since")
    watching = [asyncio.create_task(driver.events(work.turn.turn_id)) for _ in range(20)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while looks() < 5:  # noqa: ASYNC110 - no event tells of a count
            await asyncio.sleep(0.05)
    assert 20 <= reads() <= 40  # at first, and once more when the turn is first looked at
    await driver.release(work)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*watching)
        seen = looks()
        await asyncio.sleep(0.3)
        assert looks() <= seen + 1  # nobody watches: nobody looks


async def test_the_stream_ends_when_the_lease_is_given_back(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    watching = asyncio.create_task(driver.events(work.turn.turn_id))
    await asyncio.sleep(0.2)
    assert not watching.done()
    await driver.release(work)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert kinds(await watching) == ["accepted"]


async def test_the_stream_ends_when_the_lease_runs_out(driver: Driver, clock: Clock) -> None:
    work = await driver.begin(await driver.session())
    watching = asyncio.create_task(driver.events(work.turn.turn_id))
    await asyncio.sleep(0.2)
    clock.advance(31)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert kinds(await watching) == ["accepted"]


async def test_a_cancellation_reaches_every_watcher(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    watching = [asyncio.create_task(driver.events(work.turn.turn_id)) for _ in range(3)]
    await asyncio.sleep(0.2)
    await driver.cancel(work.turn.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for events in await asyncio.gather(*watching):
            assert kinds(events) == ["accepted", "cancelled"]


async def test_watching_what_is_deleted_meanwhile_ends_with_not_found(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session)
    watching = asyncio.create_task(driver.events(work.turn.turn_id))
    await asyncio.sleep(0.2)
    await driver.stub.DeleteSession(
        pb.DeleteSessionRequest(user_id=driver.user_id, session_id=session.session_id)
    )
    async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"), asyncio.timeout(PATIENCE_SECONDS):
        await watching
