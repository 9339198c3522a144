"""One prompt for many tracks: a turn for each, worked on a few at a time, whoever listens."""

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest

from mixdown import MixdownError
from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from tests.integration.gateway.conftest import (
    BACKGROUND_TURNS,
    DOOMED_SETTINGS,
    GATEWAY,
    Caller,
    Suite,
    call_as,
    noise_wav,
)
from tests.integration.gateway.test_refusals import refusal
from tests.integration.gateway.test_resumption import become, idle
from tests.patience import PATIENCE_SECONDS

Code = grpc.StatusCode
COMPLETED = conversation_pb2.Turn.STATE_COMPLETED


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    paths = [folder / f"song {number}.wav" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(noise_wav(seconds=1.0 + number / 10, seed=100 + number))
    return paths


async def uploaded(caller: Caller, songs: list[Path]) -> list[str]:
    return [(await caller.client.upload(song)).track_id for song in songs]


async def say(caller: Caller, track_ids: list[str], prompt: str, **fields):
    request = gateway_pb2.ConverseBatchRequest(track_ids=track_ids, prompt=prompt, **fields)
    return await caller.stub.ConverseBatch(request, metadata=caller.metadata)


async def completed(caller: Caller, turn_ids: list[str]) -> list[conversation_pb2.Turn]:
    """Waits until turns are completed, without doing anything for them."""
    turns = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        for turn_id in turn_ids:
            get = gateway_pb2.GetTurnRequest(turn_id=turn_id)
            turn = await caller.stub.GetTurn(get, metadata=caller.metadata)
            while turn.state != COMPLETED:
                assert turn.state not in {
                    conversation_pb2.Turn.STATE_FAILED,
                    conversation_pb2.Turn.STATE_CANCELLED,
                }
                await asyncio.sleep(0.1)
                turn = await caller.stub.GetTurn(get, metadata=caller.metadata)
            turns.append(turn)
    return turns


async def test_every_track_gets_what_it_would_get_alone(caller: Caller, songs, tmp_path):
    track_ids = await uploaded(caller, songs[:3])
    begun = await say(caller, track_ids, "only the vocals")
    assert [item.track_id for item in begun.turns] == track_ids
    turns = await completed(caller, [item.turn.turn_id for item in begun.turns])
    for track_id, turn in zip(track_ids, turns, strict=True):
        session = await caller.client.session(turn.session_id)
        assert session.resource.track_id == track_id
        alone = await (await caller.client.create_session(track_id)).ask("only the vocals")
        (artifact,) = turn.artifacts
        assert artifact.blob.sha256 == alone.files[0].artifact.blob.sha256


async def test_a_batch_said_again_is_the_same_turns_as_they_are_by_then(caller: Caller, songs):
    track_ids = await uploaded(caller, songs[:2])
    first = await say(caller, track_ids, "only the bass")
    assert first.request_id
    await completed(caller, [item.turn.turn_id for item in first.turns])
    again = await say(caller, track_ids, "only the bass", request_id=first.request_id)
    assert [item.turn.turn_id for item in again.turns] == [
        item.turn.turn_id for item in first.turns
    ]
    assert {item.turn.state for item in again.turns} == {COMPLETED}
    assert all(item.turn.artifacts for item in again.turns)
    # More tracks under the same identifier: theirs begin, the others stay.
    more = await uploaded(caller, songs[2:3])
    wider = await say(caller, [*more, *track_ids], "only the bass", request_id=first.request_id)
    assert [item.turn.turn_id for item in wider.turns[1:]] == [
        item.turn.turn_id for item in first.turns
    ]
    page = await caller.stub.ListSessions(
        gateway_pb2.ListSessionsRequest(), metadata=caller.metadata
    )
    assert len(page.sessions) == 3


async def test_what_goes_wrong_with_a_track_is_told_beside_it(suite, caller: Caller, songs):
    (mine,) = await uploaded(caller, songs[:1])
    stranger = call_as(suite, f"stranger-{uuid.uuid4().hex}")
    async with stranger.client:
        (theirs,) = await uploaded(stranger, songs[1:2])
    begun = await say(caller, [theirs, mine, "no-such-track"], "only the drums")
    outcomes = [item.WhichOneof("outcome") for item in begun.turns]
    assert outcomes == ["error", "turn", "error"]
    for item in (begun.turns[0], begun.turns[2]):
        assert item.error.reason == "TRACK_NOT_FOUND"
        assert item.error.code == Code.NOT_FOUND.value[0]
    await completed(caller, [begun.turns[1].turn.turn_id])


async def test_the_request_id_of_a_batch_stands_for_its_prompt(caller: Caller, songs):
    track_ids = await uploaded(caller, songs[:1])
    await say(caller, track_ids, "only the drums", request_id="one")
    other = await say(caller, track_ids, "only the bass", request_id="one")
    assert other.turns[0].error.reason == "REQUEST_ID_CONFLICT"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"track_ids": []}, "INVALID_BATCH"),
        ({"track_ids": ["a", "a"]}, "INVALID_BATCH"),
        ({"track_ids": [str(number) for number in range(101)]}, "INVALID_BATCH"),
        ({"prompt": " "}, "PROMPT_EMPTY"),
        ({"prompt": "a" * 5000}, "PROMPT_TOO_LONG"),
        ({"model": "theremin"}, "UNKNOWN_MODEL"),
        ({"request_id": "x" * 65}, "INVALID_REQUEST_ID"),
        ({"format": audio_pb2.OutputFormat(encoding=99)}, "UNSUPPORTED_FORMAT"),
    ],
    ids=str,
)
async def test_a_batch_that_breaks_the_rules_is_refused_as_a_whole(caller, fields, reason):
    request = gateway_pb2.ConverseBatchRequest(
        **{"track_ids": ["one"], "prompt": "only the vocals", **fields}
    )
    call = caller.stub.ConverseBatch(request, metadata=caller.metadata)
    assert await refusal(call) == (Code.INVALID_ARGUMENT, reason)


