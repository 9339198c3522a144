"""Which of the waiting segments the device computes next.

1. A segment that a listener wants *soon* goes first, the one that must be begun earliest before all
   others (earliest deadline first). Who has heard nothing yet comes before those who have.
2. Otherwise the tracks take turns: one segment of each, beginning with the track that was served
   longest ago.
3. After seven batches in a row that passed over the longest waiting track that nobody listens to,
   it is that track's turn.

A batch is filled by the same rules with segments of one group.

What follows. Segments that are wanted at fixed times are all in time where any order of them would
be, but for the eighth of the device that the third rule may take. Nobody waits for ever: a listener
because what comes later is, but for a bounded head start, due later; the others by the third rule.
Where the device is too slow for all who listen, each runs dry and goes on in turn, because a
listener that has run dry and is served is due again only when it has played that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

SOON_SECONDS = 30.0
"""Listeners with more than this in hand can wait: from there on all tracks take turns."""

PASSED_OVER_BATCHES = 7
"""Batches in a row that may pass over who has waited longest of those nobody listens to."""


@dataclass(frozen=True)
class Waiting:
    """A segment that waits.

    Args:
        group: Segments of one group can be computed together.
        start_by: When the device must begin with it to be in time, seconds of any clock; infinity
            where nobody listens.
    """

    group: Hashable
    start_by: float = math.inf


@dataclass(frozen=True)
class Batch:
    """What is computed next.

    Args:
        tracks: The number of the track that gives a segment, for each segment in its order.
        passed_over: Batches in a row, this one included, that passed over the longest waiting of
            those nobody listens to.
    """

    tracks: tuple[int, ...]
    passed_over: int


def choose_batch(
    queues: Sequence[Sequence[Waiting]],
    most: Callable[[int], int],
    now: float,
    passed_over: int = 0,
) -> Batch:
    """Returns the next batch.

    Args:
        queues: What waits, at least one segment of each track in the order in which they must be
            computed; the track first that was served longest ago.
        most: How many segments of the group of this track's first one can be computed at once.
        now: The time.
        passed_over: What the last batch told.
    """
    taken = [0] * len(queues)
    unheard = next((track for track, queue in enumerate(queues) if _is_unheard(queue[0])), None)
    first = unheard if passed_over >= PASSED_OVER_BATCHES else None
    if first is None:
        first = _most_urgent(queues, taken, now)
    if first is None:
        first = 0
    group = queues[first][0].group
    limit = most(first)
    chosen = [first]
    taken[first] = 1
    while len(chosen) < limit:
        track = _most_urgent(queues, taken, now, group)
        if track is None:
            track = _least_served(queues, taken, group)
        if track is None:
            break
        chosen.append(track)
        taken[track] += 1
    served = unheard is None or taken[unheard]
    return Batch(tuple(chosen), 0 if served else passed_over + 1)


def _is_unheard(waiting: Waiting) -> bool:
    return math.isinf(waiting.start_by)


def _next(queue: Sequence[Waiting], taken: int, group: Hashable | None) -> Waiting | None:
    if taken == len(queue) or group not in {None, queue[taken].group}:
        return None
    return queue[taken]


def _most_urgent(
    queues: Sequence[Sequence[Waiting]],
    taken: Sequence[int],
    now: float,
    group: Hashable | None = None,
) -> int | None:
    """Returns the track whose next segment must be begun earliest; None where none must soon."""
    found, earliest = None, now + SOON_SECONDS
    for track, queue in enumerate(queues):
        waiting = _next(queue, taken[track], group)
        if waiting is not None and waiting.start_by < earliest:
            found, earliest = track, waiting.start_by
    return found


def _least_served(
    queues: Sequence[Sequence[Waiting]], taken: Sequence[int], group: Hashable
) -> int | None:
    """Returns whose turn it is: who has the fewest segments in this batch, then waited longest."""
    able = [
        track for track, queue in enumerate(queues) if _next(queue, taken[track], group) is not None
    ]
    return min(able, key=lambda track: taken[track], default=None)
