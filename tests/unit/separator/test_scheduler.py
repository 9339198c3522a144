"""The scheduler: fair, in order, in batches, and hard to kill."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt
import pytest

from services.separator.backends.backend import DeadDeviceError, DeviceMemoryError
from services.separator.errors import DeviceLostError, OutOfDeviceMemoryError
from services.separator.scheduler import Due, Result, Scheduler
from tests.patience import PATIENCE_SECONDS

Array = npt.NDArray[np.float32]


class Device:
    """A backend that adds 1, remembers its batches, and has room for `memory` segments."""

    name = "device"
    is_reference = True

    def __init__(
        self, max_batch: int = 1, memory: int = 100, lanes: int = 1, depth: int = 1
    ) -> None:
        self.max_batch = max_batch
        self.depth = depth
        self.lanes = lanes
        self.batches: list[list[float]] = []
        self.undivided: list[bool] = []
        self.broken = self.dead = False
        self.inside = 0
        self.gate = threading.Event()
        self.gate.set()
        self._memory = memory

    def run(self, member: int, batch: Array, *, undivided: bool = False) -> Array:
        self.inside += 1
        assert self.gate.wait(PATIENCE_SECONDS)
        if len(batch) > self._memory:
            raise DeviceMemoryError("full")
        if self.dead:
            raise DeadDeviceError("an illegal memory access was encountered")
        if self.broken:
            raise RuntimeError("broken")
        self.batches.append([float(segment[0, 0]) for segment in batch])
        self.undivided.append(undivided)
        return batch[:, None] + 1

    def close(self) -> None: ...


def segment(value: float, frames: int = 4) -> Array:
    return np.full((2, frames), value, np.float32)


def due_in(seconds: float) -> Due:
    at = time.monotonic() + seconds
    return lambda _: at


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    scheduler = Scheduler()
    yield scheduler
    await scheduler.close()


async def until_inside(device: Device, batches: int) -> None:
    """Waits until the device has been given as many batches."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while device.inside < batches:  # noqa: ASYNC110 - a state of a thread
            await asyncio.sleep(0.001)


async def submit_held(
    scheduler: Scheduler,
    device: Device,
    work: list[tuple[str, float]],
    in_seconds: dict[str, float] | None = None,
) -> list[Result]:
    """Submits all of `work` while the device is busy with a first segment, −1.

    `in_seconds` tells in how long, from now on, listeners want the segments of a track.
    """
    device.gate.clear()
    first = scheduler.submit("first", device, 0, segment(-1))
    await until_inside(device, 1)
    dues = {track: due_in(seconds) for track, seconds in (in_seconds or {}).items()}
    results = [
        scheduler.submit(track, device, 0, segment(value), dues.get(track, due_in(math.inf)))
        for track, value in work
    ]
    device.gate.set()
    await first
    return results


async def test_every_segment_gets_its_own_result(scheduler: Scheduler) -> None:
    device = Device(max_batch=4)
    results = [scheduler.submit("a", device, 0, segment(value)) for value in range(10)]
    outputs = await asyncio.gather(*results)
    assert [float(output[0, 0, 0]) for output in outputs] == list(range(1, 11))
    assert outputs[0].shape == (1, 2, 4)
    assert scheduler.statistics.segments == 10


async def test_a_short_track_does_not_wait_for_a_long_one(scheduler: Scheduler) -> None:
    device = Device()
    long = [("long", float(value)) for value in range(100)]
    results = await submit_held(scheduler, device, [*long, ("short", 500.0), ("short", 501.0)])
    await asyncio.gather(*results)
    order = [values[0] for values in device.batches]
    assert order.index(501.0) <= 5
    assert [value for value in order if 0 <= value < 100] == list(range(100))


async def test_a_batch_takes_of_every_track(scheduler: Scheduler) -> None:
    device = Device(max_batch=4)
    work = [
        (track, float(start + step)) for start, track in ((0, "a"), (10, "b")) for step in range(4)
    ]
    await asyncio.gather(*await submit_held(scheduler, device, work))
    assert [sorted(batch) for batch in device.batches[1:]] == [[0, 1, 10, 11], [2, 3, 12, 13]]


