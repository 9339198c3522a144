"""Who may compute, and who waits where."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.separator.admission import Admission, Place
from services.separator.errors import QueueFullError


class Track:
    """Has asked for a place, and remembers the positions that it was told."""

    def __init__(self, admission: Admission, *, listened: bool = True) -> None:
        self.positions: list[int] = []
        self.place: Place = admission.ask(
            self.positions.append, retry_after_seconds=7.0, listened=listened
        )

    async def is_inside(self) -> bool:
        try:
            await asyncio.wait_for(self.place.wait(), 0.01)
        except TimeoutError:
            return False
        return True


async def test_tracks_wait_in_order_and_know_their_position() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    assert [await track.is_inside() for track in tracks] == [True, False, False]
    tracks[0].place.leave()
    assert [await track.is_inside() for track in tracks[1:]] == [True, False]
    assert [track.positions for track in tracks] == [[], [0], [1, 0]]


async def test_past_the_limit_nobody_is_let_in_line() -> None:
    admission = Admission(running=2, waiting=1)
    tracks = [Track(admission) for _ in range(3)]
    with pytest.raises(QueueFullError) as caught:
        Track(admission)
    assert caught.value.retry_after_seconds == 7.0
    tracks[0].place.leave()
    assert await Track(admission).is_inside() is False


async def test_who_gives_up_leaves_the_line() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    tracks[1].place.leave()
    assert tracks[2].positions == [1, 0]
    tracks[0].place.leave()
    assert await tracks[2].is_inside()


async def test_a_place_is_given_back_only_once() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    tracks[0].place.leave()
    tracks[0].place.leave()
    assert [await track.is_inside() for track in tracks[1:]] == [True, False]


async def test_what_nobody_listens_to_holds_up_nobody_who_listens() -> None:
    """Neither by its places nor in the line, nor by filling it."""
    admission = Admission(running=1, waiting=2)
    unheard = [Track(admission, listened=False) for _ in range(3)]
    assert [await track.is_inside() for track in unheard] == [True, False, False]
    with pytest.raises(QueueFullError):
        Track(admission, listened=False)
    listened = [Track(admission) for _ in range(3)]
    assert [await track.is_inside() for track in listened] == [True, False, False]
    assert [track.positions for track in listened[1:]] == [[0], [1]]
    assert unheard[1].positions == [0, 1, 2]
    with pytest.raises(QueueFullError):
        Track(admission)


async def test_who_is_listened_to_from_now_on_goes_ahead() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission, listened=False) for _ in range(3)]
    tracks[2].place.change(listened=True)
    assert [await track.is_inside() for track in tracks] == [True, False, True]
    tracks[2].place.change(listened=False)
    tracks[0].place.leave()
    assert not await tracks[1].is_inside()
    tracks[2].place.leave()
    assert await tracks[1].is_inside()


async def test_who_is_no_longer_listened_to_is_again_behind_those_who_came_before() -> None:
    admission = Admission(running=1, waiting=5)
    Track(admission)
    unheard = [Track(admission, listened=False) for _ in range(3)]
    unheard[2].place.change(listened=True)
    unheard[2].place.change(listened=False)
    assert [track.positions for track in unheard] == [[0, 1, 0], [1, 2, 1], [2, 0, 2]]


async def test_a_position_is_told_only_where_it_has_changed() -> None:
    admission = Admission(running=1, waiting=5)
    tracks = [Track(admission) for _ in range(3)]
    tracks[2].place.leave()
    assert tracks[1].positions == [0]


@given(st.lists(st.integers(0, 29), max_size=40), st.integers(1, 3), st.integers(0, 4))
def test_never_more_run_than_may_and_nobody_is_forgotten(
    moves: list[int], running: int, waiting: int
) -> None:
    """A move asks for a place, has one of those who have asked leave, or change its kind."""

    async def play() -> None:
        admission = Admission(running, waiting)
        tracks: list[Track] = []
        for move in moves:
            if move < 10:
                try:
                    tracks.append(Track(admission, listened=move % 2 == 0))
                except QueueFullError:
                    assert len(tracks) >= running + waiting
            elif tracks and move < 20:
                tracks.pop(move % len(tracks)).place.leave()
            elif tracks:
                place = tracks[move % len(tracks)].place
                place.change(listened=not place.listened)
            inside = [track for track in tracks if track.place._inside.is_set()]
            assert admission.running == len(inside)
            assert admission.waiting == len(tracks) - len(inside)
            listened = [track for track in tracks if track.place.listened]
            # Whoever could be let in is inside.
            assert len(inside) >= min(running, len(tracks))
            assert sum(track in inside for track in listened) >= min(running, len(listened))

    asyncio.run(play())
