"""Quotas as callers meet them: refused with what stands in the way and when to come again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from mixdown.errors import MixdownError
from mixdown.gateway.v1 import gateway_pb2
from services.local.ports import free_port
from tests.integration.gateway.conftest import (
    GATEWAY,
    GATEWAY_SETTINGS,
    Caller,
    Suite,
    call_as,
    noise_wav,
)
from tests.patience import PATIENCE_SECONDS

TURNS = 2
LIMITS = {
    "MIXDOWN_USER_TURN_LIMIT": str(TURNS),
    "MIXDOWN_USER_STORAGE_LIMIT_BYTES": "4000000",
    "MIXDOWN_USER_DAILY_AUDIO_MINUTES": "0.11",  # two files of three seconds
}


@pytest.fixture(scope="module")
def limited(suite: Suite) -> Iterator[Suite]:
    """Another gateway, whose session service knows limits."""
    suite.ports["session-limited"] = free_port()
    suite.start("session-limited", "services.session", **LIMITS)
    suite.wait("session-limited")
    address = suite.address("session-limited")
    suite.start("gateway-limited", GATEWAY, **GATEWAY_SETTINGS, MIXDOWN_SESSION_ADDRESS=address)
    suite.wait("gateway-limited")
    yield suite
    suite.kill("gateway-limited")
    suite.kill("session-limited")


@pytest.fixture
async def a_day() -> None:
    """Waits for the next day (of UTC) where this one ends soon, and what was used with it."""
    left = 24 * 3600 - time.time() % (24 * 3600)
    if left < 2 * PATIENCE_SECONDS:
        await asyncio.sleep(left)


@pytest_asyncio.fixture
async def user(limited: Suite) -> AsyncIterator[Caller]:
    caller = call_as(limited, f"user-{uuid.uuid4().hex}", "gateway-limited")
    async with caller.client:
        yield caller


def _details(error: grpc.RpcError) -> tuple[error_details_pb2.QuotaFailure, float]:
    failure, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    for detail in rpc_status.from_call(error).details:
        detail.Unpack(failure)
        detail.Unpack(retry)
    return failure, retry.retry_delay.ToTimedelta().total_seconds()


@pytest.mark.usefixtures("a_day")
async def test_minutes_of_audio_end_with_the_day(user: Caller, song, tmp_path):
    session = await user.client.create_session(await user.client.upload(song))
    await session.ask("only the vocals", folder=tmp_path)
    with pytest.raises(MixdownError) as failed:  # two more files: it could not know before
        await session.ask("give me the drums and the bass", folder=tmp_path)
    assert failed.value.reason == "AUDIO_QUOTA_EXCEEDED"
    assert failed.value.metadata["limit_minutes"] == "0.11"
    await session.ask("only the drums", folder=tmp_path)  # nothing was charged for it
    await session.ask("hello, who are you?", folder=tmp_path)  # words alone cost nothing

    turns = [turn async for turn in session.turns()]
    assert [turn.error.reason for turn in turns] == ["", "AUDIO_QUOTA_EXCEEDED", "", ""]

    usage = await user.client.usage()
    assert (usage.turns, usage.turn_limit) == (0, TURNS)
    assert usage.daily_audio_minutes == pytest.approx(0.1)
    assert usage.daily_audio_limit_minutes == 0.11
    files = [artifact.blob.size_bytes for turn in turns for artifact in turn.artifacts]
    assert usage.stored_bytes == song.stat().st_size + sum(files)
    assert usage.storage_limit_bytes == 4_000_000


async def test_more_turns_at_once_are_refused_until_one_has_ended(user: Caller, song):
    track = await user.client.upload(song)

    async def separate() -> tuple[aio.UnaryStreamCall, str]:
        session = await user.client.create_session(track, model="stuck")
        request = gateway_pb2.SeparateRequest(session_id=session.session_id, stems=["vocals"])
        call = user.stub.Separate(request, metadata=user.metadata)
        event = await call.read()
        return call, event.turn_id

    running = [await separate() for _ in range(TURNS)]
    assert (await user.client.usage()).turns == TURNS
    with pytest.raises(grpc.RpcError) as refused:
        await separate()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    failure, seconds = _details(refused.value)
    assert failure.violations[0].subject == "user/turns"
    assert 0 < seconds <= 60

    await user.client.cancel(running[0][1])
    running.append(await separate())
    for call, turn_id in running[1:]:
        await user.client.cancel(turn_id)
        call.cancel()


@pytest.mark.usefixtures("a_day")
async def test_a_call_beyond_the_day_is_refused_and_told_when_to_come_again(user: Caller, tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(noise_wav(seconds=3.3))  # two of them are the whole day
    session = await user.client.create_session(await user.client.upload(path))
    await session.separate(["vocals", "drums"], folder=tmp_path)
    request = gateway_pb2.ConverseRequest(session_id=session.session_id, prompt="louder")
    with pytest.raises(grpc.RpcError) as refused:
        async for _ in user.stub.Converse(request, metadata=user.metadata):
            pass
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    failure, seconds = _details(refused.value)
    assert failure.violations[0].subject == "user/daily-audio"
    assert 0 < seconds <= 24 * 3600
    with pytest.raises(MixdownError) as told:  # at once: nobody waits for tomorrow
        await session.ask("only the drums", folder=tmp_path)
    assert told.value.reason == "AUDIO_QUOTA_EXCEEDED"


async def test_an_upload_beyond_the_storage_is_refused_before_it_is_sent(user: Caller, tmp_path):
    path = tmp_path / "big.wav"
    path.write_bytes(noise_wav(seconds=25.0))
    size = path.stat().st_size
    assert size > 4_000_000
    start = gateway_pb2.UploadStart(upload_id="big", display_name="big.wav", total_size_bytes=size)
    with pytest.raises(grpc.RpcError) as refused:
        await user.stub.UploadTrack(
            iter([gateway_pb2.UploadTrackRequest(start=start)]), metadata=user.metadata
        )
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    failure, _ = _details(refused.value)
    assert failure.violations[0].subject == "user/bytes"
    with pytest.raises(MixdownError) as told:
        await user.client.upload(path)
    assert told.value.reason == "STORAGE_QUOTA_EXCEEDED"
