"""Edits of settings in a stretch of time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from mixdown.mix.settings import Passage, TargetSettings

Change = Callable[[TargetSettings], TargetSettings]


def edited(
    settings: TargetSettings, change: Change, start_s: float = 0.0, end_s: float | None = None
) -> TargetSettings:
    """Returns settings with a change to what holds from `start_s` to `end_s`, whatever holds there.

    Over the whole track the change goes to the settings outside of the passages and to each
    passage; the fades are then those of the track. Otherwise they are those of the stretch: it
    fades in where it begins and out where it ends.

    >>> def mute(settings):
    ...     return replace(settings, muted=True)
    >>> edited(TargetSettings(gain_db=3.0), mute, 70.0, 85.0).passages[0].settings.changed()
    {'gain_db': 3.0, 'muted': True}

    Args:
        settings: The settings at every point in time.
        change: Takes settings without passages and returns others.
        start_s: Where the stretch begins, in seconds.
        end_s: Where it ends; None: with the track.
    """
    stop_s = math.inf if end_s is None else end_s
    if start_s <= 0.0 and stop_s == math.inf:
        return _everywhere(settings, change)
    pieces = []
    borders = {0.0, math.inf, start_s, stop_s}
    borders.update(border for item in settings.passages for border in (item.start_s, item.stop_s))
    for begin_s, finish_s in pairwise(sorted(borders)):
        passage = passage_at(settings, begin_s)
        held = settings.outside if passage is None else _cut(passage, begin_s, finish_s)
        if start_s <= begin_s and finish_s <= stop_s:
            changed = change(held)
            held = replace(
                changed,
                fade_in_s=changed.fade_in_s if begin_s == start_s else held.fade_in_s,
                fade_out_s=changed.fade_out_s if finish_s == stop_s else held.fade_out_s,
            )
        elif passage is None:
            continue
        pieces.append(Passage(begin_s, None if finish_s == math.inf else finish_s, held))
    return replace(settings, passages=tuple(pieces))


def passage_at(settings: TargetSettings, at_s: float) -> Passage | None:
    """Returns the passage that holds at a point in time; None where no passage does."""
    return next((item for item in settings.passages if item.start_s <= at_s < item.stop_s), None)


def _everywhere(settings: TargetSettings, change: Change) -> TargetSettings:
    passages = (
        Passage(item.start_s, item.end_s, _keeping_fades(item.settings, change))
        for item in settings.passages
    )
    return replace(change(replace(settings, passages=())), passages=tuple(passages))


def _keeping_fades(settings: TargetSettings, change: Change) -> TargetSettings:
    return replace(change(settings), fade_in_s=settings.fade_in_s, fade_out_s=settings.fade_out_s)


def _cut(passage: Passage, begin_s: float, finish_s: float) -> TargetSettings:
    """Returns what a piece of a passage holds: fades only where the passage has its borders."""
    settings = passage.settings
    return replace(
        settings,
        fade_in_s=settings.fade_in_s if begin_s == passage.start_s else 0.0,
        fade_out_s=settings.fade_out_s if finish_s == passage.stop_s else 0.0,
    )
