"""The Python client against the gateway, over lines that break."""

import asyncio

import pytest

from mixdown import MixdownError, NotReachableError, TurnCancelledError, connect
from mixdown.conversation.v1 import conversation_pb2
from tests.integration.gateway.comparing import samples_of
from tests.integration.gateway.conftest import Caller, call_as, free_port, noise_wav


class CuttingProxy:
    """A TCP proxy that breaks every connection after so many bytes in one direction."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.cut_after_sent: int | None = None
        self.cut_after_received: int | None = None
        self.cuts = 0
        self.port = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        upstream, sink = await asyncio.open_connection("127.0.0.1", self._target)

        async def pass_on(source, target, limit):
            count = 0
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
                count += len(data)
                if limit() is not None and count > limit():
                    self.cuts += 1
                    return

        tasks = [
            asyncio.create_task(pass_on(reader, sink, lambda: self.cut_after_sent)),
            asyncio.create_task(pass_on(upstream, writer, lambda: self.cut_after_received)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for stream in (writer, sink):
            stream.transport.abort()


@pytest.fixture
async def proxy(suite):
    async with CuttingProxy(suite.ports["gateway"]) as proxy:
        suite.ports["proxy"] = proxy.port
        yield proxy
        del suite.ports["proxy"]


@pytest.fixture
async def broken(suite, caller: Caller, proxy):
    """The same user as `caller`, over the proxy."""
    broken = call_as(suite, caller.metadata[0][1], "proxy")
    async with broken.client:
        yield broken


async def test_a_turn_goes_on_by_itself_when_the_connection_breaks(
    caller: Caller, broken: Caller, proxy, song, tmp_path
):
    session = await caller.client.create_session(await caller.client.upload(song))
    uncut = await session.ask("only the vocals", folder=tmp_path / "uncut")
    session = await broken.client.create_session(await broken.client.upload(song), model="slow")
    proxy.cut_after_received = 300_000
    turn = await session.ask("only the vocals", folder=tmp_path / "cut")
    assert proxy.cuts >= 1
    cut, whole = (item.files[0].path.read_bytes() for item in (turn, uncut))
    assert samples_of(cut) == samples_of(whole)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["my song - vocals.wav"]
    proxy.cuts = 0
    path = await broken.client.download(turn.files[0].artifact, tmp_path / "downloaded")
    assert proxy.cuts >= 1
    assert path.read_bytes() == cut


async def test_an_upload_goes_on_by_itself_when_the_connection_breaks(
    broken: Caller, proxy, tmp_path
):
    path = tmp_path / "long.wav"
    path.write_bytes(noise_wav(20, seed=8))
    proxy.cut_after_sent = 1_500_000
    shown = []
    track = await broken.client.upload(path, progress=lambda sent, size: shown.append(sent))
    assert proxy.cuts >= 2
    assert track.blob.size_bytes == path.stat().st_size == shown[-1]


@pytest.mark.parametrize(
    ("size", "name", "reason"),
    [
        (5_000_000, "no/name", "INVALID_NAME"),
        (20_000_001, "large.wav", "UPLOAD_TOO_LARGE"),
        (5_000_000, "zeros.wav", "UNDECODABLE_AUDIO"),
        (0, "empty.wav", "EMPTY_FILE"),
    ],
)
async def test_a_refused_upload_tells_why(caller: Caller, tmp_path, size, name, reason):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    with pytest.raises(MixdownError) as caught:
        await caller.client.upload(path, display_name=name)
    assert caught.value.reason == reason


async def test_nobody_at_the_address_is_told_so():
    async with connect(f"127.0.0.1:{free_port()}") as client:
        with pytest.raises(NotReachableError) as caught:
            await client.capabilities()
    assert "does not answer" in caught.value.message


async def test_a_cancelled_turn_raises_and_leaves_no_half_file(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song), model="stuck")

    cancelling = []

    def cancel(event: conversation_pb2.TurnEvent) -> None:
        if event.HasField("output_started"):
            cancelling.append(asyncio.create_task(caller.client.cancel(event.turn_id)))

    with pytest.raises(TurnCancelledError):
        await session.ask("only the vocals", folder=tmp_path, on_event=cancel)
    assert list(tmp_path.iterdir()) == []


async def test_a_turn_can_be_watched_again(caller: Caller, song, tmp_path):
    session = await caller.client.create_session(await caller.client.upload(song))
    turn = await session.ask("only the vocals", folder=tmp_path)
    data = b"".join([event.audio.data async for event in caller.client.watch(turn.turn_id)])
    assert data == turn.files[0].path.read_bytes()
    again = caller.client.watch(turn.turn_id, after_sequence=4, offsets_bytes={"vocals": len(data)})
    assert [event.WhichOneof("event") async for event in again] == ["completed"]
