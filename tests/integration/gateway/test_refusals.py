"""Bad input costs a clear error and nothing else; what belongs to others does not exist."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from mixdown import MixdownError
from mixdown.audio.v1 import audio_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix.v1 import mix_pb2
from tests.integration.gateway.conftest import Caller, call_as, noise_wav

Code = grpc.StatusCode


def reason_of(error: aio.AioRpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    for detail in rpc_status.from_call(error).details:
        if detail.Unpack(info):
            assert info.domain == "mixdown"
            return info.reason
    return ""


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    assert "Traceback" not in caught.value.details()
    return caught.value.code(), reason_of(caught.value)


@pytest.fixture
async def session_id(caller: Caller, song) -> str:
    track = await caller.client.upload(song)
    return (await caller.client.create_session(track)).session_id


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"prompt": "   "}, Code.INVALID_ARGUMENT, "PROMPT_EMPTY"),
        ({"prompt": "a" * 100_000}, Code.INVALID_ARGUMENT, "PROMPT_TOO_LONG"),
        ({"request_id": "x" * 65}, Code.INVALID_ARGUMENT, "INVALID_REQUEST_ID"),
        ({"request_id": "line\nbreak"}, Code.INVALID_ARGUMENT, "INVALID_REQUEST_ID"),
        (
            {"format": audio_pb2.OutputFormat(encoding=99)},
            Code.INVALID_ARGUMENT,
            "UNSUPPORTED_FORMAT",
        ),
        (
            {"format": audio_pb2.OutputFormat(encoding="ENCODING_MP3", bitrate_kbps=1)},
            Code.INVALID_ARGUMENT,
            "UNSUPPORTED_FORMAT",
        ),
        ({"session_id": "no-such-session"}, Code.NOT_FOUND, "SESSION_NOT_FOUND"),
        ({"session_id": ""}, Code.NOT_FOUND, "SESSION_NOT_FOUND"),
    ],
    ids=str,
)
async def test_a_prompt_that_breaks_the_rules_is_refused(
    caller: Caller, session_id, fields, code, reason
):
    request = gateway_pb2.ConverseRequest(
        **{"session_id": session_id, "prompt": "only the vocals", **fields}
    )
    call = caller.stub.Converse(request, metadata=caller.metadata)
    assert await refusal(call) == (code, reason)
    session = await caller.client.session(session_id)
    assert session.resource.turn_count == 0


def mix(**settings) -> mix_pb2.Mix:
    return mix_pb2.Mix(targets={"vocals": mix_pb2.TargetSettings(**settings)})


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"mix": mix(gain_db=25)}, Code.INVALID_ARGUMENT, "MIX_OUT_OF_RANGE"),
        ({"mix": mix(gain_db=float("nan"))}, Code.INVALID_ARGUMENT, "MIX_OUT_OF_RANGE"),
        ({"mix": mix(compression=77)}, Code.INVALID_ARGUMENT, "MIX_OUT_OF_RANGE"),
        (
            {"mix": mix_pb2.Mix(targets={"trumpet": mix_pb2.TargetSettings(gain_db=1)})},
            Code.INVALID_ARGUMENT,
            "UNKNOWN_TARGET",
        ),
        (
            {"outputs": [mix_pb2.Output(kind="KIND_STEM", stems=["trumpet"])]},
            Code.INVALID_ARGUMENT,
            "UNKNOWN_STEM",
        ),
        (
            {"outputs": [mix_pb2.Output(kind="KIND_STEM")]},
            Code.INVALID_ARGUMENT,
            "UNKNOWN_STEM",
        ),
        (
            {"outputs": [mix_pb2.Output(kind="KIND_MIX")] * 2},
            Code.INVALID_ARGUMENT,
            "UNKNOWN_STEM",
        ),
        (
            {"format": audio_pb2.OutputFormat(encoding=99)},
            Code.INVALID_ARGUMENT,
            "UNSUPPORTED_FORMAT",
        ),
        ({"session_id": "no-such-session"}, Code.NOT_FOUND, "SESSION_NOT_FOUND"),
    ],
    ids=str,
)
async def test_a_mix_that_breaks_the_rules_is_refused(
    caller: Caller, session_id, fields, code, reason
):
    request = gateway_pb2.RenderRequest(**{"session_id": session_id, **fields})
    assert await refusal(caller.stub.Render(request, metadata=caller.metadata)) == (code, reason)


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        ({"stems": ["trumpet"]}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        ({"without": ["trumpet"]}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        ({"stems": ["mix"]}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        ({"stems": ["bass", "bass"]}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        ({"without": ["bass", "bass"]}, Code.INVALID_ARGUMENT, "UNKNOWN_STEM"),
        (
            {"stems": ["bass"], "format": audio_pb2.OutputFormat(encoding=99)},
            Code.INVALID_ARGUMENT,
            "UNSUPPORTED_FORMAT",
        ),
        (
            {"stems": ["bass"], "request_id": "x" * 65},
            Code.INVALID_ARGUMENT,
            "INVALID_REQUEST_ID",
        ),
        ({"stems": ["bass"], "session_id": "none"}, Code.NOT_FOUND, "SESSION_NOT_FOUND"),
    ],
    ids=str,
)
async def test_a_separation_that_breaks_the_rules_is_refused(
    caller: Caller, session_id, fields, code, reason
):
    request = gateway_pb2.SeparateRequest(**{"session_id": session_id, **fields})
    assert await refusal(caller.stub.Separate(request, metadata=caller.metadata)) == (code, reason)
    assert (await caller.client.session(session_id)).resource.turn_count == 0


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetTrack", gateway_pb2.GetTrackRequest(track_id="x"), "TRACK_NOT_FOUND"),
        ("DeleteTrack", gateway_pb2.DeleteTrackRequest(track_id="x"), "TRACK_NOT_FOUND"),
        ("CreateSession", gateway_pb2.CreateSessionRequest(track_id="x"), "TRACK_NOT_FOUND"),
        ("GetSession", gateway_pb2.GetSessionRequest(session_id="x"), "SESSION_NOT_FOUND"),
        ("DeleteSession", gateway_pb2.DeleteSessionRequest(session_id="x"), "SESSION_NOT_FOUND"),
        ("GetMix", gateway_pb2.GetMixRequest(session_id="x"), "SESSION_NOT_FOUND"),
        ("ListTurns", gateway_pb2.ListTurnsRequest(session_id="x"), "SESSION_NOT_FOUND"),
        ("GetTurn", gateway_pb2.GetTurnRequest(turn_id="x"), "TURN_NOT_FOUND"),
        ("CancelTurn", gateway_pb2.CancelTurnRequest(turn_id="x"), "TURN_NOT_FOUND"),
        ("WatchTurn", gateway_pb2.WatchTurnRequest(turn_id="x"), "TURN_NOT_FOUND"),
        (
            "DownloadArtifact",
            gateway_pb2.DownloadArtifactRequest(artifact_id="x"),
            "ARTIFACT_NOT_FOUND",
        ),
        ("QueryUpload", gateway_pb2.QueryUploadRequest(upload_id="x"), "UPLOAD_NOT_FOUND"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_does_not_exist_is_not_found(caller: Caller, method, request_, reason):
    call = getattr(caller.stub, method)(request_, metadata=caller.metadata)
    assert await refusal(call) == (Code.NOT_FOUND, reason)


async def test_what_belongs_to_another_user_does_not_exist(suite, caller: Caller, song, tmp_path):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track)
    turn = await session.ask("only the vocals", folder=tmp_path)
    artifact = turn.files[0].artifact
    stranger = call_as(suite, "a-stranger")
    async with stranger.client:
        for method, request, reason in [
            ("GetTrack", gateway_pb2.GetTrackRequest(track_id=track.track_id), "TRACK"),
            ("DeleteTrack", gateway_pb2.DeleteTrackRequest(track_id=track.track_id), "TRACK"),
            ("CreateSession", gateway_pb2.CreateSessionRequest(track_id=track.track_id), "TRACK"),
            ("GetSession", gateway_pb2.GetSessionRequest(session_id=session.session_id), "SESSION"),
            (
                "Converse",
                gateway_pb2.ConverseRequest(session_id=session.session_id, prompt="undo"),
                "SESSION",
            ),
            ("Render", gateway_pb2.RenderRequest(session_id=session.session_id), "SESSION"),
            ("GetTurn", gateway_pb2.GetTurnRequest(turn_id=turn.turn_id), "TURN"),
            ("WatchTurn", gateway_pb2.WatchTurnRequest(turn_id=turn.turn_id), "TURN"),
            ("CancelTurn", gateway_pb2.CancelTurnRequest(turn_id=turn.turn_id), "TURN"),
            (
                "DownloadArtifact",
                gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id),
                "ARTIFACT",
            ),
        ]:
            call = getattr(stranger.stub, method)(request, metadata=stranger.metadata)
            assert await refusal(call) == (Code.NOT_FOUND, f"{reason}_NOT_FOUND"), method
        assert [track async for track in stranger.client.tracks()] == []
    assert (await caller.client.session(session.session_id)).resource.turn_count == 1


async def test_a_call_without_an_identity_is_refused(suite):
    nobody = call_as(suite, "")
    async with nobody.client:
        assert await refusal(nobody.stub.ListTracks(gateway_pb2.ListTracksRequest())) == (
            Code.UNAUTHENTICATED,
            "NO_IDENTITY",
        )


async def test_a_call_that_names_two_users_is_refused(suite):
    nobody = call_as(suite, "")
    async with nobody.client:
        call = nobody.stub.ListTracks(
            gateway_pb2.ListTracksRequest(),
            metadata=(("x-mixdown-user", "one"), ("x-mixdown-user", "two")),
        )
        assert await refusal(call) == (Code.UNAUTHENTICATED, "NO_IDENTITY")


async def test_an_unknown_model_is_named(caller: Caller, song):
    track = await caller.client.upload(song)
    with pytest.raises(MixdownError) as caught:
        await caller.client.create_session(track, model="no-such-model")
    assert caught.value.reason == "UNKNOWN_MODEL"
    assert "no-such-model" in caught.value.message


@pytest.mark.parametrize("offset", [-1, 10**12])
async def test_an_offset_outside_of_the_file_is_refused(caller: Caller, song, tmp_path, offset):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("only the vocals", folder=tmp_path)
    download = gateway_pb2.DownloadArtifactRequest(
        artifact_id=turn.files[0].artifact.artifact_id, offset_bytes=offset
    )
    expected = (Code.OUT_OF_RANGE, "INVALID_OFFSET")
    call = caller.stub.DownloadArtifact(download, metadata=caller.metadata)
    assert await refusal(call) == expected
    watch = gateway_pb2.WatchTurnRequest(turn_id=turn.turn_id, offsets_bytes={"vocals": offset})
    assert await refusal(caller.stub.WatchTurn(watch, metadata=caller.metadata)) == expected


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "empty.wav", "EMPTY_FILE"),
        (b"These are words, not sounds.\n" * 500, "words.mp3", "UNDECODABLE_AUDIO"),
        (noise_wav(0.5)[:40], "header only.wav", "UNDECODABLE_AUDIO"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist.mp3", "UNDECODABLE_AUDIO"),
        (noise_wav(61, channels=1), "long.wav", "UNSUPPORTED_AUDIO"),
        (noise_wav(0.5, channels=3), "three channels.wav", "UNSUPPORTED_AUDIO"),
        (noise_wav(0.5), "../../etc/song.wav", "INVALID_NAME"),
        (noise_wav(0.5), "", "INVALID_NAME"),
        (noise_wav(0.5), "n" * 256, "INVALID_NAME"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_that_is_no_track_is_refused(suite, caller: Caller, content, name, reason):
    def messages():
        yield gateway_pb2.UploadTrackRequest(
            start=gateway_pb2.UploadStart(
                upload_id="bad", display_name=name, total_size_bytes=len(content)
            )
        )
        # (To a sender under way grpc's Python client does not tell the status: names are refused
        # at the start.)
        for start in range(0, len(content) if reason != "INVALID_NAME" else 0, 65_536):
            yield gateway_pb2.UploadTrackRequest(data=content[start : start + 65_536])

    call = caller.stub.UploadTrack(messages(), metadata=caller.metadata)
    assert await refusal(call) == (Code.INVALID_ARGUMENT, reason)
    assert not list(suite.partial.iterdir())
    assert not list(suite.temporary.iterdir())
    assert [track async for track in caller.client.tracks()] == []
