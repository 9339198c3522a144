"""Turns that wait for others of their session: in order, told where they stand, never lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.mix import Mix
from mixdown.mix.protobuf import mix_to_message
from tests.integration.gateway.conftest import (
    DOOMED_SETTINGS,
    GATEWAY,
    Caller,
    Suite,
    call_as,
    eventually,
    noise_wav,
)
from tests.patience import PATIENCE_SECONDS

WAITING = conversation_pb2.Progress.STAGE_WAITING


@pytest.fixture(autouse=True)
def hold(suite: Suite) -> Iterator[Path]:
    """While this file is there, turns with the model "held" stay under way."""
    path = suite.folder / "held"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def song(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A song of this test alone: what another one had rendered would be there at once."""
    path = tmp_path / "my song.wav"
    path.write_bytes(noise_wav(seed=zlib.crc32(request.node.name.encode())))
    return path


async def _session(caller: Caller, song, model: str = "held") -> str:
    session = await caller.client.create_session(await caller.client.upload(song), model=model)
    return session.session_id


def _prompt(session_id: str, prompt: str, **fields) -> gateway_pb2.ConverseRequest:
    return gateway_pb2.ConverseRequest(
        session_id=session_id,
        prompt=prompt,
        request_id=str(uuid.uuid4()),
        delivery=gateway_pb2.DELIVERY_EVENTS_ONLY,
        if_busy=conversation_pb2.IF_BUSY_WAIT,
        **fields,
    )


async def _read(call) -> list[conversation_pb2.TurnEvent]:
    return [event async for event in call]


async def _until(call, holds) -> conversation_pb2.TurnEvent:
    async for event in call:
        if holds(event):
            return event
    raise AssertionError("it never came")


async def _turn(caller: Caller, turn_id: str) -> conversation_pb2.Turn:
    request = gateway_pb2.GetTurnRequest(turn_id=turn_id)
    return await caller.stub.GetTurn(request, metadata=caller.metadata)


async def _ended(caller: Caller, turn_id: str) -> conversation_pb2.Turn:
    async with asyncio.timeout(PATIENCE_SECONDS):
        turn = await _turn(caller, turn_id)
        while not turn.HasField("end_time"):
            await asyncio.sleep(0.1)
            turn = await _turn(caller, turn_id)
    return turn


def _places(events: list[conversation_pb2.TurnEvent]) -> list[int]:
    return [e.progress.queue_position for e in events if e.progress.stage == WAITING]


async def test_what_is_said_meanwhile_is_done_afterwards_in_order(suite: Suite, caller, song, hold):
    session_id = await _session(caller, song)
    other = call_as(suite, caller.metadata[0][1], "gateway-2")
    prompts = ["vocals 3 dB louder", "vocals 2 dB louder", "undo that"]
    async with other.client:
        calls = []
        for number, prompt in enumerate(prompts):
            stub = (caller, other)[number % 2].stub
            call = stub.Converse(_prompt(session_id, prompt), metadata=caller.metadata)
            await _until(call, lambda event: event.HasField("accepted"))
            if number:
                event = await _until(call, lambda event: event.progress.stage == WAITING)
                assert event.progress.queue_position == number
            calls.append(call)
        hold.unlink()
        first, second, third = await asyncio.gather(*map(_read, calls))
    assert _places(first) == _places(second) == []
    assert _places(third) in ([1], [])  # the last change of place may be a short one
    for events in (first, second, third):
        assert events[-1].HasField("completed")
    turns = [turn async for turn in (await caller.client.session(session_id)).turns()]
    assert [turn.prompt for turn in turns] == prompts
    gains = [turn.mix.targets["vocals"].gain_db for turn in turns]
    assert gains == [3, 5, 3]
    assert [turn.attempt_count for turn in turns] == [1, 1, 1]


async def test_without_the_wish_to_wait_it_is_refused(caller: Caller, song):
    session_id = await _session(caller, song, "stuck")
    call = caller.stub.Converse(_prompt(session_id, "only the vocals"), metadata=caller.metadata)
    await _until(call, lambda event: event.HasField("interpreted"))
    request = _prompt(session_id, "only the drums")
    request.if_busy = conversation_pb2.IF_BUSY_ABORT
    with pytest.raises(aio.AioRpcError) as caught:
        await _read(caller.stub.Converse(request, metadata=caller.metadata))
    assert caught.value.code() == grpc.StatusCode.ABORTED
    call.cancel()


