"""Turns that wait: in order of arrival, never lost, never in the way."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import (
    Driver,
    clarification,
    kinds,
    mix,
    refused,
    remix,
)
from tests.patience import PATIENCE_SECONDS

Turn = conversation_pb2.Turn


async def _end(driver: Driver, work: pb.Work) -> None:
    await driver.record(work, clarification())
    await driver.complete(work)


async def test_a_turn_that_waits_is_stored_and_begins_when_the_one_before_has_ended(
    driver: Driver,
) -> None:
    session = await driver.session()
    first = await driver.begin(session, "vocals louder")
    second = await driver.begin(session, "even louder", waits=True)
    assert second.turn.state == Turn.STATE_WAITING
    assert second.turn.ordinal == 2
    assert not second.HasField("lease")
    assert not second.HasField("context")
    assert kinds(list(second.events)) == ["accepted"]
    assert await driver.events(second.turn.turn_id) == list(second.events)  # and it ends there

    await driver.record(first, remix(mix(vocals=3)))
    assert (await driver.claim(second.turn.turn_id)).turn.state == Turn.STATE_WAITING
    await driver.complete(first)
    assert (await driver.get_turn(second.turn.turn_id)).state == Turn.STATE_PENDING
    work = await driver.claim(second.turn.turn_id)
    assert work.turn.state == Turn.STATE_RUNNING
    assert work.context.mix == mix(vocals=3)
    assert [exchange.prompt for exchange in work.context.history] == ["vocals louder"]
    await _end(driver, work)
    assert await driver.places(second.turn.turn_id) == []


async def test_without_a_turn_under_way_there_is_nothing_to_wait_for(driver: Driver) -> None:
    work = await driver.begin(await driver.session(), waits=True)
    assert work.turn.state == Turn.STATE_RUNNING
    assert work.HasField("lease")


async def test_they_come_in_the_order_of_their_arrival(driver: Driver) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    waiting = [await driver.begin(session, f"prompt {n}", waits=True) for n in range(5)]
    for turn in waiting:
        await _end(driver, running)
        states = [(await driver.get_turn(other.turn.turn_id)).state for other in waiting]
        assert states.count(Turn.STATE_PENDING) == 1
        running = await driver.claim(turn.turn.turn_id)
        assert running.HasField("lease")
    await _end(driver, running)
    request = pb.ListTurnsRequest(user_id=driver.user_id, session_id=session.session_id)
    turns = (await driver.stub.ListTurns(request)).turns
    ends = [turn.end_time.ToNanoseconds() for turn in turns]
    assert ends == sorted(ends)
    assert {turn.state for turn in turns} == {Turn.STATE_COMPLETED}


async def test_who_waits_is_told_its_place_until_its_time_has_come(driver: Driver) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    ahead = await driver.begin(session, "one", waits=True)
    last = await driver.begin(session, "two", waits=True)
    places = driver.watch_line(last.turn.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await anext(places)).turns_ahead == 2
        await _end(driver, running)
        assert (await anext(places)).turns_ahead == 1
        await driver.cancel(ahead.turn.turn_id)
        with pytest.raises(StopAsyncIteration):
            await anext(places)


async def test_whoever_does_not_wait_is_refused_while_others_do(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    waiting = await driver.begin(session, "one", waits=True)
    clock.advance(100)  # nobody works on the first any more
    async with refused(StatusCode.ABORTED, "TURN_IN_PROGRESS"):
        await driver.begin(session, "two")
    await driver.cancel(running.turn.turn_id)
    await driver.claim(waiting.turn.turn_id)
    async with refused(StatusCode.ABORTED, "TURN_IN_PROGRESS"):
        await driver.begin(session, "two")


async def test_too_many_cannot_wait(driver: Driver) -> None:
    session = await driver.session()
    await driver.begin(session)
    for number in range(8):
        await driver.begin(session, f"prompt {number}", waits=True)
    async with refused(StatusCode.RESOURCE_EXHAUSTED, "TURN_LINE_FULL"):
        await driver.begin(session, "one too many", waits=True)
    assert (await driver.get_session(session.session_id)).turn_count == 9


async def test_said_again_it_waits_where_it_waited(driver: Driver) -> None:
    session = await driver.session()
    await driver.begin(session)
    first = await driver.begin(session, "louder", request_id="one", waits=True)
    again = await driver.begin(session, "louder", request_id="one", waits=True)
    assert again.turn == first.turn
    async with refused(StatusCode.FAILED_PRECONDITION, "REQUEST_ID_CONFLICT"):
        await driver.begin(session, "quieter", request_id="one", waits=True)


async def test_a_cancelled_one_leaves_the_line(driver: Driver) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    left = await driver.begin(session, "one", waits=True)
    kept = await driver.begin(session, "two", waits=True)
    assert (await driver.cancel(left.turn.turn_id)).state == Turn.STATE_CANCELLED
    await driver.cancel(running.turn.turn_id)
    assert (await driver.claim(kept.turn.turn_id)).HasField("lease")
    assert kinds(await driver.events(left.turn.turn_id)) == ["accepted", "cancelled"]


async def test_one_that_fails_lets_the_next_begin(driver: Driver) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    waiting = await driver.begin(session, "one", waits=True)
    await driver.fail(running)
    assert (await driver.claim(waiting.turn.turn_id)).HasField("lease")


async def test_when_nobody_waits_with_it_any_more_somebody_else_carries_it_out(
    driver: Driver, clock: Clock
) -> None:
    """Its gateway has died: as with any turn, the next one that looks goes on with it."""
    clock.stop()
    session = await driver.session()
    running = await driver.begin(session)
    waiting = await driver.begin(session, "one", waits=True)
    clock.advance(5)
    assert not (await driver.take_over()).HasField("turn")  # its time has not come
    await _end(driver, running)
    assert not (await driver.take_over()).HasField("turn")  # whoever waited with it comes first
    clock.advance(3)
    taken = await driver.take_over()
    assert taken.turn.turn_id == waiting.turn.turn_id
    await _end(driver, taken)


async def test_one_whose_caller_has_gone_rests_when_its_time_has_come(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    waiting = await driver.begin(session, "one", waits=True)
    await driver.release(waiting)
    await _end(driver, running)
    clock.advance(100)
    assert not (await driver.take_over()).HasField("turn")
    assert (await driver.claim(waiting.turn.turn_id)).HasField("lease")


async def test_what_rests_is_finished_for_those_who_wait_behind_it(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    resting = await driver.begin(session, "vocals louder")
    await driver.release(resting)
    waiting = await driver.begin(session, "even louder", waits=True)
    assert waiting.turn.state == Turn.STATE_WAITING
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.record(resting, clarification())  # given back is given back
    taken = await driver.take_over()
    assert taken.turn.turn_id == resting.turn.turn_id
    await driver.release(taken)  # its reader goes while another waits: it must go on
    taken = await driver.take_over()
    assert taken.turn.turn_id == resting.turn.turn_id
    await _end(driver, taken)
    assert (await driver.claim(waiting.turn.turn_id)).HasField("lease")


async def test_one_that_rests_at_its_time_is_finished_for_those_behind_it(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    running = await driver.begin(session)
    rests = await driver.begin(session, "one", waits=True)
    await driver.begin(session, "two", waits=True)
    await driver.release(rests)
    await _end(driver, running)
    clock.advance(3)
    assert (await driver.take_over()).turn.turn_id == rests.turn.turn_id


async def test_a_turn_can_be_given_to_others_at_once(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    await driver.release(work, go_on=True)
    taken = await driver.take_over()
    assert taken.turn.turn_id == work.turn.turn_id
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.record(work, clarification())
    await _end(driver, taken)


async def test_what_a_turn_without_words_is_to_do_is_stored_with_it(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    given = remix(mix(vocals=3))
    begun = await driver.begin(session, "", request_id="one", given=given)
    assert begun.given == given
    clock.advance(31)
    assert (await driver.take_over()).given == given
    async with refused(StatusCode.FAILED_PRECONDITION, "REQUEST_ID_CONFLICT"):
        await driver.begin(session, "", request_id="one", given=remix(mix(vocals=4)))


async def test_many_who_wait_at_two_replicas_all_come_in_turn(database_url: str) -> None:
    async with serving(database_url) as first, serving(database_url) as second:
        one, two = Driver(first), Driver(second)
        session = await one.session()

        async def say(driver: Driver, number: int) -> int:
            work = await driver.begin(session, f"prompt {number}", waits=True)
            while not work.HasField("lease"):
                await driver.places(work.turn.turn_id)
                work = await driver.claim(work.turn.turn_id)
            await _end(driver, work)
            return work.turn.ordinal

        async with asyncio.timeout(PATIENCE_SECONDS):
            ordinals = await asyncio.gather(
                *(say(driver, number) for number, driver in enumerate((one, two) * 4))
            )
        assert sorted(ordinals) == list(range(1, 9))
        request = pb.ListTurnsRequest(user_id=one.user_id, session_id=session.session_id)
        turns = (await one.stub.ListTurns(request)).turns
        ends = [turn.end_time.ToNanoseconds() for turn in turns]
        assert ends == sorted(ends)
        assert {turn.attempt_count for turn in turns} == {1}


async def test_deleting_a_session_ends_the_wait(driver: Driver) -> None:
    session = await driver.session()
    await driver.begin(session)
    waiting = await driver.begin(session, "one", waits=True)
    places = driver.watch_line(waiting.turn.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await anext(places)
        await driver.delete_session(session)
        async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
            await anext(places)
