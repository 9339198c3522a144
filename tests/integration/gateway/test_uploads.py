"""Uploads: cut, resumed, checked."""

import asyncio
import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_status import rpc_status

from mixdown.gateway.v1 import gateway_pb2
from services.runtime.audio.level_store import LevelStore
from services.runtime.audio.measured import measure
from services.runtime.audio.measured_store import MeasuredStore
from services.runtime.blobs.folder import FolderBlobStore
from tests.integration.gateway.conftest import RATE_HZ, Caller, Suite, call_as, noise_wav
from tests.integration.gateway.test_refusals import reason_of, refusal
from tests.patience import PATIENCE_SECONDS

Code = grpc.StatusCode

REFUSED = {Code.ABORTED, Code.INTERNAL}
"""Of an upload at a wrong offset: INTERNAL where gRPC's client, still sending, lost the status."""


def start_of(content: bytes, upload_id: str, **fields) -> gateway_pb2.UploadStart:
    return gateway_pb2.UploadStart(
        **{
            "upload_id": upload_id,
            "display_name": "song.wav",
            "total_size_bytes": len(content),
            **fields,
        }
    )


def messages_of(start: gateway_pb2.UploadStart, content: bytes, chunk: int = 65_536):
    yield gateway_pb2.UploadTrackRequest(start=start)
    for position in range(start.offset_bytes, len(content), chunk):
        yield gateway_pb2.UploadTrackRequest(data=content[position : position + chunk])


