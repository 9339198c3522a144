"""Edits applied to a mix: pure functions that clamp what is out of range and say so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mixdown.mix import (
    COMPRESSION_LEVELS,
    MAX_EQ_BANDS,
    MAX_PASSAGES,
    NEUTRAL,
    RANGES,
    EqBand,
    Filter,
    Mix,
    TargetSettings,
    edited,
)
from services.interpreter.intent import (
    NUMBER_SETTINGS,
    Adjustment,
    Clearing,
    CompressionChange,
    Edit,
    Limitation,
    TimeRange,
)

SAME_BAND_OCTAVES = 1 / 6
"""An edit this close to a band of the same type changes that band."""

MIN_BANDPASS_RATIO = 1.05
"""How far apart the corners of a band-pass stay when words ask for less."""


@dataclass(frozen=True)
class Applied:
    """A mix after edits, and what had to be clamped or left out."""

    mix: Mix
    limitations: tuple[Limitation, ...] = ()


def apply_edits(mix: Mix, edits: Iterable[Edit]) -> Applied:
    """Applies edits in order. Never raises for a value out of range: it is clamped."""
    limitations: list[Limitation] = []
    for edit in edits:
        report: list[Limitation] = []
        settings = _in_its_range(mix[edit.target], edit, report)
        if len(settings.passages) > MAX_PASSAGES:
            text = f"the {edit.target} already change {MAX_PASSAGES} times; I left that out"
            limitations.append(Limitation("not_done", text, edit.target, edit.setting))
            continue
        # A change may meet several passages and be clamped alike in each.
        limitations += dict.fromkeys(report)
        mix = mix.with_target(edit.target, settings)
    return Applied(mix, tuple(limitations))


def _in_its_range(settings: TargetSettings, edit: Edit, report: list[Limitation]) -> TargetSettings:
    if isinstance(edit.change, Clearing) and edit.change.setting == "passages":
        return replace(settings, passages=())
    if isinstance(edit.change, Clearing) and edit.change.setting == "all" and edit.range is None:
        return NEUTRAL
    stretch = edit.range or TimeRange(0.0)
    start_s = RANGES["passages.start_s"].clamp(stretch.start_s)
    end_s = stretch.end_s
    if end_s is not None:
        end_s = RANGES["passages.end_s"].clamp(end_s)
        if end_s <= start_s:
            return settings
    return edited(settings, lambda held: _rounded(_changed(held, edit, report)), start_s, end_s)


def difference(before: Mix, after: Mix) -> tuple[Edit, ...]:
    """Returns edits that turn one mix into the other, all of them absolute."""
    edits: list[Edit] = []
    for target in sorted({*before.targets, *after.targets}):
        old, new = before[target], after[target]
        if new.is_neutral and not old.is_neutral:
            edits.append(Edit(target, "clear", Clearing("all")))
            continue
        if old.passages and old != new:
            # An edit everywhere would reach into them.
            edits.append(Edit(target, "clear", Clearing("passages")))
        for setting in NUMBER_SETTINGS:
            if getattr(old, setting) != getattr(new, setting):
                edits.append(Edit(target, setting, Adjustment(getattr(new, setting), False)))
        if old.muted != new.muted:
            edits.append(Edit(target, "muted", new.muted))
        if old.compression != new.compression:
            edits.append(Edit(target, "compression", CompressionChange(new.compression)))
        edits += _band_differences(target, old, new)
        edits += _passages_of(target, new) if old != new else ()
    return tuple(edits)


def _passages_of(target: str, new: TargetSettings) -> Iterator[Edit]:
    """Yields edits that make passages, each of them told by what differs from the outside."""
    for passage in new.passages:
        stretch = TimeRange(passage.start_s, passage.end_s)
        inside = difference(Mix({target: new.outside}), Mix({target: passage.settings}))
        yield from (replace(edit, range=stretch) for edit in inside)


def _band_differences(target: str, old: TargetSettings, new: TargetSettings) -> list[Edit]:
    edits: list[Edit] = []
    if old.eq != new.eq:
        if old.eq:
            edits.append(Edit(target, "clear", Clearing("eq")))
        edits += [Edit(target, "eq", band) for band in new.eq]
    if old.filters != new.filters:
        if old.filters:
            edits.append(Edit(target, "clear", Clearing("filters")))
        edits += [Edit(target, "filters", item) for item in new.filters]
    return edits


def _changed(settings: TargetSettings, edit: Edit, report: list[Limitation]) -> TargetSettings:
    match edit.change:
        case bool(muted):
            return replace(settings, muted=muted)
        case Adjustment() as change:
            base = float(getattr(settings, edit.setting))
            wanted = base + change.value if change.relative else change.value
            value = _clamp(edit.target, edit.setting, wanted, report)
            values: Mapping[str, Any] = {edit.setting: value}
            return replace(settings, **values)
        case CompressionChange() as change:
            return replace(settings, compression=_level(settings, change))
        case EqBand() as band:
            return _with_band(settings, edit.target, band, report)
        case Filter() as item:
            return _with_filter(settings, edit.target, item, report)
        case Clearing() as clearing:
            return cleared(settings, clearing)


def _level(settings: TargetSettings, change: CompressionChange) -> Any:
    if change.level is not None:
        return change.level
    index = COMPRESSION_LEVELS.index(settings.compression) + change.levels
    return COMPRESSION_LEVELS[min(max(index, 0), len(COMPRESSION_LEVELS) - 1)]


def _with_band(
    settings: TargetSettings, target: str, band: EqBand, report: list[Limitation]
) -> TargetSettings:
    frequency_hz = _clamp(target, "eq.frequency_hz", band.frequency_hz, report)
    q = _clamp(target, "eq.q", band.q, report)
    bands = list(settings.eq)
    for index, old in enumerate(bands):
        if old.type == band.type and is_same_band(old.frequency_hz, frequency_hz):
            gain_db = _clamp(target, "eq.gain_db", old.gain_db + band.gain_db, report)
            new_q = q if band.q != 1.0 else old.q
            bands[index] = EqBand(old.type, old.frequency_hz, gain_db, new_q)
            kept = tuple(item for item in bands if abs(item.gain_db) > 1e-9)
            return replace(settings, eq=kept)
    if len(bands) >= MAX_EQ_BANDS:
        text = f"the equaliser of {target} is full ({MAX_EQ_BANDS} bands)"
        report.append(Limitation("not_done", text, target, "eq"))
        return settings
    gain_db = _clamp(target, "eq.gain_db", band.gain_db, report)
    if abs(gain_db) <= 1e-9:
        return settings
    return replace(settings, eq=(*bands, EqBand(band.type, frequency_hz, gain_db, q)))


def is_same_band(one_hz: float, other_hz: float) -> bool:
    """Whether two frequencies lie within a sixth of an octave of each other."""
    return abs(math.log2(one_hz / other_hz)) <= SAME_BAND_OCTAVES + 1e-9


def _with_filter(
    settings: TargetSettings, target: str, item: Filter, report: list[Limitation]
) -> TargetSettings:
    def corner(value: float | None) -> float:
        assert value is not None
        return _clamp(target, "filters.cutoff_hz", value, report)

    if item.type == "bandpass":
        low_hz, high_hz = sorted((corner(item.low_hz), corner(item.high_hz)))
        if high_hz < low_hz * MIN_BANDPASS_RATIO:
            corners = RANGES["filters.cutoff_hz"]
            low_hz = min(low_hz, corners.maximum / MIN_BANDPASS_RATIO)
            high_hz = low_hz * MIN_BANDPASS_RATIO
        item = Filter("bandpass", low_hz=low_hz, high_hz=high_hz)
    else:
        item = Filter(item.type, cutoff_hz=corner(item.cutoff_hz))
    kept = tuple(old for old in settings.filters if old.type != item.type)
    return replace(settings, filters=(*kept, item))


def cleared(settings: TargetSettings, clearing: Clearing) -> TargetSettings:
    """Returns settings without what `clearing` names."""
    match clearing.setting:
        case "all":
            return NEUTRAL
        case "eq":
            return replace(settings, eq=())
        case "filters":
            return replace(settings, filters=())
        case "passages":
            return replace(settings, passages=())
        case "filter":
            kept = tuple(item for item in settings.filters if item.type != clearing.filter_type)
            return replace(settings, filters=kept)
        case "eq_band":
            assert clearing.frequency_hz is not None
            bands = tuple(
                band
                for band in settings.eq
                if not is_same_band(band.frequency_hz, clearing.frequency_hz)
            )
            return replace(settings, eq=bands)


def _clamp(target: str, setting: str, wanted: float, report: list[Limitation]) -> float:
    allowed = RANGES[setting]
    used = allowed.clamp(wanted)
    if abs(used - wanted) > 1e-6:
        text = _clamped_text(target, setting, wanted, used)
        report.append(Limitation("clamped", text, target, setting, wanted, used))
    return used


_NOUNS = {
    name: f" of {name}" for name in ("reverb", "pan", "echo", "chorus", "distortion", "width")
} | {"echo_feedback": " of echo feedback"}


def _clamped_text(target: str, setting: str, wanted: float, used: float) -> str:
    if setting == "reverb" and used == 0:
        return f"there is no more reverb on the {target} to take away"
    unit = RANGES[setting].unit
    unit = f" {unit}" if unit else _NOUNS.get(setting, "")
    sign = "+" if setting in {"gain_db", "eq.gain_db", "pitch_semitones"} else ""
    more = "more" if wanted > used else "less"
    return f"{wanted:{sign}.4g}{unit} is {more} than I can do; I used {used:{sign}.4g}{unit}"


def _rounded(settings: TargetSettings) -> TargetSettings:
    """Keeps sums of decimal steps decimal, so that −3 after +3 is neutral again."""
    values: Mapping[str, Any] = {
        name: round(getattr(settings, name), 6) + 0.0 for name in NUMBER_SETTINGS
    }
    return replace(settings, **values)
