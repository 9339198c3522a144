"""Turns that are cut, left, taken up elsewhere, cancelled. Nothing is lost, nothing comes twice."""

import asyncio
import random
import uuid

import grpc
import pytest
from grpc import aio

from mixdown.conversation.v1 import conversation_pb2
from mixdown.gateway.v1 import gateway_pb2
from mixdown.session.v1 import session_pb2, session_pb2_grpc
from tests.integration.gateway.comparing import heard
from tests.integration.gateway.conftest import (
    DOOMED_SETTINGS,
    GATEWAY,
    Caller,
    Suite,
    call_as,
    eventually,
)
from tests.patience import PATIENCE_SECONDS

DURABLE = {
    *("accepted", "interpreted", "output_started", "output_finished"),
    *("completed", "failed", "cancelled"),
}


class Reader:
    """What a caller knows of a turn: its durable events and the bytes of each output."""

    def __init__(self) -> None:
        self.turn_id = ""
        self.durable: list[conversation_pb2.TurnEvent] = []
        self.files: dict[str, bytes] = {}
        self._news = asyncio.Condition()

    @property
    def ended(self) -> bool:
        return bool(self.durable) and self.durable[-1].WhichOneof("event") in {
            "completed",
            "failed",
            "cancelled",
        }

    @property
    def position(self) -> gateway_pb2.WatchTurnRequest:
        return gateway_pb2.WatchTurnRequest(
            turn_id=self.turn_id,
            after_sequence=self.durable[-1].sequence if self.durable else 0,
            offsets_bytes={name: len(data) for name, data in self.files.items()},
        )

    async def reach(self, kind: str) -> None:
        """Waits until an event of a kind was read."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(
                lambda: kind in {event.WhichOneof("event") for event in self.durable}
            )

    def take(self, event: conversation_pb2.TurnEvent) -> None:
        """Takes an event: durable ones once and in order, bytes without a gap."""
        self.turn_id = event.turn_id
        kind = event.WhichOneof("event")
        if kind in DURABLE:
            assert event.sequence == len(self.durable) + 1
            self.durable.append(event)
        if kind == "audio":
            held = self.files.get(event.audio.name, b"")
            assert event.audio.offset_bytes == len(held)
            self.files[event.audio.name] = held + event.audio.data

    async def read(self, call, stop_after: int | None = None) -> None:
        """Reads a stream; after `stop_after` events cuts it."""
        count = 0
        async for event in call:
            self.take(event)
            async with self._news:
                self._news.notify_all()
            count += 1
            if stop_after is not None and count >= stop_after:
                call.cancel()
                return


async def begin_request(caller: Caller, song, prompt: str, model: str = "", **fields):
    session = await caller.client.create_session(await caller.client.upload(song), model=model)
    return gateway_pb2.ConverseRequest(
        session_id=session.session_id, prompt=prompt, request_id=str(uuid.uuid4()), **fields
    )


async def whole(caller: Caller, request: gateway_pb2.ConverseRequest) -> Reader:
    reader = Reader()
    await reader.read(caller.stub.Converse(request, metadata=caller.metadata))
    return reader


def idle(suite: Suite) -> bool:
    return (
        suite.separations() == 0
        and not list(suite.partial.iterdir())
        and not list(suite.temporary.iterdir())
    )


async def become(holds) -> bool:
    return await asyncio.to_thread(eventually, holds)


async def test_a_turn_cut_at_random_points_gives_the_same_bytes(suite, caller, song):
    uncut = await whole(caller, await begin_request(caller, song, "make the vocals 3 dB louder"))
    assert uncut.ended
    chance = random.Random(5)
    for _ in range(12):
        request = await begin_request(caller, song, "make the vocals 3 dB louder")
        reader = Reader()
        call = caller.stub.Converse(request, metadata=caller.metadata)
        await reader.read(call, stop_after=chance.randint(1, 6))
        cuts = 1
        while not reader.ended:
            # A different gateway each time: what was begun here goes on there.
            other = call_as(suite, caller.metadata[0][1], ("gateway", "gateway-2")[cuts % 2])
            async with other.client:
                call = other.stub.WatchTurn(reader.position, metadata=other.metadata)
                await reader.read(call, stop_after=chance.randint(1, 6))
            cuts += 1
        assert reader.files == uncut.files
        assert [e.WhichOneof("event") for e in reader.durable] == [
            e.WhichOneof("event") for e in uncut.durable
        ]


async def test_a_client_that_goes_away_leaves_no_work_and_no_files(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="stuck")
    reader = Reader()
    call = caller.stub.Converse(request, metadata=caller.metadata)
    async for event in call:
        reader.turn_id = event.turn_id
        if event.HasField("progress") and event.progress.stage == (
            conversation_pb2.Progress.STAGE_SEPARATING
        ):
            break
    assert await become(lambda: suite.separations() == 1)
    call.cancel()
    assert await become(lambda: idle(suite))
    get = gateway_pb2.GetTurnRequest(turn_id=reader.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        turn = await caller.stub.GetTurn(get, metadata=caller.metadata)
        while turn.state != conversation_pb2.Turn.STATE_PENDING:  # it rests
            await asyncio.sleep(0.05)
            turn = await caller.stub.GetTurn(get, metadata=caller.metadata)


async def test_a_deadline_ends_the_work_too(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="stuck")
    with pytest.raises(aio.AioRpcError) as caught:
        await Reader().read(caller.stub.Converse(request, metadata=caller.metadata, timeout=0.4))
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert await become(lambda: idle(suite))


async def test_a_detached_turn_goes_on_without_its_caller(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="slow", detached=True)
    reader = Reader()
    await reader.read(caller.stub.Converse(request, metadata=caller.metadata), stop_after=1)

    turn = conversation_pb2.Turn()
    for _ in range(round(PATIENCE_SECONDS / 0.1)):
        turn = await caller.stub.GetTurn(
            gateway_pb2.GetTurnRequest(turn_id=reader.turn_id), metadata=caller.metadata
        )
        if turn.state == conversation_pb2.Turn.STATE_COMPLETED:
            break
        await asyncio.sleep(0.1)
    assert turn.state == conversation_pb2.Turn.STATE_COMPLETED
    assert [artifact.name for artifact in turn.artifacts] == ["vocals"]
    assert await become(lambda: idle(suite))


async def test_a_second_reader_gets_the_same_bytes_while_the_first_reads(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="slow")
    first, second = Reader(), Reader()
    call = caller.stub.Converse(request, metadata=caller.metadata)
    reading = asyncio.create_task(first.read(call))
    await first.reach("accepted")
    other = call_as(suite, caller.metadata[0][1], "gateway-2")
    async with other.client:
        watch = gateway_pb2.WatchTurnRequest(turn_id=first.turn_id)
        await second.read(other.stub.WatchTurn(watch, metadata=other.metadata))
    await reading
    assert second.files == first.files
    assert second.durable == first.durable
    assert first.files["vocals"]


async def test_a_cancelled_turn_stops_at_once_for_everybody(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="stuck")
    first, second = Reader(), Reader()
    call = caller.stub.Converse(request, metadata=caller.metadata)
    reading = asyncio.create_task(first.read(call))
    await first.reach("output_started")
    watch = gateway_pb2.WatchTurnRequest(turn_id=first.turn_id)
    watching = asyncio.create_task(
        second.read(caller.stub.WatchTurn(watch, metadata=caller.metadata))
    )
    turn = await caller.stub.CancelTurn(
        gateway_pb2.CancelTurnRequest(turn_id=first.turn_id), metadata=caller.metadata
    )
    assert turn.state == conversation_pb2.Turn.STATE_CANCELLED
    await asyncio.wait_for(asyncio.gather(reading, watching), PATIENCE_SECONDS)
    assert first.durable[-1].WhichOneof("event") == "cancelled"
    assert second.durable == first.durable
    assert await become(lambda: idle(suite))


async def test_a_turn_cancelled_on_another_gateway_stops_too(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="stuck")
    reader = Reader()
    call = caller.stub.Converse(request, metadata=caller.metadata)
    reading = asyncio.create_task(reader.read(call))
    await reader.reach("accepted")
    other = call_as(suite, caller.metadata[0][1], "gateway-2")
    async with other.client:
        await other.stub.CancelTurn(
            gateway_pb2.CancelTurnRequest(turn_id=reader.turn_id), metadata=other.metadata
        )
    await asyncio.wait_for(reading, PATIENCE_SECONDS)
    assert reader.durable[-1].WhichOneof("event") == "cancelled"
    assert await become(lambda: idle(suite))


async def test_a_silent_turn_sends_heartbeats(suite, caller, song):
    # Somebody else holds the turn and says nothing.
    session = await caller.client.create_session(await caller.client.upload(song))
    user = caller.metadata[0][1]
    async with aio.insecure_channel(suite.address("session")) as channel:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        work = await stub.BeginTurn(
            session_pb2.BeginTurnRequest(
                user_id=user,
                session_id=session.session_id,
                request_id="silent",
                prompt="only the vocals",
                holder="test",
            )
        )
        watch = gateway_pb2.WatchTurnRequest(turn_id=work.turn.turn_id)
        call = caller.stub.WatchTurn(watch, metadata=caller.metadata)
        beats = 0
        async for event in call:
            beats += event.HasField("heartbeat")
            assert event.turn_id == work.turn.turn_id
            assert event.sequence == 1
            if beats == 2:
                break
        # Given back, it is taken up by whoever watches.
        await stub.ReleaseTurn(
            session_pb2.ReleaseTurnRequest(turn_id=work.turn.turn_id, lease_token=work.lease.token)
        )
        kinds = [event.WhichOneof("event") async for event in call]
        assert kinds[-1] == "completed"


async def test_another_turn_of_the_session_has_to_wait(suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="stuck")
    call = caller.stub.Converse(request, metadata=caller.metadata)
    async for event in call:
        if event.HasField("interpreted"):
            break
    request.request_id = "another"
    with pytest.raises(aio.AioRpcError) as caught:
        await Reader().read(caller.stub.Converse(request, metadata=caller.metadata))
    assert caught.value.code() == grpc.StatusCode.ABORTED
    call.cancel()


async def test_many_at_once_each_get_their_own_and_leave_nothing(suite: Suite, caller, song):
    expected = await whole(caller, await begin_request(caller, song, "only the vocals"))
    chance = random.Random(11)

    async def user(number: int) -> None:
        gateway = ("gateway", "gateway-2")[number % 2]
        mine = call_as(suite, f"one-of-many-{uuid.uuid4().hex}", gateway)
        async with mine.client:
            model = chance.choice(["shares", "slow"])
            request = await begin_request(mine, song, "only the vocals", model=model)
            fate = chance.choice(["whole", "cut", "leave", "cancel"])
            reader = Reader()
            call = mine.stub.Converse(request, metadata=mine.metadata)
            stop = None if fate == "whole" else chance.randint(1, 5)
            await reader.read(call, stop_after=stop)
            if fate == "cancel":
                cancel = gateway_pb2.CancelTurnRequest(turn_id=reader.turn_id)
                await mine.stub.CancelTurn(cancel, metadata=mine.metadata)
            if fate in {"cut", "cancel"} and not reader.ended:
                await reader.read(mine.stub.WatchTurn(reader.position, metadata=mine.metadata))
            last = reader.durable[-1].WhichOneof("event") if reader.ended else ""
            if fate in {"whole", "cut"} or last == "completed":
                assert last == "completed"
                assert heard(reader.files) == heard(expected.files)
            elif fate == "cancel":
                assert last == "cancelled"

    await asyncio.gather(*(user(number) for number in range(24)))
    assert await become(lambda: idle(suite))


# The tests that kill come last: what a killed process leaves goes only a day later.


async def test_a_gateway_that_is_killed_loses_no_turn(suite: Suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="slow")
    reader = Reader()
    suite.start("gateway-3", GATEWAY, **DOOMED_SETTINGS)
    suite.wait("gateway-3")
    doomed = call_as(suite, caller.metadata[0][1], "gateway-3")
    async with doomed.client:
        call = doomed.stub.Converse(request, metadata=doomed.metadata)
        await reader.read(call, stop_after=8)
        suite.kill("gateway-3")
    while not reader.ended:  # the dead gateway's lease has to run out first
        call = caller.stub.WatchTurn(reader.position, metadata=caller.metadata)
        await reader.read(call)
    uncut = await whole(caller, await begin_request(caller, song, "only the vocals"))
    assert heard(reader.files) == heard(uncut.files)


async def test_a_turn_whose_gateway_was_killed_is_finished_though_nobody_asks(
    suite: Suite, caller, song
):
    request = await begin_request(caller, song, "only the vocals", model="slow")
    reader = Reader()
    suite.start("gateway-4", GATEWAY, **DOOMED_SETTINGS)
    suite.wait("gateway-4")
    doomed = call_as(suite, caller.metadata[0][1], "gateway-4")
    async with doomed.client:
        call = doomed.stub.Converse(request, metadata=doomed.metadata)
        reading = asyncio.create_task(reader.read(call))
        await reader.reach("output_started")
        suite.kill("gateway-4")
        with pytest.raises(aio.AioRpcError):
            await reading
    get = gateway_pb2.GetTurnRequest(turn_id=reader.position.turn_id)
    async with asyncio.timeout(PATIENCE_SECONDS):
        turn = await caller.stub.GetTurn(get, metadata=caller.metadata)
        while turn.state != conversation_pb2.Turn.STATE_COMPLETED:
            await asyncio.sleep(0.2)
            turn = await caller.stub.GetTurn(get, metadata=caller.metadata)
    assert turn.attempt_count == 2
    assert [artifact.name for artifact in turn.artifacts] == ["vocals"]


async def test_a_remixer_that_is_killed_costs_a_pause_only(suite: Suite, caller, song):
    request = await begin_request(caller, song, "only the vocals", model="slow")
    reader = Reader()
    call = caller.stub.Converse(request, metadata=caller.metadata)
    reading = asyncio.create_task(reader.read(call))
    await reader.reach("output_started")
    suite.kill("remixer")
    suite.start("remixer", "services.remixer")
    try:
        await reading
    except aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
    await asyncio.to_thread(suite.wait, "remixer")
    if not reader.ended:
        await reader.read(caller.stub.WatchTurn(reader.position, metadata=caller.metadata))
    assert [e.WhichOneof("event") for e in reader.durable][-1] == "completed"
    uncut = await whole(caller, await begin_request(caller, song, "only the vocals"))
    assert heard(reader.files) == heard(uncut.files)
