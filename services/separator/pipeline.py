"""The segments of one track on their way: cut, computed, collected, each step beside the others.

Cutting decodes music and collecting stores stems; either takes longer than a fast GPU computes. So
neither waits for the other, nor the device for either, as far as segments may be under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.separator.overlap_add import StemSamples
from services.separator.scheduler import Result


def segments_ahead(at_once: int, tracks: int) -> int:
    """Returns how many segments of a track should be under way: cut, and not yet collected.

    Those of all tracks together are as many as the device computes, and as many that wait for it,
    and a lone track's two segments at least.

    Args:
        at_once: The most segments that the device computes at the same time.
        tracks: Tracks that are being separated, this one included.

    >>> [segments_ahead(16, tracks) for tracks in (1, 3, 16, 100)]
    [32, 11, 2, 2]
    """
    return max(2, -(-2 * at_once // max(1, tracks)))


class Pipeline:
    """Takes all segments of a track through.

    Args:
        segments: How many there are.
        most: Tells how many may be under way at the moment, at least 1.
        begin: Cuts a segment, by its number, and hands it to the device.
        end: Collects what the device made of it.
    """

    def __init__(
        self,
        segments: int,
        most: Callable[[], int],
        begin: Callable[[int], Awaitable[Result]],
        end: Callable[[int, StemSamples], Awaitable[None]],
    ) -> None:
        self._segments = segments
        self._most = most
        self._begin = begin
        self._end = end
        self._begun: asyncio.Queue[Result] = asyncio.Queue()
        self._under_way = 0
        self._one_ended = asyncio.Event()

    async def run(self) -> None:
        """Begins and ends every segment in its order.

        What fails first is raised, when nothing is under way any more.
        """
        try:
            async with asyncio.TaskGroup() as steps:
                steps.create_task(self._begin_all())
                steps.create_task(self._end_all())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            while not self._begun.empty():
                self._begun.get_nowait().cancel()

    async def _begin_all(self) -> None:
        for number in range(self._segments):
            while self._under_way >= self._most():
                self._one_ended.clear()
                await self._one_ended.wait()
            self._under_way += 1
            self._begun.put_nowait(await self._begin(number))

    async def _end_all(self) -> None:
        for number in range(self._segments):
            result = await self._begun.get()
            await self._end(number, await result)
            self._under_way -= 1
            self._one_ended.set()
