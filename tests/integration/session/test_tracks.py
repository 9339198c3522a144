"""Uploads, tracks and sessions: stored once, listed in order, deleted for good."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from sqlalchemy import func, select

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from services.session.database import create_database_engine
from services.session.tables import METADATA
from tests.integration.session.conftest import Clock
from tests.integration.session.driver import Driver, blob, clarification, mix, refused, remix


def _upload(
    driver: Driver, size_bytes: int = 4, name: str = "song.wav", upload_id: str = "u1"
) -> pb.BeginUploadRequest:
    return pb.BeginUploadRequest(
        user_id=driver.user_id,
        upload_id=upload_id,
        display_name=name,
        total_size_bytes=size_bytes,
    )


def _create(driver: Driver, upload_id: str = "u1") -> pb.CreateTrackRequest:
    return pb.CreateTrackRequest(
        user_id=driver.user_id,
        upload_id=upload_id,
        blob=blob("song"),
        audio=audio_pb2.AudioProperties(sample_rate_hz=48000, channels=1, frames=9),
    )


async def test_an_upload_said_twice_is_one_upload(driver: Driver) -> None:
    first = await driver.stub.BeginUpload(_upload(driver))
    assert await driver.stub.BeginUpload(_upload(driver)) == first
    assert not first.track_id
    async with refused(StatusCode.FAILED_PRECONDITION, "UPLOAD_CONFLICT"):
        await driver.stub.BeginUpload(_upload(driver, size_bytes=5))


async def test_uploads_of_one_name_by_two_users_are_apart(driver: Driver) -> None:
    mine = await driver.stub.BeginUpload(_upload(driver))
    theirs = await driver.stub.BeginUpload(_upload(driver.of("bob"), size_bytes=9))
    assert mine.staging_key != theirs.staging_key


async def test_many_may_begin_the_same_upload_at_once(driver: Driver) -> None:
    begun = await asyncio.gather(*(driver.stub.BeginUpload(_upload(driver)) for _ in range(10)))
    assert len({upload.staging_key for upload in begun}) == 1


async def test_a_complete_upload_becomes_one_track(driver: Driver) -> None:
    await driver.stub.BeginUpload(_upload(driver, name="  My song.wav "))
    tracks = await asyncio.gather(*(driver.stub.CreateTrack(_create(driver)) for _ in range(5)))
    assert len({track.track_id for track in tracks}) == 1
    track = tracks[0]
    assert track.display_name == "My song.wav"
    assert track.blob == blob("song")
    assert (track.audio.sample_rate_hz, track.audio.channels, track.audio.frames) == (48000, 1, 9)
    get = pb.GetTrackRequest(user_id=driver.user_id, track_id=track.track_id)
    assert await driver.stub.GetTrack(get) == track
    upload = await driver.stub.GetUpload(
        pb.GetUploadRequest(user_id=driver.user_id, upload_id="u1")
    )
    assert upload.track_id == track.track_id
    async with refused(StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND"):
        await driver.stub.CreateTrack(_create(driver, upload_id="u2"))


async def test_tags_may_hold_whatever_strangers_wrote(driver: Driver) -> None:
    tags = {"title": "a\0b", "artist": '\u2028 "x" \\u0000 ♫', "": "", "empty": ""}
    await driver.stub.BeginUpload(_upload(driver))
    request = _create(driver)
    request.audio.tags.update(tags)
    track = await driver.stub.CreateTrack(request)
    get = pb.GetTrackRequest(user_id=driver.user_id, track_id=track.track_id)
    assert dict((await driver.stub.GetTrack(get)).audio.tags) == tags


@pytest.mark.parametrize("name", ["", "   ", "a/b.wav", "..\\x", "x\ny", "x" * 256])
async def test_names_that_are_none_are_refused(driver: Driver, name: str) -> None:
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await driver.stub.BeginUpload(_upload(driver, name=name))


async def test_tracks_are_listed_newest_first_page_by_page(driver: Driver) -> None:
    made = [(await driver.track(f"song {number}")).display_name for number in range(7)]
    await driver.of("bob").track("not mine")
    seen: list[str] = []
    token, pages = "", 0
    while True:
        page = await driver.stub.ListTracks(
            pb.ListTracksRequest(user_id=driver.user_id, page_size=3, page_token=token)
        )
        seen += [track.display_name for track in page.tracks]
        pages += 1
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    assert pages == 3


async def test_a_row_that_comes_between_two_pages_disturbs_neither(driver: Driver) -> None:
    made = [(await driver.track(f"song {number}")).track_id for number in range(4)]
    request = pb.ListTracksRequest(user_id=driver.user_id, page_size=2)
    first = await driver.stub.ListTracks(request)
    await driver.track("new")
    request.page_token = first.next_page_token
    second = await driver.stub.ListTracks(request)
    seen = [track.track_id for track in (*first.tracks, *second.tracks)]
    assert seen == made[::-1]


async def test_page_sizes_and_tokens_are_checked(driver: Driver) -> None:
    await driver.track()
    await driver.track()
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_SIZE"):
        await driver.stub.ListTracks(pb.ListTracksRequest(user_id=driver.user_id, page_size=-1))
    page = await driver.stub.ListTracks(pb.ListTracksRequest(user_id=driver.user_id, page_size=1))
    large = pb.ListTracksRequest(user_id=driver.user_id, page_size=100_000)
    assert len((await driver.stub.ListTracks(large)).tracks) == 2
    for token in ("nonsense", "é", "bnVsbA==", page.next_page_token[:-6]):
        async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
            await driver.stub.ListTracks(
                pb.ListTracksRequest(user_id=driver.user_id, page_token=token)
            )
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await driver.stub.ListSessions(
            pb.ListSessionsRequest(user_id=driver.user_id, page_token=page.next_page_token)
        )


async def test_a_session_has_the_tracks_name_unless_it_gets_its_own(driver: Driver) -> None:
    track = await driver.track("song.wav")
    assert (await driver.session(track)).display_name == "song.wav"
    session = await driver.session(track, name="Karaoke night")
    assert session.display_name == "Karaoke night"
    assert await driver.get_session(session.session_id) == session
    assert (session.model, session.turn_count) == ("htdemucs", 0)


async def test_a_session_said_twice_is_one_session(driver: Driver) -> None:
    track = await driver.track()
    made = await asyncio.gather(*(driver.session(track, request_id="r") for _ in range(5)))
    assert len({session.session_id for session in made}) == 1
    async with refused(StatusCode.FAILED_PRECONDITION, "REQUEST_ID_CONFLICT"):
        await driver.session(await driver.track(), request_id="r")
    theirs = await driver.of("bob").session(request_id="r")
    assert theirs.session_id != made[0].session_id


async def test_sessions_are_listed_by_their_last_use(driver: Driver) -> None:
    track = await driver.track()
    first, second, third = [await driver.session(track) for _ in range(3)]
    elsewhere = await driver.session()
    await driver.turn(first, clarification())

    async def listed(**query: object) -> list[str]:
        request = pb.ListSessionsRequest(user_id=driver.user_id, **query)
        response = await driver.stub.ListSessions(request)
        return [session.session_id for session in response.sessions]

    last_used = [first, elsewhere, third, second]
    assert await listed() == [session.session_id for session in last_used]
    about = [session.session_id for session in (first, third, second)]
    assert await listed(track_id=track.track_id) == about
    page = await driver.stub.ListSessions(
        pb.ListSessionsRequest(user_id=driver.user_id, track_id=track.track_id, page_size=2)
    )
    assert await listed(track_id=track.track_id, page_token=page.next_page_token) == about[2:]
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN"):
        await listed(page_token=page.next_page_token)  # it was given for one track


async def test_a_session_can_be_renamed_and_nothing_else(driver: Driver) -> None:
    session = await driver.session()

    async def update(*paths: str, name: str = "New name") -> conversation_pb2.Session:
        return await driver.stub.UpdateSession(
            pb.UpdateSessionRequest(
                user_id=driver.user_id,
                session=conversation_pb2.Session(
                    session_id=session.session_id, display_name=name, model="other"
                ),
                update_mask=FieldMask(paths=paths),
            )
        )

    renamed = await update("display_name")
    assert renamed.display_name == "New name"
    assert renamed.model == session.model
    assert await driver.get_session(session.session_id) == renamed
    for paths in ((), ("model",), ("display_name", "model")):
        async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD_MASK"):
            await update(*paths)
    async with refused(StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await update("display_name", name="")


async def test_turns_are_listed_oldest_first_page_by_page(driver: Driver) -> None:
    session = await driver.session()
    made = [await driver.turn(session, remix(mix(vocals=number))) for number in range(1, 6)]
    request = pb.ListTurnsRequest(
        user_id=driver.user_id, session_id=session.session_id, page_size=2
    )
    seen: list[conversation_pb2.Turn] = []
    while True:
        page = await driver.stub.ListTurns(request)
        seen += page.turns
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == made


async def test_an_artifact_is_found_by_its_identifier(driver: Driver) -> None:
    work = await driver.begin(await driver.session())
    finished = (await driver.output_finished(work)).output_finished.artifact
    found = await driver.stub.GetArtifact(
        pb.GetArtifactRequest(user_id=driver.user_id, artifact_id=finished.artifact_id)
    )
    assert found == finished
    assert (found.turn_id, found.clipped_samples) == (work.turn.turn_id, 3)


async def _with_artifact(
    driver: Driver, track: conversation_pb2.Track, content: str
) -> conversation_pb2.Session:
    session = await driver.session(track)
    work = await driver.begin(session)
    await driver.record(work, remix(mix(vocals=3)))
    await driver.output_finished(work, content=content)
    await driver.complete(work)
    await driver.turn(session, remix(mix(vocals=4)))
    return session


async def test_deleting_a_session_deletes_only_blobs_that_nobody_needs(
    driver: Driver, clock: Clock
) -> None:
    track = await driver.track(content="original")
    doomed = await _with_artifact(driver, track, "only here")
    await _with_artifact(driver, track, "in two places")
    shared = await _with_artifact(driver, track, "in two places")
    same_as_track = await _with_artifact(driver, track, "original")

    async def delete(session: conversation_pb2.Session) -> list[audio_pb2.Blob]:
        await driver.delete_session(session)
        clock.advance(3601)
        return await driver.deletions()

    assert await delete(doomed) == [blob("only here")]
    assert await delete(shared) == []
    assert await delete(same_as_track) == []
    async with refused(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
        await delete(doomed)
    async with refused(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
        await driver.get_session(doomed.session_id)


async def test_deleting_a_track_deletes_every_row_below_it(
    driver: Driver, database_url: str, clock: Clock
) -> None:
    track = await driver.track(content="original")
    await _with_artifact(driver, track, "one")
    await _with_artifact(driver, track, "two")
    running = await driver.begin(await driver.session(track))
    theirs = await driver.of("bob").track(content="original")

    async def delete(owner: Driver, track: conversation_pb2.Track) -> list[audio_pb2.Blob]:
        await owner.delete_track(track)
        clock.advance(3601)
        return await driver.deletions()

    gone = await delete(driver, track)
    assert sorted(gone, key=str) == sorted([blob("one"), blob("two")], key=str)
    async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
        await driver.renew(running)
    assert await delete(driver.of("bob"), theirs) == [blob("original")]

    clock.advance(24 * 3600 + 1)
    assert await driver.deletions() == []  # and what was deleted is forgotten

    engine = create_database_engine(database_url, 1)
    with engine.connect() as connection:
        left = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in METADATA.sorted_tables
        }
    engine.dispose()
    assert left.pop("users") == 2
    assert set(left.values()) == {0}, left


async def test_an_upload_can_begin_anew_once_its_track_is_deleted(driver: Driver) -> None:
    first = await driver.stub.BeginUpload(_upload(driver))
    track = await driver.stub.CreateTrack(_create(driver))
    await driver.stub.DeleteTrack(
        pb.DeleteTrackRequest(user_id=driver.user_id, track_id=track.track_id)
    )
    again = await driver.stub.BeginUpload(_upload(driver))
    assert again.staging_key != first.staging_key
    assert not again.track_id
