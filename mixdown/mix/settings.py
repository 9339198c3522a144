"""Settings of one target of a mix, at every point in time.

A target has its settings and, where they change with time, passages: stretches of the track with
other settings. What a target does is thus a function of time that is constant between borders.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

MASTER = "mix"
"""The target that stands for the master bus."""

Compression = Literal["none", "low", "medium", "high"]
COMPRESSION_LEVELS: tuple[Compression, ...] = get_args(Compression)
"""Levels of compression, from none to the strongest."""

EqType = Literal["peak", "low_shelf", "high_shelf"]
FilterType = Literal["lowpass", "highpass", "bandpass"]

MAX_EQ_BANDS = 32

MAX_PASSAGES = 64


@dataclass(frozen=True)
class EqBand:
    """One band of the equaliser.

    Args:
        type: Bell or shelf.
        frequency_hz: Centre or corner, 20 to 20 000 Hz.
        gain_db: −24 to +24 dB.
        q: Quality factor, 0.1 to 18.
    """

    type: EqType
    frequency_hz: float
    gain_db: float
    q: float = 1.0


@dataclass(frozen=True)
class Filter:
    """A filter. Low-pass and high-pass have `cutoff_hz`, a band-pass `low_hz` and `high_hz`."""

    type: FilterType
    cutoff_hz: float | None = None
    low_hz: float | None = None
    high_hz: float | None = None


@dataclass(frozen=True)
class TargetSettings:
    """Settings of one target; every default is neutral. `RANGES` tells the ranges.

    Settings that mean the same compare equal: passages are sorted, one that changes nothing is
    dropped, and neighbours that are alike are one.

    Args:
        passages: Stretches of time with other settings; see `Passage`.
    """

    gain_db: float = 0.0
    muted: bool = False
    pan: float = 0.0
    reverb: float = 0.0
    pitch_semitones: float = 0.0
    compression: Compression = "none"
    eq: tuple[EqBand, ...] = ()
    filters: tuple[Filter, ...] = ()
    echo: float = 0.0
    echo_time_ms: float = 350.0
    echo_feedback: float = 0.35
    chorus: float = 0.0
    distortion: float = 0.0
    width: float = 1.0
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    passages: tuple[Passage, ...] = ()

    def __post_init__(self) -> None:
        if self.passages:
            object.__setattr__(self, "passages", _normal(self.outside, self.passages))

    @property
    def is_neutral(self) -> bool:
        """Whether these settings change nothing."""
        return self == NEUTRAL

    @property
    def outside(self) -> TargetSettings:
        """What holds outside of the passages, apart from the fades of the track."""
        return replace(self, fade_in_s=0.0, fade_out_s=0.0, passages=())

    def changed(self) -> dict[str, Any]:
        """Returns the settings that are not neutral, by name."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != getattr(NEUTRAL, item.name)
        }


@dataclass(frozen=True)
class Passage:
    """A stretch of time in which a target has other settings: these, and none of those outside.

    Args:
        start_s: Where it begins, in seconds from the beginning of the track.
        end_s: Where it ends; None: with the track.
        settings: The settings there, complete and without passages. Their fades are those at the
            passage's own borders.
    """

    start_s: float
    end_s: float | None
    settings: TargetSettings

    @property
    def stop_s(self) -> float:
        """Where it ends; infinity: with the track."""
        return math.inf if self.end_s is None else self.end_s


NEUTRAL = TargetSettings()
"""Settings that change nothing."""


def overlap(passages: Iterable[Passage]) -> bool:
    """Whether a passage begins, in the order of their beginnings, before the one before ends."""
    ordered = sorted(passages, key=lambda passage: passage.start_s)
    return any(later.start_s < earlier.stop_s for earlier, later in pairwise(ordered))


def _normal(outside: TargetSettings, passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """Returns the one way to say what `passages` say; those that break a rule stay as they are."""
    ordered = sorted(passages, key=lambda passage: passage.start_s)
    if overlap(ordered) or any(item.start_s >= item.stop_s for item in ordered):
        return tuple(ordered)
    kept: list[Passage] = []
    for passage in ordered:
        if passage.settings == outside:
            continue
        before = kept[-1] if kept else None
        if before is not None and _go_on(before, passage):
            fade_in_s = before.settings.fade_in_s
            settings = replace(passage.settings, fade_in_s=fade_in_s)
            kept[-1] = Passage(before.start_s, passage.end_s, settings)
        else:
            kept.append(passage)
    return tuple(kept)


def _go_on(before: Passage, after: Passage) -> bool:
    """Whether nothing changes from one passage to the next."""
    return (
        before.end_s == after.start_s
        and before.settings.fade_out_s == 0.0
        and after.settings.fade_in_s == 0.0
        and replace(before.settings, fade_in_s=0.0) == replace(after.settings, fade_out_s=0.0)
    )
