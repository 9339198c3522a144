"""Whatever dies, every turn ends once, with the same files as if nothing had happened."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2_grpc
from services.runtime.blobs import open_blob_store
from tests.e2e.faults.cluster import Cluster
from tests.e2e.faults.talk import PROMPTS, Talk, check_blobs, check_events
from tests.postgresql import PostgresqlMissingError, PostgresqlServer
from tests.s3 import BUCKET, S3MissingError, S3Server
from tests.separator_models import music, write_wav

pytestmark = pytest.mark.timeout(1800)

VICTIMS = ("session", "gateway", "remixer", "separator")

Fault = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    try:
        server = PostgresqlServer().__enter__()
    except PostgresqlMissingError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    yield server
    server.__exit__()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    try:
        server = S3Server().__enter__()
    except S3MissingError as error:
        pytest.skip(f"no S3: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.__exit__()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Where nothing ever happens: SQLite and a folder."""
    folder = tmp_path_factory.mktemp("quiet")
    with Cluster(folder, f"sqlite:///{folder}/session.db", str(folder / "blobs"), {}) as started:
        yield started


@pytest.fixture
def cluster(
    postgresql: PostgresqlServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    name = f"faults_{uuid.uuid4().hex}"
    postgresql.execute(f"CREATE DATABASE {name}")
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, postgresql.url(name), f"s3://{BUCKET}/{name}", s3.environment) as started:
        yield started


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    write_wav(path, music(20.0), 8_000)
    return path


@asynccontextmanager
async def talking(cluster: Cluster) -> AsyncIterator[Talk]:
    options = (
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
        ("grpc.max_receive_message_length", 8 << 20),
    )
    async with aio.insecure_channel(cluster.address("gateway"), options=options) as channel:
        yield Talk(gateway_pb2_grpc.GatewayServiceStub(channel))


@dataclass(frozen=True)
class Held:
    """A conversation that was held: the files of each turn by name."""

    track_sha256: str
    turns: list[conversation_pb2.Turn]
    files: list[dict[str, str]]


async def converse(
    cluster: Cluster, song: Path, count: int, faults: Mapping[int, Fault] | None = None
) -> Held:
    """Holds a conversation while a fault happens in some of its turns."""
    files: list[dict[str, str]] = []
    async with talking(cluster) as talk:
        track_sha256 = await talk.begin(song)
        for number in range(count):
            fault = (faults or {}).get(number)
            task = asyncio.create_task(fault()) if fault else None
            prompt = PROMPTS[number % len(PROMPTS)]
            files.append(await talk.say(prompt, request_id=f"turn-{number}"))
            if task is not None:
                await task
        return Held(track_sha256, await talk.turns(), files)


async def check(cluster: Cluster, s3: S3Server, song: Path, held: Held, quiet: Cluster) -> None:
    """Checks history, events, files and blobs, against the same conversation without faults."""
    count = len(held.files)
    assert [turn.prompt for turn in held.turns] == [
        PROMPTS[number % len(PROMPTS)] for number in range(count)
    ]
    assert [turn.request_id for turn in held.turns] == [f"turn-{n}" for n in range(count)]
    assert {turn.state for turn in held.turns} == {conversation_pb2.Turn.STATE_COMPLETED}
    stored = [{file.name: file.blob.sha256 for file in turn.artifacts} for turn in held.turns]
    assert stored == held.files
    assert (await converse(quiet, song, count)).files == held.files
    check_events(cluster.database_url)
    check_blobs(open_blob_store(cluster.blob_store, s3.settings), held.track_sha256, held.turns)


def later(random_delay: random.Random, fault: Fault, longest: float = 1.5) -> Fault:
    seconds = random_delay.uniform(0, longest)

    async def wait_and_fail() -> None:
        await asyncio.sleep(seconds)
        await fault()

    return wait_and_fail


async def test_turns_survive_the_death_of_each_service(
    cluster: Cluster, quiet: Cluster, s3: S3Server, song: Path
) -> None:
    draw = random.Random(6)
    faults = {
        number: later(draw, partial(cluster.kill, victim), longest=0.6)
        for number, victim in enumerate(VICTIMS)
    }
    held = await converse(cluster, song, 5, faults)
    await check(cluster, s3, song, held, quiet)


@pytest.mark.slow
async def test_fifty_turns_survive_everything(
    cluster: Cluster, quiet: Cluster, s3: S3Server, postgresql: PostgresqlServer, song: Path
) -> None:
    draw = random.Random(66)

    async def restart_postgresql() -> None:
        await asyncio.to_thread(postgresql.stop)
        await asyncio.to_thread(postgresql.start)

    async def stop_s3_for_10_s() -> None:
        await asyncio.to_thread(s3.stop)
        await asyncio.sleep(10)
        await asyncio.to_thread(s3.start)

    faults = {
        number: later(draw, partial(cluster.kill, draw.choice(VICTIMS))) for number in range(50)
    }
    faults |= {number: later(draw, restart_postgresql) for number in (7, 23, 41)}
    faults |= {number: later(draw, stop_s3_for_10_s) for number in (11, 37)}
    held = await converse(cluster, song, 50, faults)
    await check(cluster, s3, song, held, quiet)
