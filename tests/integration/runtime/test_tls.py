"""Services that show each other certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from pydantic import ValidationError

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from services.local.ports import free_port
from services.runtime.channels import connect
from services.runtime.probe import is_serving
from services.runtime.renewed_channel import RenewedChannel
from services.runtime.server import Server
from services.runtime.settings import Settings
from services.runtime.tls import TlsFiles
from tests.certificates import Authority
from tests.integration.runtime.servicers import INTERPRETER, Interpreter
from tests.patience import PATIENCE_SECONDS

Request = interpreter_pb2.InterpretRequest
Answer = Callable[[Request], Awaitable[interpreter_pb2.Interpretation]]


async def echo(request: Request) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(reply=request.prompt)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@asynccontextmanager
async def serving(files: TlsFiles, port: int = 0, answer: Answer = echo) -> AsyncIterator[str]:
    settings = Settings(
        listen=f"127.0.0.1:{port}",
        drain_seconds=0,
        tls_certificate_file=str(files.certificate),
        tls_key_file=str(files.key),
        tls_ca_file=str(files.authority),
    )
    add: Callable[[aio.Server], None] = lambda server: (  # noqa: E731
        interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(Interpreter(answer), server)
    )
    server = Server(settings, [INTERPRETER], add)
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


async def reply(channel: aio.Channel) -> str:
    async with channel:
        return await reply_on(channel)


async def reply_on(channel: aio.Channel, prompt: str = "hello") -> str:
    stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
    return (await stub.Interpret(Request(prompt=prompt), timeout=PATIENCE_SECONDS)).reply


async def test_who_shows_a_certificate_of_the_authority_is_answered(authority):
    async with serving(authority.issue("interpreter")) as address:
        assert await reply(connect(address, authority.issue("gateway"))) == "hello"


async def test_who_shows_none_or_a_strangers_is_not_answered(authority, tmp_path):
    stranger = Authority(tmp_path / "theirs").issue("gateway")
    forged = TlsFiles(stranger.certificate, stranger.key, authority.file)
    nobody = grpc.ssl_channel_credentials(authority.file.read_bytes())
    async with serving(authority.issue("interpreter")) as address:
        for channel in (
            connect(address),
            connect(address, forged),
            aio.secure_channel(address, nobody),
        ):
            with pytest.raises(aio.AioRpcError) as caught:
                await reply(channel)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_a_stranger_is_not_believed(authority, tmp_path):
    stranger = Authority(tmp_path / "theirs")
    served = stranger.issue("interpreter")
    async with serving(TlsFiles(served.certificate, served.key, authority.file)) as address:
        with pytest.raises(aio.AioRpcError) as caught:
            await reply(connect(address, authority.issue("gateway")))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_was_replaced_is_shown_at_the_next_connection(authority):
    files = authority.issue("interpreter")
    caller = authority.issue("gateway")

    def shown(address: str) -> str:
        host, port = address.split(":")
        return ssl.get_server_certificate((host, int(port)))

    async with serving(files) as address:
        first = await asyncio.to_thread(shown, address)
        assert first.split() == files.certificate.read_text().split()
        authority.issue("interpreter")
        second = await asyncio.to_thread(shown, address)
        assert second.split() == files.certificate.read_text().split()
        assert first != second
        assert await reply(connect(address, caller)) == "hello"
        # Half replaced, or gone: what was good goes on being good.
        files.key.unlink()
        assert await reply(connect(address, caller)) == "hello"


async def test_a_caller_shows_and_believes_what_was_replaced(authority, tmp_path):
    """Though its channel stays: a service that restarts is reached with the files of now."""
    caller, port = authority.issue("gateway"), free_port()
    async with connect(f"127.0.0.1:{port}", caller) as channel:
        async with serving(authority.issue("interpreter"), port):
            assert await reply_on(channel) == "hello"
        # An authority that nobody has heard of yet, in the place of the old one.
        renewed = Authority(tmp_path / "ours")
        server = renewed.issue("interpreter")
        renewed.issue("gateway")
        async with serving(server, port):
            assert await reply_on(channel) == "hello"


async def test_calls_under_way_end_where_they_began(authority):
    go_on = asyncio.Event()

    async def answer(request: Request) -> interpreter_pb2.Interpretation:
        if request.prompt == "slow":
            await go_on.wait()
        return await echo(request)

    caller = authority.issue("gateway")
    opened: list[aio.Channel] = []

    def open_with(shown: grpc.ChannelCredentials) -> aio.Channel:
        opened.append(aio.secure_channel(address, shown))
        return opened[-1]

    async with serving(authority.issue("interpreter"), answer=answer) as address:
        async with RenewedChannel(caller, open_with) as channel:
            slow = asyncio.create_task(reply_on(channel, "slow"))
            assert await reply_on(channel) == "hello"
            authority.issue("gateway")
            assert await reply_on(channel) == "hello"
            assert len(opened) == 2
            assert opened[0].get_state() != grpc.ChannelConnectivity.SHUTDOWN
            go_on.set()
            assert await slow == "slow"
            async with asyncio.timeout(PATIENCE_SECONDS):
                await closed(opened[0])
        await closed(opened[1])


async def closed(channel: aio.Channel) -> None:
    while channel.get_state() != grpc.ChannelConnectivity.SHUTDOWN:  # noqa: ASYNC110 - grpc's own
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("half", ["another key", "no key"])
async def test_a_caller_goes_on_with_what_was_good_while_half_is_replaced(authority, half):
    caller = authority.issue("gateway")
    server = authority.issue("interpreter")
    async with serving(server) as address, connect(address, caller) as channel:
        assert await reply_on(channel) == "hello"
        if half == "no key":
            caller.key.unlink()
        else:
            caller.key.write_bytes(authority.issue("somebody").key.read_bytes())
        assert await reply_on(channel) == "hello"
        authority.issue("gateway")
        assert await reply_on(channel) == "hello"


async def test_a_containers_health_check_shows_a_certificate_too(authority):
    async with serving(authority.issue("interpreter")) as address:
        gateway = authority.issue("gateway")
        for asked in ((INTERPRETER, gateway), ("", gateway, "interpreter")):
            async with asyncio.timeout(PATIENCE_SECONDS):  # each time it waits a few seconds only
                while not await asyncio.to_thread(is_serving, address, *asked):
                    pass
        assert not await asyncio.to_thread(is_serving, address)


def test_half_of_the_files_are_no_settings(authority):
    with pytest.raises(ValidationError, match="TLS needs"):
        Settings(tls_certificate_file=str(authority.file))
    assert Settings().tls is None
