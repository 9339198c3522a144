"""Who may compute, and who waits where."""

from __future__ import annotations

import asyncio

import pytest

from services.separator.admission import Admission
from services.separator.errors import QueueFullError


class Track:
    """Asks for a place, and gives it back when told to."""

    def __init__(self, admission: Admission) -> None:
        self.positions: list[int] = []
        self.inside = asyncio.Event()
        self.done = asyncio.Event()
        self.task = asyncio.create_task(self._run(admission))

    async def _run(self, admission: Admission) -> None:
        async with admission.slot(self.positions.append):
            self.inside.set()
            await self.done.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_tracks_wait_in_order_and_know_their_position() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    await settle()
    assert [track.inside.is_set() for track in tracks] == [True, False, False]
    tracks[0].done.set()
    await settle()
    assert [track.inside.is_set() for track in tracks] == [True, True, False]
    assert [track.positions for track in tracks] == [[], [0], [1, 0]]
    tracks[1].done.set()
    tracks[2].done.set()
    await asyncio.gather(*(track.task for track in tracks))


async def test_past_the_limit_nobody_is_let_in_line() -> None:
    admission = Admission(running=1, waiting=1)
    tracks = [Track(admission)]
    await settle()
    admission.check(retry_after_seconds=7.0)
    tracks.append(Track(admission))
    await settle()
    with pytest.raises(QueueFullError) as caught:
        admission.check(retry_after_seconds=7.0)
    assert caught.value.retry_after_seconds == 7.0
    for track in tracks:
        track.done.set()
    await asyncio.gather(*(track.task for track in tracks))
    admission.check(retry_after_seconds=7.0)


async def test_who_gives_up_leaves_the_line() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    await settle()
    tracks[1].task.cancel()
    await settle()
    assert tracks[2].positions == [1, 0]
    tracks[0].done.set()
    await settle()
    assert tracks[2].inside.is_set()
    tracks[2].done.set()
    await tracks[2].task


async def test_who_gives_up_at_the_moment_of_being_let_in_passes_the_place_on() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    await settle()
    tracks[0].done.set()
    await tracks[0].task  # the second has its turn now, and has not run yet
    tracks[1].task.cancel()
    await settle()
    assert tracks[2].inside.is_set()
    tracks[2].done.set()
    await tracks[2].task
    assert admission.waiting == 0
