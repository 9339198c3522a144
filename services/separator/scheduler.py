"""The way of segments to the device and back.

Segments of all running tracks wait here, a queue for each track. `batch.py` decides which of them
make the next batch: what listeners want soon, else the tracks in turn. So an hour of music does not
hold up half a minute, and one track alone fills the device. Segments of one batch go through the
same network and have the same length.

The loop is `schedule → run → hand out`. All of it runs on the event loop but `run`, which has
threads of its own. When a batch does not fit into the device's memory, half of it is tried, and no
larger batch again. When the device is lost, so is all work: what waits, and what comes later. A
device that does not answer for long is lost too: a GPU may hang without an error.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import structlog

from services.runtime.audio.reader import Samples
from services.separator import metrics
from services.separator.backends.backend import (
    Backend,
    DeadDeviceError,
    DeviceMemoryError,
    StemBatch,
)
from services.separator.batch import Waiting, choose_batch
from services.separator.errors import DeviceLostError, OutOfDeviceMemoryError
from services.separator.overlap_add import StemSamples

_log = structlog.get_logger("mixdown.separator.scheduler")

Result = asyncio.Future[StemSamples]

Due = Callable[[float], float]
"""Tells at a time (of `time.monotonic`) when a listener wants what a segment brings."""

_AT_ONCE = 2
"""Batches handed out at once over all backends, each in a thread."""

_LOOKS = 10
"""Times that a device is looked at before it is taken to hang. Where this process stood still
meanwhile, however long, that was one of them: the device may have answered, and nobody listened."""

_NEWEST_STEP = 0.2
"""What the newest batch counts in the mean time of a batch."""


def _never(_: float) -> float:
    return math.inf


@dataclass(frozen=True)
class _Work:
    """A segment that waits."""

    backend: Backend
    member: int
    samples: Samples
    due: Due
    undivided: bool
    result: Result = field(compare=False)

    @property
    def group(self) -> Hashable:
        """Segments of one group can be computed together."""
        return id(self.backend), self.member, self.samples.shape[-1], self.undivided


@dataclass
class SchedulerStatistics:
    """What the scheduler has done so far.

    Args:
        batches: Batches computed.
        segments: Segments computed.
        busy_seconds: Time that batches took.
    """

    batches: int = 0
    segments: int = 0
    busy_seconds: float = 0.0


class Scheduler:
    """One loop over the segments of all tracks.

    Args:
        on_device_lost: Called once, when the device computes nothing any more.
        patience_seconds: A batch that takes longer has hung, and the device with it; None to wait
            for ever.

    Attributes:
        has_hung: Whether a thread is held by the device and may never come back.
    """

    def __init__(
        self,
        on_device_lost: Callable[[], object] = lambda: None,
        patience_seconds: float | None = None,
    ) -> None:
        self.statistics = SchedulerStatistics()
        self.has_hung = False
        self._look_seconds = None if patience_seconds is None else patience_seconds / _LOOKS
        self._on_device_lost = on_device_lost
        self._is_device_lost = False
        self._tracks: OrderedDict[Hashable, deque[_Work]] = OrderedDict()
        self._limits: WeakKeyDictionary[Backend, int] = WeakKeyDictionary()
        self._step_seconds: WeakKeyDictionary[Backend, float] = WeakKeyDictionary()
        self._passed_over = 0
        self._arrived = asyncio.Event()
        self._given: WeakKeyDictionary[Backend, int] = WeakKeyDictionary()
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._device = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="device")
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop().create_task(self._schedule())

    def submit(
        self,
        track: Hashable,
        backend: Backend,
        member: int,
        samples: Samples,
        due: Due = _never,
        *,
        undivided: bool = False,
    ) -> Result:
        """Queues a segment of a track; cancelling the result takes it out again.

        Args:
            track: Whose segment it is. Results of one track come in the order of its calls.
            backend: Computes it.
            member: Which network of the backend's model.
            samples: `float32` `[channels, frames]`, normalised.
            due: When a listener wants it; asked before each batch.
            undivided: As for `Backend.run`; of one lane any batch has the whole device.

        Returns:
            `float32` `[stems, channels, frames]`, or OutOfDeviceMemoryError, DeviceLostError, or
            what the backend raised.
        """
        result: Result = asyncio.get_running_loop().create_future()
        if self._is_device_lost:
            _fail(result, DeviceLostError())
            return result
        work = _Work(backend, member, samples, due, undivided and backend.lanes > 1, result)
        self._tracks.setdefault(track, deque()).append(work)
        self._arrived.set()
        return result

    @property
    def waiting_segments(self) -> int:
        """Segments that wait for the device."""
        return sum(len(queue) for queue in self._tracks.values())

    async def close(self) -> None:
        """Ends the loop. What still waits is cancelled; what the device computes is finished.

        Unless it hangs: then its thread is left behind.
        """
        self._loop.cancel()
        await asyncio.wait({self._loop, *self._running})
        for queue in self._tracks.values():
            for work in queue:
                work.result.cancel()
        self._device.shutdown(wait=not self.has_hung)

    async def _schedule(self) -> None:
        while True:
            await self._free.acquire()
            while not (batch := self._take_batch()):
                self._arrived.clear()
                await self._arrived.wait()
            backend = batch[0].backend
            self._given[backend] = self._given.get(backend, 0) + 1
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(partial(self._take_back, backend))

    def _take_back(self, backend: Backend, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._given[backend] -= 1
        self._free.release()
        self._arrived.set()  # what waits for this backend may go on

    def _take_batch(self) -> list[_Work]:
        self._drop_cancelled()
        # The one first that was served longest ago. All of a track is for one backend.
        tracks = [track for track, queue in self._tracks.items() if self._has_room(queue[0])]
        if not tracks:
            return []
        now = time.monotonic()
        queues = [self._tracks[track] for track in tracks]
        choice = choose_batch(
            [[self._told(work, now) for work in queue] for queue in queues],
            lambda number: self._most(queues[number][0].backend),
            now,
            self._passed_over,
        )
        self._passed_over = choice.passed_over
        return [self._pop(tracks[number]) for number in choice.tracks]

    def _has_room(self, work: _Work) -> bool:
        return self._given.get(work.backend, 0) < work.backend.depth

    def _told(self, work: _Work, now: float) -> Waiting:
        # A batch of its own must be through by the time that it is due.
        step_seconds = self._step_seconds.get(work.backend, 0.0)
        return Waiting(work.group, work.due(now) - step_seconds)

    def _most(self, backend: Backend) -> int:
        return self._limits.get(backend, backend.max_batch)

    def _pop(self, track: Hashable) -> _Work:
        work = self._tracks[track].popleft()
        self._tracks.move_to_end(track)
        if not self._tracks[track]:
            del self._tracks[track]
        return work

    def _drop_cancelled(self) -> None:
        for track in list(self._tracks):
            queue = self._tracks[track]
            for work in [work for work in queue if work.result.done()]:
                queue.remove(work)
            if not queue:
                del self._tracks[track]

    async def _run(self, batch: list[_Work]) -> None:
        began = time.monotonic()
        running = asyncio.get_running_loop().run_in_executor(self._device, _compute, batch)
        if not await self._is_answered(running):
            self.has_hung = True
            seconds = round(time.monotonic() - began, 1)
            self._give_up(batch, DeadDeviceError(f"no answer within {seconds} seconds"))
            return
        error = running.exception()
        if isinstance(error, DeviceMemoryError):
            await self._shrink(batch, error)
        elif isinstance(error, DeadDeviceError):
            self._give_up(batch, error)
        else:
            self._count(batch, time.monotonic() - began)
            _hand_out(batch, error, None if error else running.result())

    async def _is_answered(self, running: asyncio.Future[StemBatch]) -> bool:
        for _ in range(_LOOKS):
            answered, _ = await asyncio.wait({running}, timeout=self._look_seconds)
            if answered:
                return True
        return False

    def _count(self, batch: list[_Work], seconds: float) -> None:
        backend, segments = batch[0].backend, len(batch)
        mean = self._step_seconds.get(backend, seconds)
        self._step_seconds[backend] = mean + _NEWEST_STEP * (seconds - mean)
        self.statistics.batches += 1
        self.statistics.segments += segments
        self.statistics.busy_seconds += seconds
        share = 1 if batch[0].undivided else 1 / backend.lanes
        metrics.count_batch(backend.name, segments, backend.max_batch, share * seconds)

    def _give_up(self, batch: list[_Work], error: DeadDeviceError) -> None:
        waiting = [work for queue in self._tracks.values() for work in queue]
        self._tracks.clear()
        _hand_out([*batch, *waiting], DeviceLostError())
        if not self._is_device_lost:  # the other batch on the device tells it too
            self._is_device_lost = True
            _log.error("the device is lost", backend=batch[0].backend.name, error=str(error))
            self._on_device_lost()

    async def _shrink(self, batch: list[_Work], error: DeviceMemoryError) -> None:
        metrics.MEMORY_EXHAUSTED.inc()
        if len(batch) == 1:
            _log.error("a segment does not fit into the device's memory", error=str(error))
            _hand_out(
                batch, OutOfDeviceMemoryError("This model does not fit into the device's memory.")
            )
            return
        half = len(batch) // 2
        backend = batch[0].backend
        self._limits[backend] = min(half, self._limits.get(backend, half))
        _log.warning("batch halved: out of device memory", segments=len(batch), now=half)
        for part in (batch[:half], batch[half:]):  # at once, so that no track's order changes
            await self._run(part)


def _compute(batch: list[_Work]) -> StemBatch:
    first = batch[0]
    segments = np.stack([work.samples for work in batch])
    return first.backend.run(first.member, segments, undivided=first.undivided)


def _hand_out(
    batch: list[_Work], error: BaseException | None, outputs: StemBatch | None = None
) -> None:
    for index, work in enumerate(batch):
        if work.result.done():  # cancelled while it was computed
            continue
        if error is not None:
            _fail(work.result, error)
        elif outputs is not None:
            work.result.set_result(outputs[index])


def _fail(result: Result, error: BaseException) -> None:
    result.set_exception(error)
    result.exception()  # of a track that has failed already, nobody looks at the rest
