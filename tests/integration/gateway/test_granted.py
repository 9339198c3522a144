"""A lease that is granted to somebody who has gone meanwhile is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc import aio

from mixdown.session.v1 import session_pb2, session_pb2_grpc
from services.gateway.lease import granted

TURN = "a turn"
TOKEN = 7


class Sessions(session_pb2_grpc.SessionServiceServicer):
    """Grants a lease, whoever still waits for it, and keeps what is given back."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.refuses = False
        self.given_back: list[session_pb2.ReleaseTurnRequest] = []

    async def ClaimTurn(self, request, context):
        self.asked.set()
        await self.go.wait()
        if self.refuses:
            await context.abort(grpc.StatusCode.ABORTED, "Somebody else was faster.")
        return work()

    async def ReleaseTurn(self, request, context):
        self.given_back.append(request)
        return empty_pb2.Empty()


def work() -> session_pb2.Work:
    granted_work = session_pb2.Work(lease=session_pb2.Lease(token=TOKEN))
    granted_work.turn.turn_id = TURN
    return granted_work


@pytest.fixture
async def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
async def stub(sessions: Sessions) -> AsyncIterator[session_pb2_grpc.SessionServiceAsyncStub]:
    server = aio.server()
    session_pb2_grpc.add_SessionServiceServicer_to_server(sessions, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield session_pb2_grpc.SessionServiceStub(channel)
    await server.stop(None)


async def test_whoever_waits_for_a_lease_gets_it(sessions, stub):
    sessions.go.set()
    claim = stub.ClaimTurn(session_pb2.ClaimTurnRequest())
    assert await granted(stub, claim, goes_on=False) == work()
    assert not sessions.given_back


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_lease_that_comes_after_its_asker_has_gone_is_given_back(sessions, stub, goes_on):
    claim = stub.ClaimTurn(session_pb2.ClaimTurnRequest())
    asker = asyncio.create_task(granted(stub, claim, goes_on=goes_on))
    await sessions.asked.wait()
    asker.cancel()
    sessions.go.set()
    with pytest.raises(asyncio.CancelledError):
        await asker
    (given_back,) = sessions.given_back
    assert (given_back.turn_id, given_back.lease_token, given_back.go_on) == (TURN, TOKEN, goes_on)


async def test_a_lease_that_comes_as_its_asker_goes_is_given_back(sessions, stub):
    answer: asyncio.Future[session_pb2.Work] = asyncio.get_running_loop().create_future()
    asker = asyncio.create_task(granted(stub, answer, goes_on=False))
    await asyncio.sleep(0)  # it waits for the answer now
    answer.set_result(work())
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert [request.lease_token for request in sessions.given_back] == [TOKEN]


async def test_what_was_refused_is_not_given_back(sessions, stub):
    sessions.refuses = True
    claim = stub.ClaimTurn(session_pb2.ClaimTurnRequest())
    asker = asyncio.create_task(granted(stub, claim, goes_on=False))
    await sessions.asked.wait()
    asker.cancel()
    sessions.go.set()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert not sessions.given_back
