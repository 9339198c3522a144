"""What belongs to another user does not exist: for every public call that names something."""

from __future__ import annotations

import uuid

import grpc
import pytest

from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import MixdownError
from mixdown.gateway.v1 import gateway_pb2 as pb
from mixdown.mix import Mix
from services.runtime.errors import error_info_of
from tests.integration.gateway.conftest import Caller, Suite, call_as

_OWN = {"UploadTrack", "UploadTrackFile", "ListTracks", "GetUsage", "GetCapabilities"}
"""Calls that name nothing of anybody's, or only what the caller has begun itself."""


async def _call(stub, method: str, request, metadata) -> list:
    answer = getattr(stub, method)(request, metadata=metadata)
    if hasattr(answer, "__aiter__"):
        return [message async for message in answer]
    return [await answer]


async def test_no_call_gives_anything_of_another_users(
    suite: Suite, caller: Caller, song, tmp_path
):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track)
    turn = await session.ask("only the vocals", folder=tmp_path)
    upload = f"ada's-{uuid.uuid4().hex}".replace("'", "")
    start = pb.UploadStart(upload_id=upload, display_name="a.wav", total_size_bytes=9)
    with pytest.raises(grpc.RpcError):  # begun and left
        await caller.stub.UploadTrack(
            iter([pb.UploadTrackRequest(start=start)]), metadata=caller.metadata
        )
    before = await session.mix()

    session_id, track_id = session.session_id, track.track_id
    artifact_id = turn.files[0].artifact.artifact_id
    mask = {"paths": ["display_name"]}
    renamed = conversation_pb2.Session(session_id=session_id, display_name="mine")
    calls = {
        "UPLOAD_NOT_FOUND": {"QueryUpload": pb.QueryUploadRequest(upload_id=upload)},
        "TRACK_NOT_FOUND": {
            "GetTrack": pb.GetTrackRequest(track_id=track_id),
            "DeleteTrack": pb.DeleteTrackRequest(track_id=track_id),
            "CreateSession": pb.CreateSessionRequest(track_id=track_id),
            "ListSessions": pb.ListSessionsRequest(track_id=track_id),
        },
        "SESSION_NOT_FOUND": {
            "GetSession": pb.GetSessionRequest(session_id=session_id),
            "UpdateSession": pb.UpdateSessionRequest(session=renamed, update_mask=mask),
            "DeleteSession": pb.DeleteSessionRequest(session_id=session_id),
            "ExportSession": pb.ExportSessionRequest(session_id=session_id),
            "GetMix": pb.GetMixRequest(session_id=session_id),
            "ListTurns": pb.ListTurnsRequest(session_id=session_id),
            "Converse": pb.ConverseRequest(session_id=session_id, prompt="only the drums"),
            "Render": pb.RenderRequest(session_id=session_id),
            "Separate": pb.SeparateRequest(session_id=session_id, stems=["drums"]),
        },
        "TURN_NOT_FOUND": {
            "GetTurn": pb.GetTurnRequest(turn_id=turn.turn_id),
            "WatchTurn": pb.WatchTurnRequest(turn_id=turn.turn_id),
            "CancelTurn": pb.CancelTurnRequest(turn_id=turn.turn_id),
        },
        "ARTIFACT_NOT_FOUND": {
            "DownloadArtifact": pb.DownloadArtifactRequest(artifact_id=artifact_id),
            "DownloadArtifactFile": pb.DownloadArtifactFileRequest(artifact_id=artifact_id),
            "GetArtifactUrl": pb.GetArtifactUrlRequest(artifact_id=artifact_id),
        },
    }
    eve = call_as(suite, f"eve-{uuid.uuid4().hex}")
    async with eve.client:
        for reason, requests in calls.items():
            for method, request in requests.items():
                with pytest.raises(grpc.RpcError) as refused:
                    await _call(eve.stub, method, request, eve.metadata)
                told = (refused.value.code(), error_info_of(refused.value).reason)
                assert told == (grpc.StatusCode.NOT_FOUND, reason), method
        # A batch tells of each track apart.
        batch = pb.ConverseBatchRequest(track_ids=[track_id], prompt="only the drums")
        (answer,) = await _call(eve.stub, "ConverseBatch", batch, eve.metadata)
        assert [item.error.reason for item in answer.turns] == ["TRACK_NOT_FOUND"]
        assert [item async for item in eve.client.tracks()] == []
        # Her own upload of the same name is another one.
        assert (await eve.client.upload(song)).track_id != track_id
        with pytest.raises(MixdownError):
            await eve.client.session(session_id)

    tested = {method for requests in calls.values() for method in requests}
    service = pb.DESCRIPTOR.services_by_name["GatewayService"]
    assert tested | _OWN | {"ConverseBatch"} == {method.name for method in service.methods}
    assert await session.mix() == before
    assert [item.turn_id async for item in session.turns()] == [turn.turn_id]


async def test_a_session_that_a_gateway_knows_is_still_only_its_users_and_ends(
    suite: Suite, caller: Caller, song, tmp_path
):
    """What a gateway remembers of a session opens it to nobody."""
    session = await caller.client.create_session(await caller.client.upload(song))
    await session.render(Mix().change("vocals", gain_db=1.0), folder=tmp_path)
    request = pb.RenderRequest(session_id=session.session_id)
    eve = call_as(suite, f"eve-{uuid.uuid4().hex}")
    async with eve.client:
        with pytest.raises(grpc.RpcError) as refused:
            await _call(eve.stub, "Render", request, eve.metadata)
    assert error_info_of(refused.value).reason == "SESSION_NOT_FOUND"
    deletion = pb.DeleteSessionRequest(session_id=session.session_id)
    await caller.stub.DeleteSession(deletion, metadata=caller.metadata)
    with pytest.raises(grpc.RpcError) as refused:
        await _call(caller.stub, "Render", request, caller.metadata)
    assert error_info_of(refused.value).reason == "SESSION_NOT_FOUND"
