"""What nobody has used for long goes; what is in use stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from grpc import StatusCode

from mixdown.session.v1 import session_pb2 as pb
from services.session.database import Database
from services.session.sweeper import Sweeper
from tests.integration.session.conftest import Clock
from tests.integration.session.driver import Driver, blob, clarification, refused

_DAY = 24 * 3600


@pytest.fixture
def sweeper(database_url: str, clock: Clock) -> Sweeper:
    database = Database(database_url, 2, clock)
    return Sweeper(database, timedelta(days=30), timedelta(days=7), pause_seconds=60)


async def test_old_sessions_go_and_their_tracks_with_the_last_of_them(
    driver: Driver, clock: Clock, sweeper: Sweeper
) -> None:
    track = await driver.track(content="song")
    old = await driver.session(track)
    used = await driver.session(track)
    clock.advance(20 * _DAY)
    await driver.turn(used, clarification())
    assert await sweeper.sweep() == 0
    clock.advance(20 * _DAY)
    assert await sweeper.sweep() == 1
    async with refused(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
        await driver.get_session(old.session_id)
    await driver.get_session(used.session_id)
    clock.advance(20 * _DAY)
    assert await sweeper.sweep() == 2
    async with refused(StatusCode.NOT_FOUND, "TRACK_NOT_FOUND"):
        await driver.stub.GetTrack(
            pb.GetTrackRequest(user_id=driver.user_id, track_id=track.track_id)
        )
    clock.advance(3601)
    assert await driver.deletions() == [blob("song")]


async def test_a_session_with_an_unfinished_turn_stays(
    driver: Driver, clock: Clock, sweeper: Sweeper
) -> None:
    work = await driver.begin(await driver.session())
    clock.advance(100 * _DAY)
    assert await sweeper.sweep() == 0
    await driver.cancel(work.turn.turn_id)
    assert await sweeper.sweep() == 2


async def test_uploads_that_never_arrived_go_with_their_parts(
    driver: Driver, clock: Clock, sweeper: Sweeper
) -> None:
    upload = await driver.stub.BeginUpload(
        pb.BeginUploadRequest(
            user_id=driver.user_id, upload_id="one", display_name="a.wav", total_size_bytes=4
        )
    )
    clock.advance(6 * _DAY)
    assert await sweeper.sweep() == 0
    clock.advance(2 * _DAY)
    assert await sweeper.sweep() == 1
    clock.advance(3601)
    due = await driver.stub.ClaimDeletions(pb.ClaimDeletionsRequest())
    assert list(due.staging_keys) == [upload.staging_key]


async def test_more_than_a_batch_goes_in_one_sweep(
    driver: Driver, clock: Clock, sweeper: Sweeper
) -> None:
    track = await driver.track()
    for _ in range(60):
        await driver.session(track)
    clock.advance(31 * _DAY)
    assert await sweeper.sweep() == 61
