"""A separator that goes costs no turn, and separators that have enough make turns wait."""

from __future__ import annotations

import asyncio
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

import mixdown
from mixdown.conversation.v1 import conversation_pb2
from mixdown.errors import error_from_call
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mixdown.separator.v1 import separator_pb2, separator_pb2_grpc
from services.local.envoy import EnvoySettings
from services.local.suite import SERVICES
from tests.integration.edge.conftest import running_envoy
from tests.integration.gateway.comparing import samples_of
from tests.integration.gateway.conftest import Suite, eventually, free_port, noise_wav
from tests.patience import PATIENCE_SECONDS

SEPARATOR = "tests.integration.gateway.separator_double"
CALLS = 6
TURNS = 6
SEPARATORS = ("separator", "separator-2")


@dataclass
class Cluster:
    """Two separators behind one Envoy, and everything in front of them."""

    suite: Suite
    port: int
    admin_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def hold(self) -> Path:
        """While this file is there, turns with the model "held" stay under way."""
        return self.suite.folder / "held"

    def finds_all(self) -> bool:
        """Tells whether Envoy has found all separators to be well."""
        url = f"http://127.0.0.1:{self.admin_port}/clusters"
        with urllib.request.urlopen(url) as answer:
            lines = answer.read().decode().splitlines()
        return all(
            f"separator::{self.suite.address(name)}::health_flags::healthy" in lines
            for name in SEPARATORS
        )

    def start_separator(self, name: str, drain_seconds: float) -> None:
        self.suite.start(
            name,
            SEPARATOR,
            MIXDOWN_DRAIN_SECONDS=str(drain_seconds),
            COUNTER_FILE=str(self.counter(name)),
        )
        self.suite.wait(name)

    def counter(self, name: str) -> Path:
        return self.suite.folder / f"{name}.count"

    def running(self, name: str) -> int:
        return int(self.counter(name).read_text() or 0)

    def at_work(self) -> int:
        return sum(self.running(name) for name in SEPARATORS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    suite = Suite(tmp_path_factory.mktemp("cluster"))
    suite.temporary.mkdir()
    suite.ports = {name: free_port() for name in (*SERVICES, "separator-2", "internal")}
    cluster = Cluster(suite, free_port(), free_port())
    through_envoy = {
        f"MIXDOWN_{name.upper()}_ADDRESS": suite.address("internal") for name in SERVICES
    }
    settings = EnvoySettings(
        address="127.0.0.1",
        port=cluster.port,
        internal_port=suite.ports["internal"],
        admin_port=cluster.admin_port,
        ports={name: suite.ports[name] for name in SERVICES},
        folder=suite.folder,
        separator_calls=CALLS,
    )

    def add_separator(config: dict[str, Any]) -> None:
        clusters = {found["name"]: found for found in config["static_resources"]["clusters"]}
        # Whoever has less to do is asked: of only two draws both would often be the same one.
        clusters["separator"]["least_request_lb_config"] = {"choice_count": 32}
        (locality,) = clusters["separator"]["load_assignment"]["endpoints"]
        address = {"address": "127.0.0.1", "port_value": suite.ports["separator-2"]}
        locality["lb_endpoints"].append({"endpoint": {"address": {"socket_address": address}}})

    try:
        suite.start("session", "services.session")
        suite.start("interpreter", "services.interpreter", MIXDOWN_ENGINE="builtin")
        suite.start("remixer", "services.remixer", **through_envoy)
        suite.start(
            "gateway",
            "services.gateway",
            **through_envoy,
            MIXDOWN_DEVELOPMENT_USER="local",
            MIXDOWN_PATIENCE_SECONDS="20",
        )
        for name in SEPARATORS:
            cluster.start_separator(name, drain_seconds=20)
        suite.wait("session", "interpreter", "remixer")
        suite.wait("gateway", reaching=False)
        with running_envoy(settings, add_separator):
            suite.wait("gateway")
            yield cluster
    finally:
        suite.stop()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds, which the slow model takes two for."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    path.write_bytes(noise_wav(10.0, seed=21))
    return path


async def stem(client: mixdown.Client, track: Any, model: str, folder: Path) -> bytes:
    session = await client.create_session(track, model=model)
    turn = await session.separate(["vocals"], folder=folder)
    return samples_of(turn.files[0].path.read_bytes())


@pytest.mark.parametrize(
    ("name", "drain_seconds"),
    [("separator", 20), ("separator-2", 0.3)],
    ids=["with time", "cut off"],
)
async def test_a_separator_that_drains_fails_no_turn(cluster, tmp_path, name, drain_seconds):
    cluster.suite.processes[name].terminate()
    cluster.suite.processes[name].wait(PATIENCE_SECONDS)
    cluster.start_separator(name, drain_seconds)
    assert await asyncio.to_thread(eventually, cluster.finds_all)
    cluster.hold.touch()
    async with mixdown.connect(cluster.address) as client:
        # Other bytes for each turn: what was made before is not made again.
        paths = [tmp_path / f"{number}.wav" for number in range(2 * TURNS)]
        seed = round(drain_seconds * 100) + len(name) * 1000
        for number, path in enumerate(paths):
            path.write_bytes(noise_wav(6.0, seed=seed + number))
        tracks = [await client.upload(path) for path in paths]
        turns: list[asyncio.Task[bytes]] = []

        def begin_another() -> None:
            number = len(turns)
            work = stem(client, tracks[number], "held", tmp_path / f"turn {number}")
            turns.append(asyncio.create_task(work))

        while len(turns) < TURNS:
            begin_another()
            assert await asyncio.to_thread(eventually, lambda: cluster.at_work() == len(turns))
        assert all(cluster.running(one) > 0 for one in SEPARATORS)
        process = cluster.suite.processes[name]
        process.send_signal(signal.SIGTERM)
        while len(turns) < 2 * TURNS:
            begin_another()
        if drain_seconds < 1:  # what it has under way is cut off for certain
            assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
        cluster.hold.unlink()
        found = await asyncio.gather(*turns)
        # The double's vocals are half of the song, whoever gave which part of them.
        expected = [
            await stem(client, track, "shares", tmp_path / f"expected {number}")
            for number, track in enumerate(tracks)
        ]
    assert found == expected
    assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0
    cluster.start_separator(name, drain_seconds=20)


@asynccontextmanager
async def all_places_taken(cluster: Cluster, track: Any) -> AsyncIterator[None]:
    """Calls of the separators, as many as the breaker lets through."""
    async with aio.insecure_channel(cluster.suite.address("internal")) as channel:
        stub = separator_pb2_grpc.SeparatorServiceStub(channel)
        request = separator_pb2.SeparateRequest(track=track.blob, model="stuck", stems=["bass"])
        calls: list[aio.UnaryStreamCall] = []

        async def take_a_place() -> bool:
            call = stub.Separate(request)
            try:
                await call.read()
            except aio.AioRpcError as error:  # calls before may count yet, though they have ended
                assert error.code() == grpc.StatusCode.UNAVAILABLE
                return False
            calls.append(call)
            return True

        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(calls) < CALLS:
                if not await take_a_place():
                    await asyncio.sleep(0.05)
        yield
        for call in calls:
            call.cancel()


async def test_a_turn_waits_while_the_breaker_is_open(cluster, song, tmp_path):
    async with mixdown.connect(cluster.address) as client:
        track = await client.upload(song)
        session = await client.create_session(track, model="shares")
        waited = asyncio.Event()

        def see(event: conversation_pb2.TurnEvent) -> None:
            if event.progress.stage == conversation_pb2.Progress.STAGE_QUEUED:
                waited.set()

        async with all_places_taken(cluster, track):
            turn = asyncio.create_task(session.separate(["drums"], folder=tmp_path, on_event=see))
            await asyncio.wait_for(waited.wait(), PATIENCE_SECONDS)
            assert not turn.done()
        assert [file.name for file in (await turn).files] == ["drums"]


async def test_a_turn_says_that_the_separators_have_enough_and_rests(cluster, song, tmp_path):
    async with (
        mixdown.connect(cluster.address) as client,
        aio.insecure_channel(cluster.address) as channel,
    ):
        track = await client.upload(song)
        session = await client.create_session(track, model="slow")
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        request = gateway_pb2.SeparateRequest(session_id=session.session_id, stems=["other"])
        events = []
        async with all_places_taken(cluster, track):
            with pytest.raises(aio.AioRpcError) as caught:
                async for event in stub.Separate(request):
                    events.append(event)
        told = error_from_call(caught.value, cluster.address)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
        assert told.retry_after_seconds == 1.0
        turn = await client.wait_for(events[0].turn_id, folder=tmp_path)
        assert [file.name for file in turn.files] == ["other"]
