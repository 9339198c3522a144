"""Which segments come next: in time, in turn, and nobody never."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.separator.batch import (
    PASSED_OVER_BATCHES,
    SOON_SECONDS,
    Batch,
    Waiting,
    choose_batch,
)
from services.separator.playhead import HEAD_START_SECONDS, Playhead

NOBODY = math.inf


def queues(*tracks: Sequence[float], group: Hashable = "net") -> list[list[Waiting]]:
    return [[Waiting(group, start_by) for start_by in track] for track in tracks]


def most(count: int) -> Callable[[int], int]:
    return lambda _: count


def chosen(waiting: Sequence[Sequence[Waiting]], count: int = 1, passed_over: int = 0) -> list[int]:
    return list(choose_batch(waiting, most(count), 0.0, passed_over).tracks)


# By rule


def test_what_must_be_begun_earliest_goes_first() -> None:
    assert chosen(queues([7.0], [3.0], [NOBODY], [5.0])) == [1]
    assert chosen(queues([7.0], [3.0], [NOBODY], [5.0]), 3) == [1, 3, 0]


def test_one_track_may_fill_a_batch_while_others_have_enough_in_hand() -> None:
    assert chosen(queues([50.0, 56.0], [-1.0, 5.0, 11.0], [NOBODY]), 3) == [1, 1, 1]


def test_while_nobody_wants_anything_soon_the_tracks_take_turns() -> None:
    far = SOON_SECONDS + 1
    waiting = queues([NOBODY, NOBODY], [far, far + 6], [NOBODY])
    assert chosen(waiting) == [0]
    assert chosen(waiting, 4) == [0, 1, 2, 0]


def test_places_that_are_left_in_a_batch_are_filled_in_turn() -> None:
    assert chosen(queues([NOBODY, NOBODY], [2.0, 90.0], [NOBODY]), 4) == [1, 0, 2, 0]


def test_a_batch_holds_segments_of_one_group() -> None:
    waiting = [[Waiting("a"), Waiting("b")], [Waiting("b", 1.0)], [Waiting("a", 2.0)]]
    assert chosen(waiting, 4) == [1]
    assert chosen(waiting[::2], 4) == [1, 0]


def test_who_is_passed_over_seven_times_has_its_turn() -> None:
    waiting = queues([1.0], [NOBODY], [NOBODY])
    assert chosen(waiting, passed_over=PASSED_OVER_BATCHES - 1) == [0]
    assert chosen(waiting, passed_over=PASSED_OVER_BATCHES) == [1]
    assert choose_batch(waiting, most(1), 0.0, 3) == Batch((0,), 4)
    assert choose_batch(waiting, most(2), 0.0, 3) == Batch((0, 1), 0)


# For any waiting segments

starts = st.one_of(st.floats(-100, 100), st.just(NOBODY))
groups = st.sampled_from(["a", "b"])
segments = st.builds(Waiting, groups, starts)
waiting_tracks = st.lists(st.lists(segments, min_size=1, max_size=4), min_size=1, max_size=5)


@given(waiting_tracks, st.integers(1, 8), st.integers(0, 9))
def test_a_batch_is_the_same_each_time_full_of_one_group_and_in_order(
    waiting: list[list[Waiting]], count: int, passed_over: int
) -> None:
    batch = choose_batch(waiting, most(count), 0.0, passed_over)
    assert batch == choose_batch(waiting, most(count), 0.0, passed_over)
    assert 1 <= len(batch.tracks) <= count
    group = waiting[batch.tracks[0]][0].group
    fronts = [
        list(itertools.takewhile(lambda segment: segment.group == group, track))
        for track in waiting
    ]
    for track, front in enumerate(fronts):
        assert batch.tracks.count(track) <= len(front)
    assert len(batch.tracks) == min(count, sum(map(len, fronts)))


def begun_in_time(starts: Sequence[Sequence[float]], order: Sequence[int]) -> bool:
    """Tells whether segments of a second each, begun in this order from 0 on, are all in time."""
    fronts = [iter(track) for track in starts]
    return all(now <= next(fronts[track]) for now, track in enumerate(order))


@given(
    st.lists(
        st.lists(st.integers(0, 7), min_size=1, max_size=3).map(sorted), min_size=1, max_size=3
    )
)
def test_what_is_wanted_soon_is_in_time_whenever_any_order_would_be(
    starts: list[list[int]],
) -> None:
    """All orders are tried; a track's own segments keep theirs."""
    tracks = [track for track, wanted in enumerate(starts) for _ in wanted]
    feasible = any(begun_in_time(starts, order) for order in set(itertools.permutations(tracks)))
    waiting = [[Waiting("net", float(wanted)) for wanted in track] for track in starts]
    order, now = [], 0.0
    while any(waiting):
        left = [track for track, queue in enumerate(waiting) if queue]
        batch = choose_batch([waiting[track] for track in left], most(1), now)
        order.append(left[batch.tracks[0]])
        waiting[order[-1]].pop(0)
        now += 1
    assert begun_in_time(starts, order) == feasible


# For tracks as they run: each has two segments waiting, a segment brings `STRIDE` seconds

STRIDE = 6.0
RATE_HZ = 100


