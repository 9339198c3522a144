"""What belongs to another user does not exist: for every call that names something."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode

from mixdown.conversation.v1 import conversation_pb2
from mixdown.session.v1 import session_pb2 as pb
from tests.integration.session.driver import Driver, blob, mix, refused, remix

# Calls that name no user are held by the turn's fencing token; test_leases.py has those. Calls that
# begin something of one's own are in `beginnings`.
_BY_TOKEN = {
    *("RenewLease", "ReleaseTurn", "RecordInterpretation", "AppendEvent"),
    *("CompleteTurn", "FailTurn"),
}

_OF_THE_INSTALLATION = {"ClaimExpiredTurn", "ClaimDeletions", "ConfirmDeletions", "ReportBlobs"}
"""Housekeeping of the gateways, for all users at once; no user's request leads to these."""


async def test_one_user_never_sees_what_is_anothers(driver: Driver) -> None:
    upload_id = "ada's"
    await driver.stub.BeginUpload(
        pb.BeginUploadRequest(
            user_id=driver.user_id, upload_id=upload_id, display_name="a", total_size_bytes=1
        )
    )
    track = await driver.track()
    session = await driver.session(track)
    work = await driver.begin(session, request_id="ada's")
    await driver.record(work, remix(mix(vocals=3)))
    artifact = (await driver.output_finished(work)).output_finished.artifact
    before = await driver.get_turn(work.turn.turn_id)

    eve = "eve"
    track_id, session_id, turn_id = track.track_id, session.session_id, work.turn.turn_id
    stub = driver.stub
    calls = {
        "UPLOAD_NOT_FOUND": {
            "GetUpload": pb.GetUploadRequest(user_id=eve, upload_id=upload_id),
            "CreateTrack": pb.CreateTrackRequest(user_id=eve, upload_id=upload_id, blob=blob("x")),
        },
        "TRACK_NOT_FOUND": {
            "GetTrack": pb.GetTrackRequest(user_id=eve, track_id=track_id),
            "DeleteTrack": pb.DeleteTrackRequest(user_id=eve, track_id=track_id),
            "CreateSession": pb.CreateSessionRequest(user_id=eve, track_id=track_id),
            "ListSessions": pb.ListSessionsRequest(user_id=eve, track_id=track_id),
        },
        "SESSION_NOT_FOUND": {
            "GetSession": pb.GetSessionRequest(user_id=eve, session_id=session_id),
            "UpdateSession": pb.UpdateSessionRequest(
                user_id=eve,
                session=conversation_pb2.Session(session_id=session_id, display_name="mine"),
                update_mask=FieldMask(paths=["display_name"]),
            ),
            "DeleteSession": pb.DeleteSessionRequest(user_id=eve, session_id=session_id),
            "BeginTurn": pb.BeginTurnRequest(
                user_id=eve, session_id=session_id, request_id="ada's", prompt="louder"
            ),
            "ListTurns": pb.ListTurnsRequest(user_id=eve, session_id=session_id),
        },
        "TURN_NOT_FOUND": {
            "ClaimTurn": pb.ClaimTurnRequest(user_id=eve, turn_id=turn_id),
            "CancelTurn": pb.CancelTurnRequest(user_id=eve, turn_id=turn_id),
            "GetTurn": pb.GetTurnRequest(user_id=eve, turn_id=turn_id),
        },
        "ARTIFACT_NOT_FOUND": {
            "GetArtifact": pb.GetArtifactRequest(user_id=eve, artifact_id=artifact.artifact_id)
        },
    }
    for reason, requests in calls.items():
        for method, request in requests.items():
            async with refused(StatusCode.NOT_FOUND, reason):
                await getattr(stub, method)(request)
    async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
        async for _ in stub.WatchEvents(pb.WatchEventsRequest(user_id=eve, turn_id=turn_id)):
            raise AssertionError("an event of another user's turn")
    async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
        async for _ in stub.WatchLine(pb.WatchLineRequest(user_id=eve, turn_id=turn_id)):
            raise AssertionError("the place of another user's turn")
    async with refused(StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
        async for _ in stub.ExportSession(
            pb.ExportSessionRequest(user_id=eve, session_id=session_id)
        ):
            raise AssertionError("a piece of another user's session")
    used = await stub.GetUsage(pb.GetUsageRequest(user_id=eve))
    assert (used.turns, used.stored_bytes, used.daily_audio_minutes) == (0, 0, 0)
    assert not (await stub.ListTracks(pb.ListTracksRequest(user_id=eve))).tracks
    assert not (await stub.ListSessions(pb.ListSessionsRequest(user_id=eve))).sessions
    assert await driver.get_turn(turn_id) == before

    tested = {method for requests in calls.values() for method in requests}
    beginnings = {
        "BeginUpload",
        "ListTracks",
        "WatchEvents",
        "WatchLine",
        "ExportSession",
        "GetUsage",
    }
    service = pb.DESCRIPTOR.services_by_name["SessionService"]
    assert tested | beginnings | _BY_TOKEN | _OF_THE_INSTALLATION == {
        method.name for method in service.methods
    }


async def test_what_never_was_gets_the_same_answer_as_what_is_anothers(driver: Driver) -> None:
    for call, reason in (
        (driver.get_session("nothing"), "SESSION_NOT_FOUND"),
        (driver.get_turn("nothing"), "TURN_NOT_FOUND"),
        (driver.events("nothing"), "TURN_NOT_FOUND"),
    ):
        async with refused(StatusCode.NOT_FOUND, reason):
            await call
    async with refused(StatusCode.NOT_FOUND, "TURN_NOT_FOUND"):
        await driver.stub.RenewLease(pb.RenewLeaseRequest(turn_id="nothing", lease_token=1))
