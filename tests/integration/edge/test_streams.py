"""Streams through Envoy behave as they do without it: live, bounded, resumable."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import time
import uuid
from pathlib import Path

import grpc
import pytest
from grpc import aio

import mixdown
from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from tests.integration.edge.conftest import LEASE_SECONDS, OpenEdge
from tests.integration.gateway.conftest import eventually, noise_wav
from tests.integration.gateway.test_resumption import Reader, idle
from tests.patience import PATIENCE_SECONDS

State = conversation_pb2.Turn.State


@pytest.fixture
async def client(open_edge: OpenEdge):
    async with mixdown.connect(open_edge.address) as opened:
        yield opened


@pytest.fixture
async def stub(open_edge: OpenEdge):
    async with aio.insecure_channel(open_edge.address) as channel:
        yield gateway_pb2_grpc.GatewayServiceStub(channel)


async def begin_request(client: mixdown.Client, folder: Path, *, model: str, seconds: float = 5.0):
    path = folder / f"{uuid.uuid4().hex}.wav"
    path.write_bytes(noise_wav(seconds, seed=uuid.uuid4().int % 2**32))
    session = await client.create_session(await client.upload(path), model=model)
    return gateway_pb2.SeparateRequest(session_id=session.session_id, stems=["vocals"])


async def test_audio_comes_while_the_rest_is_being_computed(open_edge, client, stub, tmp_path):
    # What is computed stops after a second, and the file is five seconds long.
    request = await begin_request(client, tmp_path, model="stuck")
    call, heard_bytes = stub.Separate(request), 0
    async for event in call:
        heard_bytes += len(event.audio.data)
        if heard_bytes > 40_000:
            break
    assert open_edge.suite.separations() == 1
    call.cancel()
    assert await asyncio.to_thread(eventually, lambda: idle(open_edge.suite))


async def test_a_silent_stream_says_that_it_is_alive(open_edge, client, stub, tmp_path):
    request = await begin_request(client, tmp_path, model="slow")
    # Somebody else holds the turn and says nothing.
    async with aio.insecure_channel(open_edge.suite.address("session")) as channel:
        session = session_pb2_grpc.SessionServiceStub(channel)
        work = await session.BeginTurn(
            session_pb2.BeginTurnRequest(
                user_id="local", session_id=request.session_id, request_id="one", prompt="hello"
            )
        )
        beats = 0
        call = stub.WatchTurn(gateway_pb2.WatchTurnRequest(turn_id=work.turn.turn_id))
        async for event in call:
            beats += event.HasField("heartbeat")
            if beats == 3:
                break
        call.cancel()
        await stub.CancelTurn(gateway_pb2.CancelTurnRequest(turn_id=work.turn.turn_id))


async def test_a_slow_reader_slows_the_render_and_grows_no_buffer(
    open_edge, client, stub, tmp_path
):
    first = await begin_request(client, tmp_path, model="shares")
    assert [event async for event in stub.Separate(first)]  # what is loaded once is there by now
    request = await begin_request(client, tmp_path, model="shares", seconds=120.0)
    before = open_edge.memory_mib()
    reader = Reader()
    call = stub.Separate(request)
    async for event in call:
        reader.turn_id = event.turn_id
        reader.take(event)
        if event.HasField("audio") and len(reader.files["vocals"]) > 100_000:
            break
    await asyncio.sleep(2)  # computing all of it takes about one
    turn = await stub.GetTurn(gateway_pb2.GetTurnRequest(turn_id=reader.turn_id))
    assert turn.state == State.STATE_RUNNING
    (size,) = (
        event.output_started.size_bytes
        for event in reader.durable
        if event.HasField("output_started")
    )
    written = max(path.stat().st_size for path in open_edge.suite.partial.iterdir())
    assert size > 20_000_000
    assert written < size / 2  # it waits for us
    # On the way: what a few messages and windows hold. The remixer holds what it renders next, too.
    most = {"envoy": 8, "gateway": 12, "gateway-2": 12, "remixer": 24}
    assert_has_not_grown(open_edge, before, most)
    async for event in call:
        reader.take(event)
    assert reader.ended
    artifact = reader.durable[-2].output_finished.artifact
    assert hashlib.sha256(reader.files["vocals"]).hexdigest() == artifact.blob.sha256


def assert_has_not_grown(open_edge, before: dict[str, float], most_mib: dict[str, float]) -> None:
    now = open_edge.memory_mib()
    grown = {name: now[name] - before[name] for name in most_mib}
    assert all(grown[name] < most for name, most in most_mib.items()), grown


async def make_artifact(client, stub, folder: Path, *, seconds: float):
    request = await begin_request(client, folder, model="shares", seconds=seconds)
    (artifact,) = [
        event.output_finished.artifact
        async for event in stub.Separate(request)
        if event.HasField("output_finished")
    ]
    return artifact


OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


async def test_two_hundred_downloads_at_once_complete_with_flat_memory(
    open_edge, client, stub, tmp_path
):
    artifact = await make_artifact(client, stub, tmp_path, seconds=10.0)
    download = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id)

    async def checksum() -> str:
        digest = hashlib.sha256()
        async with aio.insecure_channel(open_edge.address, options=OWN_CONNECTION) as channel:
            caller = gateway_pb2_grpc.GatewayServiceStub(channel)
            async for message in caller.DownloadArtifact(download, timeout=3 * PATIENCE_SECONDS):
                digest.update(message.data)
        return digest.hexdigest()

    before = open_edge.memory_mib()
    everything = asyncio.gather(*(checksum() for _ in range(200)))
    while not everything.done():
        await asyncio.wait({everything}, timeout=0.2)
        # 350 MB are on their way: a gateway holds a chunk of eight of its readers at a time, a few
        # times each, and Envoy a window's worth where a reader is not as quick.
        assert_has_not_grown(open_edge, before, {"envoy": 48, "gateway": 40, "gateway-2": 40})
    assert set(await everything) == {artifact.blob.sha256}


async def test_readers_that_stop_reading_hold_up_nobody_else_and_little_memory(
    open_edge, client, stub, tmp_path
):
    artifact = await make_artifact(client, stub, tmp_path, seconds=60.0)
    download = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id)
    before = open_edge.memory_mib()
    async with contextlib.AsyncExitStack() as stack:
        stuck = []
        for _ in range(60):
            channel = aio.insecure_channel(open_edge.address, options=OWN_CONNECTION)
            caller = gateway_pb2_grpc.GatewayServiceStub(await stack.enter_async_context(channel))
            stuck.append(caller.DownloadArtifact(download, timeout=10 * PATIENCE_SECONDS))
            assert (await stuck[-1].read()).HasField("artifact")
        await asyncio.sleep(0.5)  # what fits into the buffers on the way has gone
        digest = hashlib.sha256()
        async for message in stub.DownloadArtifact(download, timeout=PATIENCE_SECONDS):
            digest.update(message.data)
        assert digest.hexdigest() == artifact.blob.sha256
        assert not any(call.done() for call in stuck)
        # 600 MB would be theirs; half a MiB for each on the way.
        assert_has_not_grown(open_edge, before, {"envoy": 40, "gateway": 30, "gateway-2": 30})
        for call in stuck:
            call.cancel()


async def test_an_upload_of_any_size_is_held_nowhere_on_its_way(open_edge):
    size = 100 << 20
    before = open_edge.memory_mib()

    def send() -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", open_edge.port, timeout=3 * PATIENCE_SECONDS
        )
        path = f"/v1/uploads/{uuid.uuid4().hex}?displayName=zeros&totalSizeBytes={size}"
        pieces = (bytes(1 << 20) for _ in range(size >> 20))
        connection.request("PUT", path, pieces, {"content-length": str(size)})
        status = connection.getresponse().status
        connection.close()
        return status

    sending = asyncio.create_task(asyncio.to_thread(send))
    while not sending.done():
        await asyncio.wait({sending}, timeout=0.1)
        assert_has_not_grown(open_edge, before, {"envoy": 16, "gateway": 32, "gateway-2": 32})
    assert await sending == 400  # all of it came, and none of it is audio


async def test_a_detached_turn_goes_on_and_its_file_can_be_fetched(
    open_edge, client, stub, tmp_path
):
    request = await begin_request(client, tmp_path, model="slow")
    request.detached = True
    call = stub.Separate(request)
    turn_id = (await call.read()).turn_id
    call.cancel()

    async def state() -> State:
        return (await stub.GetTurn(gateway_pb2.GetTurnRequest(turn_id=turn_id))).state

    async with asyncio.timeout(PATIENCE_SECONDS):
        while await state() != State.STATE_COMPLETED:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.1)
    turn = await stub.GetTurn(gateway_pb2.GetTurnRequest(turn_id=turn_id))
    path = await client.download(turn.artifacts[0], tmp_path / "out")
    assert path.stat().st_size == turn.artifacts[0].blob.size_bytes


async def test_who_goes_away_leaves_no_work(open_edge, client, stub, tmp_path):
    request = await begin_request(client, tmp_path, model="stuck")
    call = stub.Separate(request)
    async for event in call:
        if event.HasField("output_started"):
            break
    assert await asyncio.to_thread(eventually, lambda: open_edge.suite.separations() == 1)
    call.cancel()
    assert await asyncio.to_thread(eventually, lambda: idle(open_edge.suite))


async def test_events_alone_bring_no_audio(client, stub, tmp_path):
    request = await begin_request(client, tmp_path, model="shares")
    request.delivery = gateway_pb2.DELIVERY_EVENTS_ONLY
    events = [event async for event in stub.Separate(request)]
    assert not any(event.HasField("audio") for event in events)
    assert events[-1].HasField("completed")


async def test_a_turn_is_watched_from_any_event_and_any_byte(client, stub, tmp_path):
    request = await begin_request(client, tmp_path, model="slow", seconds=2.0)
    whole = Reader()
    async for event in stub.Separate(request):
        whole.turn_id = event.turn_id
        whole.take(event)
    data = whole.files["vocals"]
    for sequence in range(6):
        offset = sequence * len(data) // 5
        watch = gateway_pb2.WatchTurnRequest(
            turn_id=whole.turn_id, after_sequence=sequence, offsets_bytes={"vocals": offset}
        )
        events = [event async for event in stub.WatchTurn(watch)]
        audio = [event.audio for event in events if event.HasField("audio")]
        if sequence < 4:  # the audio comes before the event that ends its output
            assert b"".join(item.data for item in audio) == data[offset:]
        durable = [event.sequence for event in events if not event.HasField("audio")]
        assert durable == list(range(sequence + 1, 6))


async def test_a_turn_that_is_cancelled_ends_for_its_reader(open_edge, client, stub, tmp_path):
    request = await begin_request(client, tmp_path, model="stuck")
    call = stub.Separate(request)
    async for event in call:
        if event.HasField("output_started"):
            began = time.monotonic()
            await stub.CancelTurn(gateway_pb2.CancelTurnRequest(turn_id=event.turn_id))
        last = event.WhichOneof("event")
    assert last == "cancelled"
    # Though another gateway was told, and long before the lease is renewed.
    assert time.monotonic() - began < LEASE_SECONDS / 3 / 2
    assert await call.code() == grpc.StatusCode.OK
    assert await asyncio.to_thread(eventually, lambda: idle(open_edge.suite))
