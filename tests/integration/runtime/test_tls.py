"""Services that show each other certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from pydantic import ValidationError

from mixdown.interpreter.v1 import interpreter_pb2, interpreter_pb2_grpc
from services.runtime.channels import connect
from services.runtime.probe import is_serving
from services.runtime.server import Server
from services.runtime.settings import Settings
from services.runtime.tls import TlsFiles
from tests.certificates import Authority
from tests.integration.runtime.servicers import INTERPRETER, Interpreter
from tests.patience import PATIENCE_SECONDS

Request = interpreter_pb2.InterpretRequest


async def echo(request: Request) -> interpreter_pb2.Interpretation:
    return interpreter_pb2.Interpretation(reply=request.prompt)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@asynccontextmanager
async def serving(files: TlsFiles) -> AsyncIterator[str]:
    settings = Settings(
        listen="127.0.0.1:0",
        drain_seconds=0,
        tls_certificate_file=str(files.certificate),
        tls_key_file=str(files.key),
        tls_ca_file=str(files.authority),
    )
    add: Callable[[aio.Server], None] = lambda server: (  # noqa: E731
        interpreter_pb2_grpc.add_InterpreterServiceServicer_to_server(Interpreter(echo), server)
    )
    server = Server(settings, [INTERPRETER], add)
    await server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop()


async def reply(channel: aio.Channel) -> str:
    async with channel:
        stub = interpreter_pb2_grpc.InterpreterServiceStub(channel)
        return (await stub.Interpret(Request(prompt="hello"), timeout=PATIENCE_SECONDS)).reply


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


async def test_a_containers_health_check_shows_a_certificate_too(authority):
    async with serving(authority.issue("interpreter")) as address:
        gateway = authority.issue("gateway")
        assert await asyncio.to_thread(is_serving, address, INTERPRETER, gateway)
        assert await asyncio.to_thread(is_serving, address, "", gateway, "interpreter")
        assert not await asyncio.to_thread(is_serving, address)


def test_half_of_the_files_are_no_settings(authority):
    with pytest.raises(ValidationError, match="TLS needs"):
        Settings(tls_certificate_file=str(authority.file))
    assert Settings().tls is None