async def upload_refusal(caller: Caller, messages: Callable) -> tuple[grpc.StatusCode, str]:
    """Returns how an upload of `messages()` is refused.

    gRPC's Python client loses the status of a stream that is refused while it still sends; the
    upload is then tried again, as the client of `mixdown` does.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with pytest.raises(aio.AioRpcError) as caught:
                await caller.stub.UploadTrack(iter(messages()), metadata=caller.metadata)
            if rpc_status.from_call(caught.value) is not None:
                return caught.value.code(), reason_of(caught.value)


def parts_of(suite: Suite) -> set[Path]:
    return {path for path in (suite.folder / "blobs" / "parts").rglob("*") if path.is_file()}


async def committed(caller: Caller, upload_id: str) -> int:
    status = await caller.stub.QueryUpload(
        gateway_pb2.QueryUploadRequest(upload_id=upload_id), metadata=caller.metadata
    )
    return status.committed_size_bytes


async def send(caller: Caller, start: gateway_pb2.UploadStart, content: bytes):
    return await caller.stub.UploadTrack(messages_of(start, content), metadata=caller.metadata)


async def test_a_track_tells_what_was_found_in_the_file(caller: Caller):
    content = noise_wav(1.5)
    track = await send(caller, start_of(content, "whole"), content)
    assert track.display_name == "song.wav"
    assert track.blob.sha256 == hashlib.sha256(content).hexdigest()
    assert track.blob.size_bytes == len(content)
    audio = track.audio
    assert (audio.sample_rate_hz, audio.channels, audio.frames) == (RATE_HZ, 2, RATE_HZ * 3 // 2)
    assert (audio.container, audio.codec) == ("wav", "pcm_s16le")


async def test_the_levels_that_separating_needs_are_kept_with_the_track(suite, caller: Caller):
    """So that no separation has to read all of it before its first sample."""
    content = noise_wav(2.0, seed=7)
    await send(caller, start_of(content, "levels"), content)
    store = LevelStore(FolderBlobStore(suite.folder / "blobs"))
    levels = store.find(hashlib.sha256(content).hexdigest(), RATE_HZ, 2)
    assert levels is not None
    assert levels.frames == 2 * RATE_HZ
    assert levels.deviation > 0.01


async def test_what_rendering_needs_is_measured_by_the_check_and_kept(suite, caller: Caller):
    """So that no render has to read all of a track before its first sample."""
    content = noise_wav(2.0, seed=8)
    track = await send(caller, start_of(content, "measured"), content)
    measured = MeasuredStore(FolderBlobStore(suite.folder / "blobs")).find(track.blob.sha256)
    assert measured == measure(io.BytesIO(content))


async def test_an_upload_cut_at_random_points_gives_the_same_track(suite, caller: Caller):
    chance = random.Random(3)
    for number in range(10):
        content = noise_wav(8.0, seed=number)
        sha256 = hashlib.sha256(content).hexdigest()
        start = start_of(content, f"cut-{number}", sha256=sha256)
        for _ in range(3):
            target = call_as(suite, caller.metadata[0][1], chance.choice(["gateway", "gateway-2"]))
            async with target.client:
                await cut(target, start, content, chance.randint(0, 20))
            try:
                start.offset_bytes = await committed(caller, start.upload_id)
            except aio.AioRpcError as error:
                assert error.code() == Code.NOT_FOUND  # cut before anything arrived
        while True:
            try:
                track = await send(caller, start, content)
                break
            except aio.AioRpcError as error:
                # What was under way when the line was cut has arrived meanwhile.
                assert error.code() in REFUSED
                start.offset_bytes = await committed(caller, start.upload_id)
        assert track.blob.sha256 == sha256
        assert await committed(caller, start.upload_id) == len(content)


async def cut(target: Caller, start, content: bytes, after: int) -> None:
    """Sends `after` messages and breaks off."""
    call = target.stub.UploadTrack(metadata=target.metadata)
    try:
        for number, message in enumerate(messages_of(start, content)):
            if number == after:
                break
            await call.write(message)
    except aio.AioRpcError as error:
        assert error.code() in REFUSED
    except asyncio.InvalidStateError:
        pass  # refused already: the offset has moved
    call.cancel()


async def test_what_arrived_before_the_cut_is_kept(caller: Caller):
    content = noise_wav(8.0)
    start = start_of(content, "kept")
    call = caller.stub.UploadTrack(metadata=caller.metadata)
    messages = messages_of(start, content, 600_000)
    for _ in range(3):
        await call.write(next(messages))
    kept = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while kept < 1_200_000:
            try:
                kept = await committed(caller, "kept")
            except aio.AioRpcError as error:
                assert error.code() == Code.NOT_FOUND
            await asyncio.sleep(0.02)
    assert kept == 1_200_000
    call.cancel()
    start.offset_bytes = 1_200_000
    track = await send(caller, start, content)
    assert track.blob.sha256 == hashlib.sha256(content).hexdigest()


async def test_the_same_upload_said_again_is_the_same_track(caller: Caller):
    content = noise_wav(0.5)
    one = await send(caller, start_of(content, "twice"), content)
    two = await send(caller, start_of(content, "twice"), content)
    assert one.track_id == two.track_id


async def test_the_same_bytes_cost_no_space(suite, caller: Caller):
    parts = parts_of(suite)  # uploads that other tests have cut wait there
    content = noise_wav(0.5, seed=4)
    one = await send(caller, start_of(content, "one"), content)
    before = len(list((suite.folder / "blobs" / "blobs").rglob("*")))
    two = await send(caller, start_of(content, "two"), content)
    assert one.track_id != two.track_id
    assert len(list((suite.folder / "blobs" / "blobs").rglob("*"))) == before
    assert parts_of(suite) <= parts


async def test_a_wrong_checksum_is_refused_and_the_upload_may_begin_anew(caller: Caller):
    content = noise_wav(0.5)
    start = start_of(content, "wrong", sha256="0" * 64)
    call = caller.stub.UploadTrack(messages_of(start, content), metadata=caller.metadata)
    assert await refusal(call) == (Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
    assert await committed(caller, "wrong") == 0
    start.sha256 = hashlib.sha256(content).hexdigest().upper()
    assert (await send(caller, start, content)).track_id


@pytest.mark.parametrize("offset", [-1, 1, 10**9])
async def test_an_offset_that_is_not_the_committed_size_is_refused(caller: Caller, offset):
    content = noise_wav(0.5)
    start = start_of(content, "offset")

    def only_the_start() -> list[gateway_pb2.UploadTrackRequest]:
        return [gateway_pb2.UploadTrackRequest(start=start)]

    expected = (Code.ABORTED, "OFFSET_MISMATCH")
    assert await upload_refusal(caller, only_the_start) == expected  # begun, not complete
    start.offset_bytes = offset
    assert await upload_refusal(caller, only_the_start) == expected


async def test_going_on_with_an_upload_that_never_began_is_refused(caller: Caller):
    content = noise_wav(0.5)
    start = start_of(content, "never", offset_bytes=100)
    found = await upload_refusal(caller, lambda: messages_of(start, content))
    assert found == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")


def data(content: bytes) -> gateway_pb2.UploadTrackRequest:
    return gateway_pb2.UploadTrackRequest(data=content)


def start(**fields) -> gateway_pb2.UploadTrackRequest:
    return gateway_pb2.UploadTrackRequest(start=start_of(b"1234", **{"upload_id": "odd", **fields}))


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        ([], Code.INVALID_ARGUMENT, "MISSING_START"),
        ([data(b"12")], Code.INVALID_ARGUMENT, "MISSING_START"),
        ([gateway_pb2.UploadTrackRequest()], Code.INVALID_ARGUMENT, "MISSING_START"),
        ([start(), start()], Code.INVALID_ARGUMENT, "REPEATED_START"),
        ([start(), data(b"12345")], Code.INVALID_ARGUMENT, "UPLOAD_TOO_LARGE"),
        ([start(total_size_bytes=20_000_001)], Code.INVALID_ARGUMENT, "UPLOAD_TOO_LARGE"),
        ([start(total_size_bytes=-1)], Code.INVALID_ARGUMENT, "EMPTY_FILE"),
        ([start(upload_id="../up")], Code.INVALID_ARGUMENT, "INVALID_NAME"),
        ([start(upload_id="")], Code.INVALID_ARGUMENT, "INVALID_NAME"),
        ([start(sha256="abc")], Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH"),
        ([start(), data(b"12")], Code.ABORTED, "OFFSET_MISMATCH"),
    ],
    ids=str,
)
async def test_an_upload_that_breaks_the_rules_is_refused(caller, messages, code, reason):
    assert await upload_refusal(caller, lambda: messages) == (code, reason)


async def test_another_users_upload_of_the_same_name_is_another(suite, caller: Caller):
    content = noise_wav(0.5)
    await send(caller, start_of(content, "shared-name"), content)
    stranger = call_as(suite, "upload-stranger")
    async with stranger.client:
        call = stranger.stub.QueryUpload(
            gateway_pb2.QueryUploadRequest(upload_id="shared-name"), metadata=stranger.metadata
        )
        assert await refusal(call) == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")