async def test_what_listeners_want_soonest_is_computed_first(scheduler: Scheduler) -> None:
    device = Device()
    work = [(track, value) for value, track in enumerate(["unheard", "later", "soon", "soon"])]
    in_seconds = {"later": 20.0, "soon": 1.0}
    await asyncio.gather(*await submit_held(scheduler, device, work, in_seconds))
    assert device.batches == [[-1], [2], [3], [1], [0]]


async def test_the_eighth_batch_is_of_what_nobody_listens_to(scheduler: Scheduler) -> None:
    device = Device()
    work = [("unheard", 100.0), *(("heard", float(value)) for value in range(20))]
    await asyncio.gather(*await submit_held(scheduler, device, work, {"heard": 0.0}))
    assert [values[0] for values in device.batches].index(100.0) == 8


async def test_when_a_segment_is_due_is_asked_before_each_batch(scheduler: Scheduler) -> None:
    """A listener may have run dry, left or come since the segment was submitted."""
    device, due_at = Device(), {"a": math.inf, "b": math.inf}
    device.gate.clear()
    results = [scheduler.submit("first", device, 0, segment(-1))]
    await until_inside(device, 1)
    for value, track in enumerate("ab"):
        result = scheduler.submit(track, device, 0, segment(value), lambda _, t=track: due_at[t])
        results.append(result)
    due_at["b"] = time.monotonic()
    device.gate.set()
    await asyncio.gather(*results)
    assert device.batches == [[-1], [1], [0]]


async def test_a_lone_track_fills_the_batch(scheduler: Scheduler) -> None:
    device = Device(max_batch=4)
    results = await submit_held(scheduler, device, [("a", float(value)) for value in range(8)])
    await asyncio.gather(*results)
    assert device.batches[1:] == [[0, 1, 2, 3], [4, 5, 6, 7]]


async def test_segments_of_other_lengths_are_not_mixed(scheduler: Scheduler) -> None:
    device = Device(max_batch=4)
    results = [scheduler.submit("a", device, 0, segment(1, frames)) for frames in (4, 4, 5, 5)]
    outputs = await asyncio.gather(*results)
    assert [output.shape[-1] for output in outputs] == [4, 4, 5, 5]


async def test_a_cancelled_segment_never_reaches_the_device(scheduler: Scheduler) -> None:
    device = Device()
    results = await submit_held(scheduler, device, [("a", 1.0), ("a", 2.0), ("b", 3.0)])
    results[0].cancel()
    results[1].cancel()
    await results[2]
    assert device.batches == [[-1], [3]]
    assert scheduler.waiting_segments == 0


async def test_out_of_memory_halves_the_batch_and_goes_on(scheduler: Scheduler) -> None:
    device = Device(max_batch=8, memory=3)
    results = await submit_held(scheduler, device, [("a", float(value)) for value in range(16)])
    outputs = await asyncio.gather(*results)
    assert [float(output[0, 0, 0]) for output in outputs] == list(range(1, 17))
    assert max(len(batch) for batch in device.batches) == 2
    assert [value for batch in device.batches[1:] for value in batch] == list(range(16))


async def test_a_segment_that_never_fits_is_told_so_and_others_go_on(scheduler: Scheduler) -> None:
    with pytest.raises(OutOfDeviceMemoryError):
        await scheduler.submit("a", Device(memory=0), 0, segment(1))
    assert float((await scheduler.submit("b", Device(), 0, segment(1)))[0, 0, 0]) == 2


async def test_a_backend_that_breaks_fails_its_work_only(scheduler: Scheduler) -> None:
    device = Device()
    device.broken = True
    with pytest.raises(RuntimeError, match="broken"):
        await scheduler.submit("a", device, 0, segment(1))
    device.broken = False
    assert float((await scheduler.submit("b", device, 0, segment(1)))[0, 0, 0]) == 2


