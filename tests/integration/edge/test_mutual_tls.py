"""A whole turn whose every step between services shows certificates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio

import mixdown
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.local.envoy import EnvoySettings
from services.local.suite import SERVICES
from services.runtime.channels import connect
from services.runtime.tls import TlsFiles
from tests.certificates import Authority, settings_of
from tests.integration.edge.conftest import running_envoy
from tests.integration.gateway.conftest import Suite, eventually, free_port, noise_wav
from tests.patience import PATIENCE_SECONDS

MODULES = {
    **{name: f"services.{name}" for name in SERVICES},
    "separator": "tests.integration.gateway.separator_double",
}


@dataclass
class Secured:
    """The suite with certificates."""

    suite: Suite
    authority: Authority
    envoy: TlsFiles
    port: int

    @property
    def internal(self) -> str:
        return self.suite.address("internal")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    suite = Suite(tmp_path_factory.mktemp("secured"))
    suite.temporary.mkdir()
    suite.ports = {name: free_port() for name in (*SERVICES, "internal")}
    authority = Authority(suite.folder / "certificates")
    envoy = authority.issue("envoy")
    through_envoy = {
        f"MIXDOWN_{name.upper()}_ADDRESS": suite.address("internal") for name in SERVICES
    }
    settings = EnvoySettings(
        address="127.0.0.1",
        port=free_port(),
        internal_port=suite.ports["internal"],
        admin_port=free_port(),
        ports={name: suite.ports[name] for name in SERVICES},
        folder=suite.folder,
        tls=envoy,
    )
    try:
        for name in SERVICES:
            own = settings_of(authority.issue(name))
            user = {"MIXDOWN_DEVELOPMENT_USER": "local"} if name == "gateway" else {}
            engine = {"MIXDOWN_ENGINE": "builtin"}
            suite.start(name, MODULES[name], **through_envoy, **own, **user, **engine)
        with running_envoy(settings):
            yield Secured(suite, authority, envoy, settings.port)
    finally:
        suite.stop()


async def test_a_turn_goes_all_the_way_and_back(secured: Secured, tmp_path: Path):
    song = tmp_path / "song.wav"
    song.write_bytes(noise_wav(1.0))
    async with mixdown.connect(f"127.0.0.1:{secured.port}") as client:
        session = await client.create_session(await client.upload(song))
        turn = await session.ask("only the vocals", folder=tmp_path / "out")
    assert [file.name for file in turn.files] == ["vocals"]


@pytest.mark.parametrize("name", [*SERVICES, "internal"])
async def test_nobody_talks_to_a_service_in_the_clear_or_as_a_stranger(
    secured: Secured, tmp_path: Path, name
):
    stranger = Authority(tmp_path).issue("gateway")
    forged = TlsFiles(stranger.certificate, stranger.key, secured.authority.file)
    for tls in (None, forged):
        async with connect(secured.suite.address(name), tls) as channel:
            stub = session_pb2_grpc.SessionServiceStub(channel)
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.ListTracks(
                    session_pb2.ListTracksRequest(user_id="local"), timeout=PATIENCE_SECONDS
                )
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_envoy_shows_a_certificate_that_was_replaced(secured: Secured):
    host, port = secured.internal.split(":")

    def is_shown() -> bool:
        shown = ssl.get_server_certificate((host, int(port)))
        return shown.split() == secured.envoy.certificate.read_text().split()

    assert is_shown()
    secured.authority.issue("envoy")
    assert eventually(is_shown)
