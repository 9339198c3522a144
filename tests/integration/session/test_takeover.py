"""Turns whose holder has died are taken over by whoever looks, and not for ever."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode, aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from mixdown.session.v1 import session_pb2_grpc
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import Driver, clarification, kinds, mix, refused, remix


async def _take_over(stub: session_pb2_grpc.SessionServiceAsyncStub) -> pb.Work:
    return await stub.ClaimExpiredTurn(pb.ClaimExpiredTurnRequest(holder="sweeper"))


async def test_a_turn_whose_lease_ran_out_is_taken_over(driver: Driver, clock: Clock) -> None:
    work = await driver.begin(await driver.session())
    await driver.record(work, remix(mix(vocals=3)))
    assert not (await _take_over(driver.stub)).HasField("turn")
    clock.advance(31)
    taken = await _take_over(driver.stub)
    assert taken.turn.turn_id == work.turn.turn_id
    assert taken.user_id == driver.user_id
    assert taken.lease.token > work.lease.token
    assert kinds(list(taken.events)) == ["accepted", "interpreted"]
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.complete(work)
    await driver.complete(taken)


async def test_a_turn_that_was_given_back_rests(driver: Driver, clock: Clock) -> None:
    work = await driver.begin(await driver.session())
    await driver.release(work)
    clock.advance(1000)
    assert not (await _take_over(driver.stub)).HasField("turn")


async def test_of_many_who_look_each_gets_another_turn(
    driver: Driver, clock: Clock, database_url: str
) -> None:
    begun = [await driver.begin(await driver.session()) for _ in range(6)]
    clock.advance(31)
    async with serving(database_url, clock) as other:
        found: list[pb.Work] = []
        for _ in range(12):
            found += await asyncio.gather(_take_over(driver.stub), _take_over(other))
    taken = [work.turn.turn_id for work in found if work.HasField("lease")]
    assert sorted(taken) == sorted(work.turn.turn_id for work in begun)


async def test_a_turn_that_was_begun_too_often_fails_with_its_last_error(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    work = await driver.begin(session)
    error = conversation_pb2.Error(code=14, reason="QUEUE_FULL", message="The queue is full.")
    for _ in range(19):
        await driver.stub.ReleaseTurn(
            pb.ReleaseTurnRequest(
                turn_id=work.turn.turn_id, lease_token=work.lease.token, error=error
            )
        )
        work = await driver.claim(work.turn.turn_id)
        assert work.HasField("lease")
    clock.advance(31)
    ended = await _take_over(driver.stub)
    assert not ended.HasField("lease")
    assert ended.turn.state == conversation_pb2.Turn.STATE_FAILED
    assert ended.turn.error == error
    assert kinds(await driver.events(work.turn.turn_id)) == ["accepted", "failed"]
    await driver.turn(session, clarification())  # and the conversation goes on


async def test_without_an_error_it_tells_how_often_it_was_begun(
    driver: Driver, clock: Clock
) -> None:
    work = await driver.begin(await driver.session())
    for _ in range(19):
        clock.advance(31)
        work = await driver.claim(work.turn.turn_id)
    clock.advance(31)
    ended = await driver.claim(work.turn.turn_id)
    assert ended.turn.error.reason == "TURN_ATTEMPTS_EXHAUSTED"
    assert ended.turn.error.metadata["attempts"] == "20"
    with pytest.raises(aio.AioRpcError):
        await driver.complete(work)
