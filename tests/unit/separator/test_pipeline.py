"""The way of a track's segments: in order, side by side, bounded, and gone when it ends early."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.separator.overlap_add import StemSamples
from services.separator.pipeline import Pipeline, segments_ahead
from services.separator.scheduler import Result
from tests.patience import PATIENCE_SECONDS

OUTPUT: StemSamples = np.zeros((1, 2, 4), np.float32)


class Track:
    """Segments that a device computes when it is told to."""

    def __init__(self, segments: int, most: int) -> None:
        self.begun: list[Result] = []
        self.ended: list[int] = []
        self.most_under_way = 0
        self.hold: asyncio.Event | None = None
        self.fail_at: int | None = None
        self.pipeline = Pipeline(segments, lambda: most, self.begin, self.end)

    async def begin(self, number: int) -> Result:
        await asyncio.sleep(0)
        if number == self.fail_at:
            raise ValueError("damaged")
        self.begun.append(asyncio.get_running_loop().create_future())
        self.most_under_way = max(self.most_under_way, len(self.begun) - len(self.ended))
        return self.begun[-1]

    async def end(self, number: int, output: StemSamples) -> None:
        if self.hold is not None:
            await self.hold.wait()
        self.ended.append(number)

    async def until_begun(self, segments: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(self.begun) < segments:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def compute_all(track: Track, end: int, first: int = 0) -> None:
    for number in range(first, end):
        await track.until_begun(number + 1)
        track.begun[number].set_result(OUTPUT)


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_segments_are_ended_in_their_order_and_never_more_are_under_way(most: int) -> None:
    track = Track(20, most)
    await asyncio.gather(track.pipeline.run(), compute_all(track, 20))
    assert track.ended == list(range(20))
    assert 1 <= track.most_under_way <= most


async def test_segments_are_begun_while_another_one_is_ended() -> None:
    track = Track(10, 4)
    track.hold = asyncio.Event()
    running = asyncio.create_task(track.pipeline.run())
    await compute_all(track, 4)  # though the first is still held while it is collected
    for _ in range(20):
        await asyncio.sleep(0)
    assert (len(track.begun), track.ended) == (4, [])
    track.hold.set()
    await asyncio.gather(running, compute_all(track, 10, first=4))
    assert track.ended == list(range(10))


async def test_the_first_segment_is_ended_before_all_that_may_be_under_way_are_begun() -> None:
    """So that the first audio does not wait until a whole batch, or two, have been cut."""
    track = Track(100, 32)
    begin = track.begin
    held = asyncio.Event()

    async def begin_two(number: int) -> Result:
        if number == 2:
            await held.wait()
        return await begin(number)

    track.pipeline._begin = begin_two
    running = asyncio.create_task(track.pipeline.run())
    await compute_all(track, 2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(track.ended) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("way", ["cancelled", "cut", "computed"])
async def test_whatever_ends_it_early_nothing_is_left_on_its_way_to_the_device(way: str) -> None:
    track = Track(20, 4)
    if way == "cut":
        track.fail_at = 3
    running = asyncio.create_task(track.pipeline.run())
    await track.until_begun(3)
    if way == "cancelled":
        running.cancel()
    elif way == "computed":
        track.begun[0].set_exception(ValueError("broken"))
    with pytest.raises((ValueError, asyncio.CancelledError)) as caught:
        await running
    assert isinstance(caught.value, ValueError) == (way != "cancelled")
    assert all(result.done() for result in track.begun)


@given(at_once=st.integers(1, 64), tracks=st.integers(1, 64))
def test_all_tracks_together_keep_the_device_busy_and_as_much_waiting(
    at_once: int, tracks: int
) -> None:
    ahead = segments_ahead(at_once, tracks)
    assert ahead >= 2
    assert 2 * at_once <= ahead * tracks <= 2 * at_once + 2 * tracks
