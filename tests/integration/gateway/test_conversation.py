"""A conversation with a song, through the gateway."""

import asyncio
import contextlib
import hashlib
import io
import json
import sqlite3
import uuid

import grpc
import numpy as np
import pytest

from mixdown import MixdownError
from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix import Mix, Output, Passage, TargetSettings
from services.runtime.audio.reader import AudioReader
from tests.integration.gateway.conftest import Caller, Suite, eventually, noise_wav
from tests.patience import PATIENCE_SECONDS


def decode(data: bytes) -> np.ndarray:
    with AudioReader(io.BytesIO(data)) as reader:
        return reader.read(1 << 40)


async def collect(events) -> list[conversation_pb2.TurnEvent]:
    return [event async for event in events]


def kinds(events) -> list[str]:
    """Kinds of durable events, in order."""
    passing = {"progress", "audio", "heartbeat"}
    return [
        event.WhichOneof("event") for event in events if event.WhichOneof("event") not in passing
    ]


def finished(events) -> list[conversation_pb2.Artifact]:
    return [event.output_finished.artifact for event in events if event.HasField("output_finished")]


async def test_a_prompt_becomes_a_file_that_holds_what_was_asked_for(
    caller: Caller, song, tmp_path
):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("only the vocals", folder=tmp_path)
    assert turn.reply
    [file] = turn.files
    assert (file.name, file.path) == ("vocals", tmp_path / "my song - vocals.wav")
    data = file.path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == file.artifact.blob.sha256
    # The double's vocals are half of the song.
    original = decode(song.read_bytes())
    assert np.abs(decode(data) - original / 2).max() < 2e-5 + 2**-15
    assert [path.name for path in tmp_path.iterdir()] == ["my song - vocals.wav"]