async def test_one_that_waits_can_be_cancelled(caller: Caller, song):
    session_id = await _session(caller, song, "stuck")
    call = caller.stub.Converse(_prompt(session_id, "only the vocals"), metadata=caller.metadata)
    await _until(call, lambda event: event.HasField("interpreted"))
    request = _prompt(session_id, "only the drums")
    waiting = caller.stub.Converse(request, metadata=caller.metadata)
    event = await _until(waiting, lambda event: event.progress.stage == WAITING)
    await caller.client.cancel(event.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        rest = await _read(waiting)
    assert rest[-1].HasField("cancelled")
    call.cancel()


async def test_a_render_that_waits_needs_its_caller_no_more(caller, song, hold):
    session_id = await _session(caller, song)
    call = caller.stub.Converse(_prompt(session_id, "only the vocals"), metadata=caller.metadata)
    await _until(call, lambda event: event.HasField("accepted"))
    request = gateway_pb2.RenderRequest(
        session_id=session_id,
        mix=mix_to_message(Mix().change("drums", gain_db=-6.0)),
        request_id=str(uuid.uuid4()),
        delivery=gateway_pb2.DELIVERY_EVENTS_ONLY,
        detached=True,
        if_busy=conversation_pb2.IF_BUSY_WAIT,
    )
    waiting = caller.stub.Render(request, metadata=caller.metadata)
    event = await _until(waiting, lambda event: event.progress.stage == WAITING)
    waiting.cancel()
    hold.unlink()
    await _read(call)
    turn = await _ended(caller, event.turn_id)
    assert turn.state == conversation_pb2.Turn.STATE_COMPLETED
    assert turn.mix.targets["drums"].gain_db == -6


async def test_one_whose_caller_has_gone_rests_when_its_time_has_come(
    suite: Suite, caller: Caller, song, hold
):
    session_id = await _session(caller, song)
    call = caller.stub.Converse(_prompt(session_id, "only the vocals"), metadata=caller.metadata)
    await _until(call, lambda event: event.HasField("accepted"))
    request = _prompt(session_id, "only the drums")
    waiting = caller.stub.Converse(request, metadata=caller.metadata)
    event = await _until(waiting, lambda event: event.progress.stage == WAITING)
    waiting.cancel()

    def is_known_to_have_gone() -> bool:
        with contextlib.closing(sqlite3.connect(suite.folder / "session.db")) as database:
            told = "SELECT 1 FROM turns WHERE turn_id = ? AND lease_expire_time IS NULL"
            return database.execute(told, (event.turn_id,)).fetchone() is not None

    assert await asyncio.to_thread(eventually, is_known_to_have_gone)
    hold.unlink()
    await _read(call)
    await asyncio.sleep(3)  # time enough for any gateway to take it over
    turn = await _turn(caller, event.turn_id)
    assert (turn.state, turn.attempt_count) == (conversation_pb2.Turn.STATE_PENDING, 0)
    again = await _read(caller.stub.Converse(request, metadata=caller.metadata))
    assert again[-1].HasField("completed")


async def test_what_its_caller_has_left_is_finished_for_those_who_wait_behind_it(
    caller: Caller, song, hold
):
    session_id = await _session(caller, song)
    left = caller.stub.Converse(_prompt(session_id, "vocals 3 dB louder"), metadata=caller.metadata)
    await _until(left, lambda event: event.HasField("accepted"))
    waiting = caller.stub.Converse(
        _prompt(session_id, "vocals 2 dB louder"), metadata=caller.metadata
    )
    event = await _until(waiting, lambda event: event.progress.stage == WAITING)
    left.cancel()
    hold.unlink()
    async with asyncio.timeout(PATIENCE_SECONDS):
        rest = await _read(waiting)
    assert rest[-1].HasField("completed")
    assert (await _turn(caller, event.turn_id)).mix.targets["vocals"].gain_db == 5


# The tests that kill come last: what a killed process leaves goes only a day later.


async def test_a_gateway_that_is_killed_loses_nothing_that_waits(suite: Suite, caller, song, hold):
    session_id = await _session(caller, song)
    suite.start("gateway-5", GATEWAY, **DOOMED_SETTINGS)
    suite.wait("gateway-5")
    call = caller.stub.Converse(_prompt(session_id, "only the vocals"), metadata=caller.metadata)
    await _until(call, lambda event: event.HasField("accepted"))
    doomed = call_as(suite, caller.metadata[0][1], "gateway-5")
    async with doomed.client:
        waiting = doomed.stub.Converse(
            _prompt(session_id, "only the drums"), metadata=doomed.metadata
        )
        event = await _until(waiting, lambda event: event.progress.stage == WAITING)
        suite.kill("gateway-5")
    hold.unlink()
    await _read(call)
    turn = await _ended(caller, event.turn_id)
    assert turn.state == conversation_pb2.Turn.STATE_COMPLETED
    assert [artifact.name for artifact in turn.artifacts] == ["drums"]
