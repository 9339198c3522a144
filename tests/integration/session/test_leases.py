"""Leases: one worker at a time, and a late one is refused."""

from __future__ import annotations

from grpc import StatusCode

from mixdown.conversation.v1 import conversation_pb2
from tests.integration.session.conftest import Clock
from tests.integration.session.driver import Driver, clarification, mix, refused, remix

Turn = conversation_pb2.Turn


async def test_a_lease_lasts_thirty_seconds_unless_said_otherwise(
    driver: Driver, clock: Clock
) -> None:
    clock.stop()
    session = await driver.session()
    work = await driver.begin(session, lease_seconds=100)
    length = work.lease.expire_time.ToDatetime() - work.turn.create_time.ToDatetime()
    assert length.total_seconds() == 100
    await driver.release(work)
    again = await driver.claim(work.turn.turn_id)
    clock.advance(29)
    assert (await driver.get_turn(work.turn.turn_id)).state == Turn.STATE_RUNNING
    clock.advance(2)
    assert (await driver.get_turn(again.turn.turn_id)).state == Turn.STATE_PENDING


async def test_nobody_can_claim_what_somebody_works_on(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    async with refused(StatusCode.ABORTED, "TURN_LEASED"):
        await driver.claim(work.turn.turn_id)


async def test_a_turn_whose_worker_died_is_taken_over_where_it_was(
    driver: Driver, clock: Clock
) -> None:
    session = await driver.session()
    dead = await driver.begin(session)
    await driver.record(dead, remix(mix(vocals=3)))
    await driver.output_started(dead)
    clock.advance(31)
    heir = await driver.claim(dead.turn.turn_id)
    assert heir.lease.token == dead.lease.token + 1
    assert heir.turn.attempt_count == 2
    assert [event.sequence for event in heir.events] == [1, 2, 3]
    assert heir.turn.mix == mix(vocals=3)
    await driver.output_finished(heir)
    await driver.complete(heir)
    assert await driver.current_mix(session) == mix(vocals=3)


async def test_every_write_with_an_old_token_is_refused(driver: Driver, clock: Clock) -> None:
    late = await driver.begin(await driver.session())
    clock.advance(31)
    heir = await driver.claim(late.turn.turn_id)
    for write in (
        lambda: driver.renew(late),
        lambda: driver.record(late, clarification()),
        lambda: driver.output_started(late),
        lambda: driver.output_finished(late),
        lambda: driver.complete(late),
        lambda: driver.fail(late),
    ):
        async with refused(StatusCode.ABORTED, "LEASE_LOST"):
            await write()
    await driver.release(late)  # gives back nothing, and hurts nobody
    await driver.record(heir, clarification())
    await driver.complete(heir)
    async with refused(StatusCode.ABORTED, "LEASE_LOST"):
        await driver.complete(late)  # not mistaken for the one that completed it


async def test_a_worker_that_is_late_but_was_not_replaced_goes_on(
    driver: Driver, clock: Clock
) -> None:
    work = await driver.begin(await driver.session())
    clock.advance(40)
    await driver.record(work, clarification())
    renewed = await driver.renew(work)
    assert renewed.token == work.lease.token
    assert (await driver.get_turn(work.turn.turn_id)).state == Turn.STATE_RUNNING
    await driver.complete(work)


async def test_renewing_keeps_a_turn(driver: Driver, clock: Clock) -> None:
    work = await driver.begin(await driver.session())
    for _ in range(3):
        clock.advance(20)
        await driver.renew(work)
    async with refused(StatusCode.ABORTED, "TURN_LEASED"):
        await driver.claim(work.turn.turn_id)
    assert (await driver.get_turn(work.turn.turn_id)).attempt_count == 1


async def test_a_turn_given_back_rests_until_somebody_claims_it(driver: Driver) -> None:
    session = await driver.session()
    work = await driver.begin(session)
    await driver.release(work)
    assert (await driver.get_turn(work.turn.turn_id)).state == Turn.STATE_PENDING
    for write in (lambda: driver.renew(work), lambda: driver.record(work, clarification())):
        async with refused(StatusCode.ABORTED, "LEASE_LOST"):
            await write()
    heir = await driver.claim(work.turn.turn_id)
    assert heir.lease.token > work.lease.token
    assert heir.HasField("context")
