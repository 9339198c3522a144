"""Every service is replaced by a new process while people talk: nobody notices."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from tests.e2e.faults.cluster import SERVICES
from tests.e2e.faults.rolling import RollingCluster
from tests.e2e.faults.talk import Talk, check_events
from tests.postgresql import PostgresqlMissingError, PostgresqlServer
from tests.separator_models import music, write_wav

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONVERSATIONS = 20
THINK_SECONDS = 1.0
ENOUGH_TURNS = 100


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RollingCluster]:
    try:
        postgresql = PostgresqlServer().__enter__()
    except PostgresqlMissingError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    name = f"rolling_{uuid.uuid4().hex}"
    postgresql.execute(f"CREATE DATABASE {name}")
    try:
        with RollingCluster(
            tmp_path / "cluster", postgresql.url(name), str(tmp_path / "blobs"), {}
        ) as started:
            yield started
    finally:
        postgresql.__exit__()


async def test_a_rolling_restart_of_every_service_loses_no_turn(
    cluster: RollingCluster, tmp_path: Path
) -> None:
    song = tmp_path / "song.wav"
    write_wav(song, music(20.0), 8_000)
    options = (("grpc.max_receive_message_length", 8 << 20),)
    async with aio.insecure_channel(cluster.public, options=options) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        first = Talk(stub)
        await first.begin(song)
        session = await stub.GetSession(gateway_pb2.GetSessionRequest(session_id=first.session_id))
        talks = [first, *(Talk(stub) for _ in range(CONVERSATIONS - 1))]
        for talk in talks[1:]:
            begun = await stub.CreateSession(
                gateway_pb2.CreateSessionRequest(track_id=session.track_id)
            )
            talk.session_id = begun.session_id

        over = asyncio.Event()
        conversations = [
            asyncio.create_task(converse(talk, number, over)) for number, talk in enumerate(talks)
        ]
        for name in SERVICES:
            await asyncio.sleep(2)
            await cluster.replace(name)
            assert not any(task.done() for task in conversations), "somebody gave up"
        over.set()
        said = await asyncio.gather(*conversations)

        for talk, count in zip(talks, said, strict=True):
            turns = await talk.turns()
            assert len(turns) == count
            assert {turn.state for turn in turns} == {conversation_pb2.Turn.STATE_COMPLETED}
    check_events(cluster.database_url)
    assert sum(said) > ENOUGH_TURNS
    # Nobody even had to ask twice.
    assert sum(talk.attempts for talk in talks) == sum(said)


async def converse(talk: Talk, number: int, over: asyncio.Event) -> int:
    """Says one thing after the other until it is over; returns how many."""
    count = 0
    while not over.is_set():
        prompt = f"vocals {(count + number) % 9 + 1} dB {'louder' if count % 2 else 'quieter'}"
        await talk.say(prompt, request_id=f"turn-{number}-{count}")
        count += 1
        await asyncio.sleep(THINK_SECONDS)
    return count
