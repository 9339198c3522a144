"""Deletions are durable work, and never take what somebody needs."""

from __future__ import annotations

import asyncio
import uuid

from grpc import StatusCode

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.conftest import Clock, serving
from tests.integration.session.driver import Driver, blob, mix, refused, remix

_HOUR = 3601


async def _session_with_artifact(driver: Driver, content: str) -> conversation_pb2.Session:
    session = await driver.session()
    work = await driver.begin(session)
    await driver.record(work, remix(mix(vocals=3)))
    await driver.output_finished(work, content=content)
    await driver.complete(work)
    return session


async def _claim(driver: Driver) -> list[audio_pb2.Blob]:
    return list((await driver.stub.ClaimDeletions(pb.ClaimDeletionsRequest())).blobs)


async def _confirm(driver: Driver, *names: str) -> None:
    await driver.stub.ConfirmDeletions(pb.ConfirmDeletionsRequest(names=names))


async def test_nothing_is_deleted_before_its_time(driver: Driver, clock: Clock) -> None:
    session = await _session_with_artifact(driver, "rendered")
    await driver.delete_session(session)
    assert await _claim(driver) == []
    clock.advance(_HOUR)
    assert await _claim(driver) == [blob("rendered")]


async def test_a_deletion_that_nobody_confirmed_is_handed_out_again(
    driver: Driver, clock: Clock
) -> None:
    await driver.delete_session(await _session_with_artifact(driver, "rendered"))
    clock.advance(_HOUR)
    assert await _claim(driver) == [blob("rendered")]
    assert await _claim(driver) == []  # somebody is at it
    clock.advance(121)
    assert await _claim(driver) == [blob("rendered")]
    await _confirm(driver, blob("rendered").sha256)
    await _confirm(driver, blob("rendered").sha256)
    clock.advance(121)
    assert await _claim(driver) == []


async def test_many_who_claim_at_once_never_get_the_same(
    driver: Driver, clock: Clock, database_url: str
) -> None:
    session = await driver.session()
    for number in range(12):
        work = await driver.begin(session)
        await driver.record(work, remix(mix(vocals=number)))
        await driver.output_finished(work, content=f"file {number}")
        await driver.complete(work)
    await driver.delete_session(session)
    clock.advance(_HOUR)
    async with serving(database_url, clock) as other:
        stubs = [driver.stub, other] * 3
        answers = await asyncio.gather(
            *(stub.ClaimDeletions(pb.ClaimDeletionsRequest(limit=3)) for stub in stubs)
        )
    claimed = [item.sha256 for answer in answers for item in answer.blobs]
    assert len(claimed) == len(set(claimed))
    left = [item.sha256 for item in await _claim(driver)]
    assert sorted(claimed + left) == sorted(blob(f"file {number}").sha256 for number in range(12))


async def test_what_is_referred_to_again_stays(driver: Driver, clock: Clock) -> None:
    await driver.delete_session(await _session_with_artifact(driver, "rendered"))
    await _session_with_artifact(driver, "rendered")
    clock.advance(_HOUR)
    assert await _claim(driver) == []


async def test_a_file_that_is_being_deleted_cannot_be_referred_to(
    driver: Driver, clock: Clock
) -> None:
    await driver.delete_session(await _session_with_artifact(driver, "rendered"))
    work = await driver.begin(await driver.session())
    await driver.record(work, remix(mix(vocals=3)))
    clock.advance(_HOUR)
    assert await _claim(driver) == [blob("rendered")]
    async with refused(StatusCode.UNAVAILABLE, "BLOB_LEAVING"):
        await driver.output_finished(work, content="rendered")
    await _confirm(driver, blob("rendered").sha256)
    async with refused(StatusCode.ABORTED, "BLOB_GONE"):
        await driver.output_finished(work, content="rendered")
    event = await driver.output_finished(work, content="rendered", blob_checked=True)
    assert event.output_finished.artifact.blob == blob("rendered")
    await driver.complete(work)
    clock.advance(_HOUR)
    assert await _claim(driver) == []


async def test_a_track_whose_file_was_deleted_lately_must_be_looked_for(
    driver: Driver, clock: Clock
) -> None:
    await driver.delete_track(await driver.track(content="song"))
    clock.advance(_HOUR)
    assert await driver.deletions() == [blob("song")]
    async with refused(StatusCode.ABORTED, "BLOB_GONE"):
        await driver.track(content="song")
    clock.advance(24 * 3600)
    await driver.deletions()  # forgets
    assert (await driver.track(content="song")).blob == blob("song")


async def test_what_is_deleted_comes_back_and_goes_again(driver: Driver, clock: Clock) -> None:
    for _ in range(2):
        work = await driver.begin(session := await driver.session())
        await driver.record(work, remix(mix(vocals=3)))
        await driver.output_finished(work, content="rendered", blob_checked=True)
        await driver.complete(work)
        await driver.delete_session(session)
        clock.advance(_HOUR)
        assert await driver.deletions() == [blob("rendered")]


async def test_only_reported_blobs_that_nobody_knows_are_deleted(
    driver: Driver, clock: Clock
) -> None:
    await driver.track(content="song")
    await _session_with_artifact(driver, "rendered")
    known = [blob("song"), blob("rendered")]
    await driver.stub.ReportBlobs(pb.ReportBlobsRequest(blobs=[*known, blob("orphan")]))
    clock.advance(_HOUR)
    assert await _claim(driver) == [blob("orphan")]


async def test_the_parts_of_an_upload_go_once_it_is_a_track(driver: Driver, clock: Clock) -> None:
    upload = await driver.stub.BeginUpload(
        pb.BeginUploadRequest(
            user_id=driver.user_id,
            upload_id=uuid.uuid4().hex,
            display_name="song.wav",
            total_size_bytes=4,
        )
    )
    await driver.stub.CreateTrack(
        pb.CreateTrackRequest(user_id=driver.user_id, upload_id=upload.upload_id, blob=blob("song"))
    )
    clock.advance(_HOUR)
    due = await driver.stub.ClaimDeletions(pb.ClaimDeletionsRequest())
    assert (list(due.blobs), list(due.staging_keys)) == ([], [upload.staging_key])
