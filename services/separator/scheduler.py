"""Decides which segments the device computes next.

Segments of all running tracks wait here, a queue for each track. A step takes a batch fairly: one
segment of each track in turn, beginning with the track that was served longest ago, until the
batch is full. So an hour of music does not hold up half a minute, and one track alone fills the
device. Segments of one batch go through the same network and have the same length.

The loop is `schedule → run → hand out`. All of it runs on the event loop but `run`, which has
threads of its own. When a batch does not fit into the device's memory, half of it is tried, and no
larger batch again.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import structlog

from services.runtime.audio.reader import Samples
from services.separator import metrics
from services.separator.backends.backend import Backend, DeviceMemoryError, StemBatch
from services.separator.errors import OutOfDeviceMemoryError
from services.separator.overlap_add import StemSamples

_log = structlog.get_logger("mixdown.separator.scheduler")

Result = asyncio.Future[StemSamples]


@dataclass(frozen=True)
class _Work:
    """A segment that waits."""

    backend: Backend
    member: int
    samples: Samples
    result: Result = field(compare=False)

    @property
    def group(self) -> tuple[int, int, int]:
        """Segments of one group can be computed together."""
        return id(self.backend), self.member, self.samples.shape[-1]


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
        depth: Batches handed to the device at once, each in a thread. With 2 a GPU is given its
            next batch while it computes one.
    """

    def __init__(self, depth: int = 1) -> None:
        self.statistics = SchedulerStatistics()
        self._tracks: OrderedDict[Hashable, deque[_Work]] = OrderedDict()
        self._limits: WeakKeyDictionary[Backend, int] = WeakKeyDictionary()
        self._arrived = asyncio.Event()
        self._free = asyncio.Semaphore(depth)
        self._device = ThreadPoolExecutor(max_workers=depth, thread_name_prefix="device")
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop().create_task(self._schedule())

    def submit(self, track: Hashable, backend: Backend, member: int, samples: Samples) -> Result:
        """Queues a segment of a track; cancelling the result takes it out again.

        Args:
            track: Whose segment it is. Results of one track come in the order of its calls.
            backend: Computes it.
            member: Which network of the backend's model.
            samples: `float32` `[channels, frames]`, normalised.

        Returns:
            `float32` `[stems, channels, frames]`, or OutOfDeviceMemoryError, or what the backend
            raised.
        """
        result: Result = asyncio.get_running_loop().create_future()
        work = _Work(backend, member, samples, result)
        if track not in self._tracks:
            self._tracks[track] = deque()
            self._tracks.move_to_end(track, last=False)  # who is new has waited for nothing yet
        self._tracks[track].append(work)
        self._arrived.set()
        return result

    @property
    def waiting_segments(self) -> int:
        """Segments that wait for the device."""
        return sum(len(queue) for queue in self._tracks.values())

    async def close(self) -> None:
        """Ends the loop. What still waits is cancelled; what the device computes is finished."""
        self._loop.cancel()
        await asyncio.wait({self._loop, *self._running})
        for queue in self._tracks.values():
            for work in queue:
                work.result.cancel()
        self._device.shutdown()

    async def _schedule(self) -> None:
        while True:
            await self._free.acquire()
            while not (batch := self._take_batch()):
                self._arrived.clear()
                await self._arrived.wait()
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda _: self._free.release())

    def _take_batch(self) -> list[_Work]:
        self._drop_cancelled()
        if not self._tracks:
            return []
        head = next(iter(self._tracks.values()))[0]
        limit = self._limits.get(head.backend, head.backend.max_batch)
        batch: list[_Work] = []
        served = True
        while served and len(batch) < limit:
            served = False
            for track in list(self._tracks):
                queue = self._tracks[track]
                if len(batch) == limit or queue[0].group != head.group:
                    continue
                batch.append(queue.popleft())
                served = True
                self._tracks.move_to_end(track)
                if not queue:
                    del self._tracks[track]
        return batch

    def _drop_cancelled(self) -> None:
        for track in list(self._tracks):
            queue = self._tracks[track]
            for work in [work for work in queue if work.result.done()]:
                queue.remove(work)
            if not queue:
                del self._tracks[track]

    async def _run(self, batch: list[_Work]) -> None:
        began = time.monotonic()
        backend, member = batch[0].backend, batch[0].member
        samples = np.stack([work.samples for work in batch])
        running = asyncio.get_running_loop().run_in_executor(
            self._device, backend.run, member, samples
        )
        await asyncio.wait({running})
        error = running.exception()
        if isinstance(error, DeviceMemoryError):
            await self._shrink(batch, error)
        else:
            seconds = time.monotonic() - began
            self.statistics.batches += 1
            self.statistics.segments += len(batch)
            self.statistics.busy_seconds += seconds
            metrics.count_batch(backend.name, len(batch), backend.max_batch, seconds)
            _hand_out(batch, error, None if error else running.result())

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


def _hand_out(
    batch: list[_Work], error: BaseException | None, outputs: StemBatch | None = None
) -> None:
    for index, work in enumerate(batch):
        if work.result.done():  # cancelled while it was computed
            continue
        if error is not None:
            work.result.set_exception(error)
        elif outputs is not None:
            work.result.set_result(outputs[index])