async def test_a_device_that_is_lost_takes_all_work_with_it_and_is_told_once() -> None:
    told: list[str] = []
    scheduler, device = Scheduler(lambda: told.append("lost")), Device(depth=2)
    device.gate.clear()
    results = [
        scheduler.submit(track, backend, 0, segment(value))
        for value, (track, backend) in enumerate([("a", device), ("b", device), ("a", Device())])
    ]
    results += [scheduler.submit("a", device, 0, segment(value)) for value in range(10)]
    await until_inside(device, 2)
    device.dead = True
    device.gate.set()
    for result in results:
        with pytest.raises(DeviceLostError):
            await result
    assert told == ["lost"]
    assert device.inside <= 2 + 2  # what waits is not tried, however much it is
    with pytest.raises(DeviceLostError):
        await scheduler.submit("c", Device(), 0, segment(1))
    await scheduler.close()


async def test_a_device_of_depth_two_is_given_its_next_batch_while_it_computes_one() -> None:
    """So its copies can go on meanwhile; both come out, each to its owner."""
    scheduler, device = Scheduler(), Device(depth=2)
    device.gate.clear()
    results = [scheduler.submit("a", device, 0, segment(value)) for value in range(6)]
    await until_inside(device, 2)
    assert scheduler.waiting_segments == 4
    device.gate.set()
    outputs = await asyncio.gather(*results)
    assert [float(output[0, 0, 0]) for output in outputs] == list(range(1, 7))
    await scheduler.close()


async def test_a_device_that_is_busy_holds_up_nobody_who_wants_another(
    scheduler: Scheduler,
) -> None:
    """And is given nothing more: what waits for it can still be cancelled."""
    busy, other = Device(), Device()
    busy.gate.clear()
    held = [scheduler.submit("a", busy, 0, segment(value)) for value in range(3)]
    await until_inside(busy, 1)
    output = await scheduler.submit("b", other, 0, segment(7))
    assert float(output[0, 0, 0]) == 8
    assert busy.inside == 1
    assert scheduler.waiting_segments == 2
    held[1].cancel()
    busy.gate.set()
    await asyncio.gather(held[0], held[2])
    assert busy.batches == [[0], [2]]


@pytest.mark.parametrize(
    ("lanes", "batches", "undivided"),
    [(2, [[1, 3], [2, 4]], [True, False]), (1, [[1, 3, 2, 4]], [False])],
)
async def test_what_has_the_whole_device_is_no_batch_with_what_goes_in_a_lane(
    scheduler: Scheduler, lanes: int, batches: list[list[float]], undivided: list[bool]
) -> None:
    """Where there is but one lane there is no difference, and all may be one batch."""
    device = Device(max_batch=4, lanes=lanes)
    results = [
        scheduler.submit(track, device, 0, segment(value), undivided=opens)
        for track, value, opens in [
            ("a", 1, True),
            ("a", 2, False),
            ("b", 3, True),
            ("b", 4, False),
        ]
    ]
    await asyncio.gather(*results)
    assert device.batches == batches
    assert device.undivided == undivided


async def test_closing_cancels_what_waits() -> None:
    scheduler, device = Scheduler(), Device()
    results = await submit_held(scheduler, device, [("a", float(value)) for value in range(50)])
    await scheduler.close()
    assert any(result.cancelled() for result in results)


async def test_a_device_that_hangs_is_lost_and_its_thread_is_left_behind() -> None:
    told: list[str] = []
    scheduler, device = Scheduler(lambda: told.append("lost"), patience_seconds=0.2), Device()
    device.gate.clear()
    try:
        results = [scheduler.submit("a", device, 0, segment(value)) for value in range(3)]
        for result in results:
            with pytest.raises(DeviceLostError):
                await asyncio.wait_for(result, PATIENCE_SECONDS)
        assert told == ["lost"]
        assert scheduler.has_hung
        with pytest.raises(DeviceLostError):
            await scheduler.submit("b", Device(), 0, segment(1))
        await asyncio.wait_for(scheduler.close(), PATIENCE_SECONDS)
        assert device.inside == 1
    finally:
        device.gate.set()


async def test_a_device_that_takes_its_time_is_waited_for() -> None:
    scheduler, device = Scheduler(patience_seconds=2 * PATIENCE_SECONDS), Device()
    device.gate.clear()
    result = scheduler.submit("a", device, 0, segment(1))
    await until_inside(device, 1)
    device.gate.set()
    assert float((await result)[0, 0, 0]) == 2
    assert not scheduler.has_hung
    await scheduler.close()