async def test_a_conversation_remembers_its_mix(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    await session.ask("make the vocals 3 dB louder", folder=tmp_path)
    assert (await session.mix())["vocals"].gain_db == pytest.approx(3)
    await session.ask("make the vocals 3 dB louder", folder=tmp_path)
    assert (await session.mix())["vocals"].gain_db == pytest.approx(6)
    turn = await session.ask("undo", folder=tmp_path)
    assert (await session.mix())["vocals"].gain_db == pytest.approx(3)
    assert [file.name for file in turn.files] == ["mix"]
    turns = [turn async for turn in session.turns()]
    assert [turn.ordinal for turn in turns] == [1, 2, 3]
    assert {turn.state for turn in turns} == {conversation_pb2.Turn.STATE_COMPLETED}


async def test_what_is_not_understood_gets_a_reply_and_no_file(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("what time is it?", folder=tmp_path)
    assert turn.reply
    assert turn.files == ()
    assert turn.interpreted.intent.WhichOneof("kind") == "clarification"


async def test_events_come_in_order_and_their_bytes_are_the_file(caller: Caller, song):
    session = await caller.client.create_session(await caller.client.upload(song))
    events = await collect(session.say("only the drums"))
    assert kinds(events) == [
        "accepted",
        "interpreted",
        "output_started",
        "output_finished",
        "completed",
    ]
    durable = [event.sequence for event in events if event.WhichOneof("event") in kinds([event])]
    assert durable == [1, 2, 3, 4, 5]
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
    data = b"".join(event.audio.data for event in events)
    artifact = finished(events)[0]
    assert hashlib.sha256(data).hexdigest() == artifact.blob.sha256
    assert artifact.blob.size_bytes == len(data)
    assert max(len(event.audio.data) for event in events) <= 512 * 1024


async def test_a_downloaded_artifact_is_what_was_streamed_from_any_offset(
    caller: Caller, song, tmp_path
):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("only the bass", folder=tmp_path)
    streamed = turn.files[0].path.read_bytes()
    copy = await caller.client.download(turn.files[0].artifact, tmp_path / "again")
    assert copy.read_bytes() == streamed
    for offset in (0, 1, len(streamed) - 1, len(streamed)):
        request = gateway_pb2.DownloadArtifactRequest(
            artifact_id=turn.files[0].artifact.artifact_id, offset_bytes=offset
        )
        messages = await collect(caller.stub.DownloadArtifact(request, metadata=caller.metadata))
        assert messages[0].artifact.artifact_id == request.artifact_id
        assert b"".join(message.data for message in messages[1:]) == streamed[offset:]


async def test_events_only_brings_no_audio_and_the_artifact_is_there(
    caller: Caller, song, tmp_path
):
    session = await caller.client.create_session(await caller.client.upload(song))
    events = await collect(session.say("only the vocals", audio=False))
    assert not any(event.HasField("audio") for event in events)
    assert kinds(events)[-2:] == ["output_finished", "completed"]
    path = await caller.client.download(finished(events)[0], tmp_path)
    assert path.stat().st_size == finished(events)[0].blob.size_bytes


async def test_an_untouched_mix_renders_the_original_sample_for_sample(
    caller: Caller, song, tmp_path
):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.render(Mix(), folder=tmp_path)
    assert np.array_equal(decode(turn.files[0].path.read_bytes()), decode(song.read_bytes()))


async def test_a_mix_given_as_data_becomes_the_mix_of_the_session(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    mix = Mix().change("vocals", gain_db=-6.0).change("mix", pan=0.5)
    outputs = [Output("mix"), Output("stem", ("vocals",)), Output("without", ("vocals", "bass"))]
    turn = await session.render(mix, outputs=outputs, folder=tmp_path)
    assert {file.name for file in turn.files} == {"mix", "vocals", "without-vocals-bass"}
    assert await session.mix() == mix
    assert turn.interpreted.engine == "none"
    await session.ask("undo", folder=tmp_path)
    assert (await session.mix()).is_neutral


async def test_effects_and_passages_go_all_the_way_and_back(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    original = decode(song.read_bytes())
    seconds = original.shape[1] / 44_100
    passages = (
        Passage(0.0, seconds / 4, TargetSettings(echo=0.3, echo_feedback=0.0, width=0.0)),
        Passage(seconds / 2, None, TargetSettings(muted=True)),
    )
    mix = Mix().change("mix", passages=passages)
    turn = await session.render(mix, folder=tmp_path)
    assert await session.mix() == mix
    rendered = decode(turn.files[0].path.read_bytes())
    late = round(0.9 * original.shape[1])
    assert not rendered[:, late:].any()
    assert rendered[:, : original.shape[1] // 2].any()
    await session.ask("undo", folder=tmp_path)
    assert (await session.mix()).is_neutral


async def test_a_mix_given_as_data_can_be_brought_to_a_loudness(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    events = await collect(session.play(Mix(), loudness_lufs=-20.0))
    [done] = [event.output_finished for event in events if event.HasField("output_finished")]
    assert done.loudness.integrated_lufs == pytest.approx(-20.0, abs=0.1)
    assert "for -20 LUFS" in events[-1].completed.notes[0]
    with pytest.raises(MixdownError) as caught:
        await session.render(Mix(), loudness_lufs=-4.0, folder=tmp_path)
    assert caught.value.reason == "UNSUPPORTED_FORMAT"


async def test_what_was_deleted_lately_is_made_again(suite: Suite, caller: Caller, song, tmp_path):
    """A file whose deletion is remembered (BLOB_GONE) is looked for before a turn refers to it."""
    track = await caller.client.upload(song)
    first = await caller.client.create_session(track)
    turn = await first.ask("make the vocals 5 dB louder", folder=tmp_path / "first")
    (file,) = turn.files
    sha256 = file.artifact.blob.sha256
    path = suite.folder / "blobs" / "blobs" / sha256[:2] / sha256
    assert path.exists()
    await caller.stub.DeleteSession(
        gateway_pb2.DeleteSessionRequest(session_id=first.session_id), metadata=caller.metadata
    )

    def is_known_to_be_gone() -> bool:
        with contextlib.closing(sqlite3.connect(suite.folder / "session.db")) as database:
            told = "SELECT 1 FROM deletions WHERE name = ? AND delete_time IS NOT NULL"
            return database.execute(told, (sha256,)).fetchone() is not None

    assert await asyncio.to_thread(eventually, is_known_to_be_gone)
    assert not path.exists()
    second = await caller.client.create_session(track)
    again = await second.ask("make the vocals 5 dB louder", folder=tmp_path / "second")
    assert again.files[0].artifact.blob == file.artifact.blob
    assert path.exists()
    await caller.client.download(again.files[0].artifact, tmp_path / "third")


async def test_a_separation_is_handed_out_as_it_is_whatever_the_mix(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    await session.render(Mix().change("vocals", gain_db=12.0), folder=tmp_path)
    turn = await session.ask("only the vocals", folder=tmp_path)
    vocals = decode(turn.files[0].path.read_bytes())
    assert np.abs(vocals - decode(song.read_bytes()) / 2).max() < 2e-5 + 2**-15
    assert (await session.mix())["vocals"].gain_db == 12.0


async def test_stems_given_as_data_are_those_that_words_get(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    mix = Mix().change("vocals", gain_db=-6.0)
    await session.render(mix)
    turn = await session.separate(
        ["vocals", "bass"], without=["vocals", "bass"], folder=tmp_path / "data"
    )
    assert [file.name for file in turn.files] == ["vocals", "bass", "without-vocals-bass"]
    assert turn.interpreted.intent.separation.stems == ["vocals", "bass"]
    assert turn.interpreted.engine == "none"
    assert await session.mix() == mix
    said = await session.ask("give me the vocals and the bass", folder=tmp_path / "words")
    by_name = {file.name: file.path.read_bytes() for file in turn.files}
    for file in said.files:
        assert by_name[file.name] == file.path.read_bytes()
    total = sum(decode(data) for data in by_name.values())
    assert np.abs(total - decode(song.read_bytes())).max() < 5 * 2**-15  # dither, three times


async def test_the_same_separation_said_again_is_the_same_turn_and_another_is_refused(
    caller: Caller, song
):
    session = await caller.client.create_session(await caller.client.upload(song))
    request = gateway_pb2.SeparateRequest(
        session_id=session.session_id, stems=["drums"], request_id="one"
    )
    first = await collect(caller.stub.Separate(request, metadata=caller.metadata))
    await session.render(Mix().change("vocals", gain_db=1.0))  # another mix since
    again = await collect(caller.stub.Separate(request, metadata=caller.metadata))
    assert {event.turn_id for event in first + again} == {first[0].turn_id}
    for fields in ({"stems": ["bass"]}, {"stems": ["drums"], "without": ["drums"]}):
        other = gateway_pb2.SeparateRequest(
            session_id=session.session_id, request_id="one", **fields
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await collect(caller.stub.Separate(other, metadata=caller.metadata))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_the_same_request_id_is_the_same_turn(caller: Caller, song):
    session = await caller.client.create_session(await caller.client.upload(song))
    request = gateway_pb2.ConverseRequest(
        session_id=session.session_id, prompt="only the vocals", request_id=str(uuid.uuid4())
    )
    first = await collect(caller.stub.Converse(request, metadata=caller.metadata))
    again = await collect(caller.stub.Converse(request, metadata=caller.metadata))
    assert {event.turn_id for event in first + again} == {first[0].turn_id}
    assert b"".join(e.audio.data for e in again) == b"".join(e.audio.data for e in first)
    assert kinds(again) == kinds(first)
    assert len([turn async for turn in session.turns()]) == 1


async def test_the_same_request_id_for_another_mix_is_refused(caller: Caller, song):
    session = await caller.client.create_session(await caller.client.upload(song))
    request = gateway_pb2.RenderRequest(session_id=session.session_id, request_id="one")
    await collect(caller.stub.Render(request, metadata=caller.metadata))
    request.mix.targets["vocals"].gain_db = 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await collect(caller.stub.Render(request, metadata=caller.metadata))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_the_same_session_request_is_the_same_session(caller: Caller, song):
    track = await caller.client.upload(song)
    request = gateway_pb2.CreateSessionRequest(track_id=track.track_id, request_id="mine")
    one = await caller.stub.CreateSession(request, metadata=caller.metadata)
    two = await caller.stub.CreateSession(request, metadata=caller.metadata)
    assert one.session_id == two.session_id


@pytest.mark.parametrize(
    ("encoding", "extension"),
    [
        (audio_pb2.ENCODING_WAV_FLOAT32, "wav"),
        (audio_pb2.ENCODING_FLAC24, "flac"),
        (audio_pb2.ENCODING_MP3, "mp3"),
    ],
)
async def test_outputs_come_in_the_format_asked_for(
    caller: Caller, song, tmp_path, encoding, extension
):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("only the vocals", folder=tmp_path, encoding=encoding)
    assert turn.files[0].path.suffix == f".{extension}"
    assert decode(turn.files[0].path.read_bytes()).shape[0] == 2


async def test_a_failing_turn_says_why_and_ends(caller: Caller, song, tmp_path):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track, model="full")
    with pytest.raises(MixdownError) as caught:
        await session.ask("only the vocals", folder=tmp_path)
    assert caught.value.reason == "QUEUE_FULL"
    [turn] = [turn async for turn in session.turns()]
    assert turn.state == conversation_pb2.Turn.STATE_FAILED
    assert turn.error.reason == "QUEUE_FULL"
    assert turn.error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert list(tmp_path.iterdir()) == []


async def test_a_turn_waits_for_a_busy_separator_as_long_as_it_asks_for(
    caller: Caller, song, tmp_path
):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track, model="busy")
    stages = []
    turn = await session.ask(
        "only the vocals",
        folder=tmp_path,
        on_event=lambda event: stages.append(event.progress.stage),
    )
    assert stages.count(conversation_pb2.Progress.STAGE_QUEUED) >= 2
    assert [file.name for file in turn.files] == ["vocals"]


async def test_capabilities_name_models_effects_encodings_and_limits(caller: Caller):
    found = await caller.client.capabilities()
    assert found.default_model == "shares"
    assert "vocals" in found.models[0].stems
    assert "gain_db" in {effect.setting for effect in found.effects}
    assert audio_pb2.ENCODING_MP3 in found.encodings
    assert found.limits.track_seconds == 60
    assert found.limits.prompt_characters == 4000


async def test_deleting_a_track_deletes_its_sessions_and_files(caller: Caller, suite, tmp_path):
    path = tmp_path / "own.wav"
    path.write_bytes(noise_wav(seed=77))
    track = await caller.client.upload(path)
    session = await caller.client.create_session(track)
    turn = await session.ask("only the vocals", folder=tmp_path / "out")
    blobs = [track.blob.sha256, turn.files[0].artifact.blob.sha256]
    stored = [suite.folder / "blobs" / "blobs" / sha256[:2] / sha256 for sha256 in blobs]
    assert all(path.exists() for path in stored)
    await caller.client.delete_track(track.track_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(path.exists() for path in stored):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)
    with pytest.raises(MixdownError) as caught:
        await caller.client.session(session.session_id)
    assert caught.value.reason == "SESSION_NOT_FOUND"


async def test_a_session_is_exported_as_one_document(caller: Caller, song):
    track = await caller.client.upload(song)
    session = await caller.client.create_session(track)
    await session.ask("only the vocals")
    request = gateway_pb2.ExportSessionRequest(session_id=session.session_id)
    pieces = [piece async for piece in caller.stub.ExportSession(request, metadata=caller.metadata)]
    assert pieces[0].content_type == "application/json"
    document = json.loads(b"".join(piece.data for piece in pieces))
    assert [turn["prompt"] for turn in document["turns"]] == ["only the vocals"]
    assert document["track"]["blob"]["sha256"] == track.blob.sha256


async def test_listings_come_in_pages(caller: Caller, song):
    track = await caller.client.upload(song)
    for _ in range(3):
        await caller.client.create_session(track)
    request = gateway_pb2.ListSessionsRequest(page_size=2)
    first = await caller.stub.ListSessions(request, metadata=caller.metadata)
    request.page_token = first.next_page_token
    second = await caller.stub.ListSessions(request, metadata=caller.metadata)
    assert (len(first.sessions), len(second.sessions)) == (2, 1)
    assert not second.next_page_token
    assert [found.track_id async for found in caller.client.tracks()] == [track.track_id]
