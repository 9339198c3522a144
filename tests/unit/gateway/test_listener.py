"""Who listens gets what it has not got, at its own pace."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixdown.conversation.v1 import conversation_pb2
from services.gateway.listener import Listener, Wish
from services.runtime.errors import InternalError
from tests.metrics import growth
from tests.patience import PATIENCE_SECONDS


def durable(sequence: int) -> conversation_pb2.TurnEvent:
    return conversation_pb2.TurnEvent(
        turn_id="turn", sequence=sequence, accepted=conversation_pb2.Accepted()
    )


async def drain(listener: Listener) -> list[conversation_pb2.TurnEvent]:
    ending = asyncio.create_task(listener.end())  # which waits while the pipe is full
    events = []
    while (event := await listener.next(PATIENCE_SECONDS)) is not None:
        events.append(event)
    await ending
    return events


async def test_durable_events_that_the_reader_has_are_not_sent():
    listener = Listener(Wish(after_sequence=2), "turn")
    for sequence in (1, 2, 3):
        await listener.durable(durable(sequence))
    assert [event.sequence for event in await drain(listener)] == [3]


async def test_passing_events_carry_the_number_of_the_last_durable_one():
    listener = Listener(Wish(), "turn")
    await listener.durable(durable(7))
    await listener.passing(progress=conversation_pb2.Progress(fraction=0.5))
    assert [event.sequence for event in await drain(listener)] == [7, 7]


@given(
    data=st.binary(min_size=1, max_size=200),
    offset=st.integers(0, 200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    overlap=st.integers(0, 20),
)
def test_audio_continues_where_the_reader_is_whatever_is_sent_again(data, offset, cuts, overlap):
    async def check():
        have = min(offset, len(data))
        listener = Listener(Wish(offsets_bytes={"mix": have}), "turn")
        received = data[:have]
        edges = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
        for edge, end in itertools.pairwise(edges):
            begin = max(0, edge - overlap)
            await listener.audio("mix", begin, data[begin:end])
            while not listener._pipe.empty():
                event = await listener.next(PATIENCE_SECONDS)
                assert event.audio.offset_bytes == len(received)
                received += event.audio.data
        assert received == data

    asyncio.run(check())


async def test_missing_bytes_are_a_defect():
    listener = Listener(Wish(), "turn")
    with pytest.raises(InternalError):
        await listener.audio("mix", 1, b"x")


async def test_who_wants_events_only_gets_no_audio_but_keeps_its_place():
    sent = growth("mixdown_gateway_sent_bytes_total", way="turn")
    listener = Listener(Wish(audio=False), "turn")
    await listener.audio("mix", 0, b"abc")
    assert await drain(listener) == []
    assert listener.offsets_bytes == {"mix": 3}
    assert sent() == 0


async def test_audio_counts_as_far_as_it_is_sent():
    sent = growth("mixdown_gateway_sent_bytes_total", way="turn")
    listener = Listener(Wish(offsets_bytes={"mix": 2}), "turn")
    await listener.audio("mix", 0, b"12345")
    assert sent() == 3


async def test_a_slow_reader_makes_the_work_wait():
    listener = Listener(Wish(), "turn")

    async def work():
        for number in range(100):
            await listener.audio("mix", number, b"x")
        await listener.end()

    working = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    assert not working.done()
    assert listener.offsets_bytes["mix"] < 12
    count = 0
    while await listener.next(PATIENCE_SECONDS) is not None:
        count += 1
    assert count == 100
    await working


async def test_a_reader_that_has_gone_keeps_nobody_waiting():
    listener = Listener(Wish(), "turn")

    async def work():
        for number in range(100):
            await listener.audio("mix", number, b"x")

    working = asyncio.create_task(work())
    await asyncio.sleep(0.02)
    listener.leave()
    await asyncio.wait_for(working, PATIENCE_SECONDS)
    assert not listener.wants_audio


async def test_silence_brings_heartbeats():
    listener = Listener(Wish(after_sequence=4), "turn")
    event = await listener.next(0.01)
    assert event is not None
    assert event.HasField("heartbeat")
    assert (event.turn_id, event.sequence) == ("turn", 4)
