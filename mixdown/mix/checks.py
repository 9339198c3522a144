"""The rules of the settings of a target, beyond their types."""

from __future__ import annotations

from typing import get_args

from mixdown.mix.ranges import RANGES, MixOutOfRangeError
from mixdown.mix.settings import (
    COMPRESSION_LEVELS,
    MAX_EQ_BANDS,
    MAX_PASSAGES,
    EqBand,
    EqType,
    Filter,
    FilterType,
    Passage,
    TargetSettings,
    overlap,
)

_NUMBERS = tuple(name for name in RANGES if "." not in name)


def check_settings(target: str, settings: TargetSettings) -> None:
    """Checks the settings of `target`, at every point in time.

    Raises:
        MixOutOfRangeError: a setting is outside of its range. It names a setting of a passage as
            "passages.settings.gain_db".
    """
    for name in _NUMBERS:
        _check_number(target, name, getattr(settings, name))
    if settings.compression not in COMPRESSION_LEVELS:
        raise MixOutOfRangeError(
            target, "compression", settings.compression, f"one of {', '.join(COMPRESSION_LEVELS)}"
        )
    _check_count(target, "eq", "bands", len(settings.eq), MAX_EQ_BANDS)
    for band in settings.eq:
        _check_band(target, band)
    types = [item.type for item in settings.filters]
    if len(types) != len(set(types)):
        raise MixOutOfRangeError(target, "filters", ", ".join(types), "at most one of each type")
    for item in settings.filters:
        _check_filter(target, item)
    _check_count(target, "passages", "passages", len(settings.passages), MAX_PASSAGES)
    if overlap(settings.passages):
        raise MixOutOfRangeError(target, "passages", "overlapping", "one after another")
    for passage in settings.passages:
        _check_passage(target, passage)


def _check_number(target: str, setting: str, value: float | None) -> None:
    if value is None or value not in RANGES[setting]:
        raise MixOutOfRangeError(target, setting, value, str(RANGES[setting]))


def _check_count(target: str, setting: str, what: str, count: int, most: int) -> None:
    if count > most:
        raise MixOutOfRangeError(target, setting, f"{count} {what}", f"at most {most} {what}")


def _check_band(target: str, band: EqBand) -> None:
    if band.type not in get_args(EqType):
        raise MixOutOfRangeError(
            target, "eq.type", band.type, f"one of {', '.join(get_args(EqType))}"
        )
    _check_number(target, "eq.frequency_hz", band.frequency_hz)
    _check_number(target, "eq.gain_db", band.gain_db)
    _check_number(target, "eq.q", band.q)


def _check_passage(target: str, passage: Passage) -> None:
    _check_number(target, "passages.start_s", passage.start_s)
    if passage.end_s is not None:
        _check_number(target, "passages.end_s", passage.end_s)
        if passage.end_s <= passage.start_s:
            raise MixOutOfRangeError(target, "passages.end_s", passage.end_s, "after start_s")
    if passage.settings.passages:
        raise MixOutOfRangeError(
            target, "passages.settings.passages", "not empty", "empty within a passage"
        )
    try:
        check_settings(target, passage.settings)
    except MixOutOfRangeError as error:
        setting = f"passages.settings.{error.setting}"
        raise MixOutOfRangeError(target, setting, error.value, error.rule) from None


def _check_filter(target: str, item: Filter) -> None:
    corners = RANGES["filters.cutoff_hz"]
    if item.type not in get_args(FilterType):
        raise MixOutOfRangeError(
            target, "filters.type", item.type, f"one of {', '.join(get_args(FilterType))}"
        )
    if item.type != "bandpass":
        if item.cutoff_hz is None or item.cutoff_hz not in corners:
            raise MixOutOfRangeError(target, "filters.cutoff_hz", item.cutoff_hz, str(corners))
        return
    for name, value in (("low_hz", item.low_hz), ("high_hz", item.high_hz)):
        if value is None or value not in corners:
            raise MixOutOfRangeError(target, f"filters.{name}", value, str(corners))
    assert item.low_hz is not None and item.high_hz is not None
    if item.low_hz >= item.high_hz:
        raise MixOutOfRangeError(target, "filters.low_hz", item.low_hz, "below high_hz")