async def test_a_batch_is_worked_on_a_few_turns_at_a_time(suite: Suite, caller: Caller, songs):
    assert await become(lambda: idle(suite))
    track_ids = await uploaded(caller, songs)
    hold = suite.folder / "held"
    hold.touch()
    begun = await say(caller, track_ids, "only the vocals", model="held")
    waiting = asyncio.create_task(completed(caller, [item.turn.turn_id for item in begun.turns]))
    # There are two gateways, and neither ends anything before it may.
    assert await become(lambda: suite.separations() == 2 * BACKGROUND_TURNS)
    await asyncio.sleep(1.5)  # in which each looks whether there is more to do
    most = suite.separations()
    hold.unlink()
    while not waiting.done():
        most = max(most, suite.separations())
        await asyncio.sleep(0.02)
    await waiting
    assert most == 2 * BACKGROUND_TURNS


async def test_a_batch_outlives_the_gateway_that_took_it(suite: Suite, caller: Caller, songs):
    track_ids = await uploaded(caller, songs)
    suite.start("gateway-6", GATEWAY, **DOOMED_SETTINGS)
    suite.wait("gateway-6")
    doomed = call_as(suite, caller.metadata[0][1], "gateway-6")
    async with doomed.client:
        begun = await say(doomed, track_ids, "only the vocals", model="slow")
        suite.kill("gateway-6")
    turns = await completed(caller, [item.turn.turn_id for item in begun.turns])
    assert all(turn.artifacts for turn in turns)


async def test_the_client_says_one_thing_to_many_and_fetches_what_comes(
    caller: Caller, songs, tmp_path
):
    tracks = [await caller.client.upload(song) for song in songs[:2]]
    begun = await caller.client.ask_all("only the vocals", [*tracks, "no-such-track"])
    assert begun[2].error.reason == "TRACK_NOT_FOUND"
    for number, item in enumerate(begun[:2]):
        turn = await caller.client.wait_for(item.turn.turn_id, folder=tmp_path / str(number))
        assert [file.path.name for file in turn.files] == [f"song {number} - vocals.wav"]
    with pytest.raises(MixdownError) as caught:
        await caller.client.wait_for("no-such-turn")
    assert caught.value.reason == "TURN_NOT_FOUND"