@dataclass(eq=False)
class Track:
    """A track that somebody listens to, or nobody."""

    playhead: Playhead | None
    segments: int
    group: str = "net"
    done: int = 0
    begun_at: float | None = None
    silences: list[float] = field(default_factory=list)

    def waiting(self, now: float, step: float) -> list[Waiting]:
        numbers = range(self.done, min(self.done + 2, self.segments))
        return [Waiting(self.group, self._due(number, now) - step) for number in numbers]

    def _due(self, number: int, now: float) -> float:
        frame = int(number * STRIDE * RATE_HZ)
        return NOBODY if self.playhead is None else self.playhead.due(frame, now)

    def advance(self, now: float) -> None:
        frame = int(self.done * STRIDE * RATE_HZ)
        self.done += 1
        if self.begun_at is None:
            self.begun_at = now
        if self.playhead is not None:
            silence = self.playhead.silence(frame, now)
            self.silences += [] if silence is None else [silence]
            self.playhead.send(frame + int(STRIDE * RATE_HZ), now)


def listened(segments: int, came_at: float = 0.0) -> Track:
    return Track(Playhead(RATE_HZ, 0, came_at), segments)


def unheard(segments: int, group: str = "net") -> Track:
    return Track(None, segments, group)


def run(tracks: dict[float, list[Track]], step: float, until: float, size: int = 1) -> None:
    """Runs a device that takes `step` seconds a batch of `size`; `tracks` by when they come."""
    now, passed_over, coming = 0.0, 0, dict(tracks)
    line: list[Track] = []
    while now < until:
        for at in sorted(at for at in coming if at <= now):
            line += coming.pop(at)
        line = [track for track in line if track.done < track.segments]
        if not line:
            now = min(coming, default=until)
            continue
        waiting = [track.waiting(now, step) for track in line]
        batch = choose_batch(waiting, most(size), now, passed_over)
        passed_over = batch.passed_over
        now += step
        for track in [line[number] for number in batch.tracks]:
            track.advance(now)
            line.remove(track)
            line.append(track)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=6),
    st.lists(st.integers(1, 200), max_size=4),
    st.floats(0.05, 1.0),
)
def test_listeners_never_run_dry_where_the_device_has_the_time(
    listeners: list[tuple[int, int]], others: list[int], load: float
) -> None:
    """Whoever comes whenever, and whatever is computed for nobody meanwhile.

    In the time of a segment each listener needs one of its own, one of eight may be another's, and
    one was begun before.
    """
    step = load * STRIDE / (8 / 7 * (len(listeners) + 2))
    coming: dict[float, list[Track]] = {0.0: [unheard(segments) for segments in others]}
    for at, segments in listeners:
        coming.setdefault(float(at), []).append(listened(segments, at))
    run(coming, step, until=10_000)
    for track in itertools.chain.from_iterable(coming.values()):
        assert not any(track.silences)
        assert track.done == track.segments


@given(
    st.integers(1, 6),
    st.lists(st.sampled_from(["net", "a", "b"]), min_size=1, max_size=6),
    st.floats(0.5, 12.0),
    st.integers(1, 3),
)
def test_what_nobody_listens_to_goes_on_however_busy_the_device_is(
    listeners: int, groups: list[str], step: float, size: int
) -> None:
    """Each has its turn once in eight batches for each of them, whichever network it needs."""
    tracks = [listened(10_000) for _ in range(listeners)]
    others = [unheard(10_000, group) for group in groups]
    run({0.0: [*tracks, *others]}, step, until=step * 8 * len(others) * 5, size=size)
    assert min(track.done for track in others) >= 4


@given(st.integers(1, 8), st.floats(1.5, 12.0))
def test_a_device_that_is_too_slow_serves_its_listeners_alike(listeners: int, step: float) -> None:
    tracks = [listened(10_000) for _ in range(listeners)]
    run({0.0: list(tracks)}, step, until=step * 20 * listeners)
    assert min(track.done for track in tracks) >= 19
    assert max(track.done for track in tracks) <= 21


@given(st.integers(1, 8), st.floats(1.5, 12.0))
def test_a_newcomer_is_heard_first_though_others_have_run_dry(listeners: int, step: float) -> None:
    """But for those without sound for longer than its head start; here nobody is."""
    step = min(step, HEAD_START_SECONDS / (listeners + 1))
    came_at = step * 20 * listeners
    newcomer = listened(100, came_at)
    run(
        {0.0: [listened(10_000) for _ in range(listeners)], came_at: [newcomer]},
        step,
        until=came_at + 3 * step,
    )
    assert newcomer.begun_at is not None
    assert newcomer.begun_at <= came_at + 2 * step


def test_a_short_track_is_done_long_before_a_long_one_that_came_first() -> None:
    long, short = listened(600), listened(5, 60)
    run({0.0: [long], 60.0: [short]}, step=2.0, until=60 + 5 * 2 * 2 + 2)
    assert short.done == 5
    assert long.done >= 30


def test_equal_tracks_that_nobody_listens_to_are_served_alike() -> None:
    tracks = [unheard(1000) for _ in range(4)]
    run({0.0: list(tracks)}, step=1.0, until=402)
    assert {track.done for track in tracks} <= {100, 101}


@pytest.mark.parametrize("others", [0, 3])
def test_a_newcomer_is_heard_after_the_step_under_way_and_its_own(others: int) -> None:
    """Also while three who listen are about to run dry."""
    tracks = [listened(1000) for _ in range(3)]
    newcomer = listened(10, 100.5)
    coming = {0.0: [*tracks, *(unheard(1000) for _ in range(others))], 100.5: [newcomer]}
    run(coming, step=2.5, until=120)
    assert newcomer.begun_at is not None
    assert newcomer.begun_at - 100.5 <= (2 if not others else 3) * 2.5
