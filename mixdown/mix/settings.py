"""Settings of the targets of a mix, with their ranges.

Errors: `MixError` ← `MixOutOfRangeError`, `UnknownTargetError`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

MASTER = "mix"
"""The target that stands for the master bus."""

Compression = Literal["none", "low", "medium", "high"]
COMPRESSION_LEVELS: tuple[Compression, ...] = get_args(Compression)
"""Levels of compression, from none to the strongest."""

EqType = Literal["peak", "low_shelf", "high_shelf"]
FilterType = Literal["lowpass", "highpass", "bandpass"]

MAX_EQ_BANDS = 32


class MixError(ValueError):
    """A mix breaks the rules of the mix."""


class MixOutOfRangeError(MixError):
    """A setting lies outside of its range."""

    def __init__(self, target: str, setting: str, value: object, rule: str) -> None:
        super().__init__(f"{target}.{setting} is {value}, but must be {rule}")
        self.target = target
        self.setting = setting
        self.value = value
        self.rule = rule


class UnknownTargetError(MixError):
    """A target is neither a stem of the model in use nor the master bus."""

    def __init__(self, target: str, known: Iterable[str]) -> None:
        self.known = tuple(known)
        super().__init__(f"unknown target {target!r}: known are {', '.join(self.known)}")
        self.target = target


@dataclass(frozen=True)
class Range:
    """The closed range of a number, its neutral value and its unit ("" for a plain number)."""

    minimum: float
    maximum: float
    neutral: float = 0.0
    unit: str = ""

    def clamp(self, value: float) -> float:
        """Returns the nearest allowed value."""
        return min(max(value, self.minimum), self.maximum)

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.minimum <= value <= self.maximum

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.minimum:g} to {self.maximum:g}{unit}"


RANGES: Mapping[str, Range] = {
    "gain_db": Range(-60, 24, unit="dB"),
    "pan": Range(-1, 1),
    "reverb": Range(0, 1),
    "pitch_semitones": Range(-24, 24, unit="semitones"),
    "eq.frequency_hz": Range(20, 20_000, neutral=1000, unit="Hz"),
    "eq.gain_db": Range(-24, 24, unit="dB"),
    "eq.q": Range(0.1, 18, neutral=1),
    "filters.cutoff_hz": Range(20, 20_000, neutral=1000, unit="Hz"),
}
"""The range of every number of a mix, by setting."""


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
    """Settings of one target; every default is neutral. `Mix` tells the ranges."""

    gain_db: float = 0.0
    muted: bool = False
    pan: float = 0.0
    reverb: float = 0.0
    pitch_semitones: float = 0.0
    compression: Compression = "none"
    eq: tuple[EqBand, ...] = ()
    filters: tuple[Filter, ...] = ()

    @property
    def is_neutral(self) -> bool:
        """Whether these settings change nothing."""
        return self == NEUTRAL

    def changed(self) -> dict[str, Any]:
        """Returns the settings that are not neutral, by name."""
        return {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if getattr(self, item.name) != getattr(NEUTRAL, item.name)
        }


NEUTRAL = TargetSettings()
"""Settings that change nothing."""


@dataclass(frozen=True)
class Mix:
    """Settings of every target that is not neutral.

    Two mixes that sound the same compare equal: neutral targets are dropped, the rest is sorted.

    Args:
        targets: Settings by target: a stem's name or `MASTER`.
    """

    targets: Mapping[str, TargetSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {name: self.targets[name] for name in sorted(self.targets)}
        object.__setattr__(
            self, "targets", {name: value for name, value in kept.items() if not value.is_neutral}
        )

    def __hash__(self) -> int:
        return hash(self.canonical_json())

    def __getitem__(self, target: str) -> TargetSettings:
        return self.targets.get(target, NEUTRAL)

    @property
    def is_neutral(self) -> bool:
        """Whether this mix is the original."""
        return not self.targets

    def with_target(self, target: str, settings: TargetSettings) -> Mix:
        """Returns this mix with other settings for one target."""
        return Mix({**self.targets, target: settings})

    def change(self, target: str, **settings: Any) -> Mix:
        """Returns this mix with some settings of one target replaced.

        >>> Mix().change("vocals", gain_db=3.0)["vocals"].gain_db
        3.0
        """
        return self.with_target(target, replace(self[target], **settings))

    def check(self, stems: Iterable[str]) -> None:
        """Checks every target and every range.

        Raises:
            UnknownTargetError: a target is neither in `stems` nor `MASTER`.
            MixOutOfRangeError: a setting is outside of its range.
        """
        known = (*stems, MASTER)
        for target, settings in self.targets.items():
            if target not in known:
                raise UnknownTargetError(target, known)
            _check_settings(target, settings)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns plain JSON types, without what is neutral."""
        return {target: _plain(settings.changed()) for target, settings in self.targets.items()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Mapping[str, Any]]) -> Mix:
        """Reads what `to_dict` wrote. Raises MixError for a document of another shape."""
        try:
            return cls({target: _settings(values) for target, values in document.items()})
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise MixError(f"not a mix: {error}") from error

    def canonical_json(self) -> str:
        """Returns the one JSON text of this mix: sorted keys, nothing neutral, no spaces."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [
                {key: plain(item) for key, item in vars(element).items() if item is not None}
                for element in value
            ]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    return {name: plain(value) for name, value in values.items()}


def _settings(values: Mapping[str, Any]) -> TargetSettings:
    known = dict(values)
    eq = tuple(EqBand(**band) for band in known.pop("eq", ()))
    filters = tuple(Filter(**item) for item in known.pop("filters", ()))
    return TargetSettings(**known, eq=eq, filters=filters)


def _check_settings(target: str, settings: TargetSettings) -> None:
    def check(setting: str, value: float | None) -> None:
        if value is None or value not in RANGES[setting]:
            raise MixOutOfRangeError(target, setting, value, str(RANGES[setting]))

    for name in ("gain_db", "pan", "reverb", "pitch_semitones"):
        check(name, getattr(settings, name))
    if settings.compression not in COMPRESSION_LEVELS:
        raise MixOutOfRangeError(
            target, "compression", settings.compression, f"one of {', '.join(COMPRESSION_LEVELS)}"
        )
    if len(settings.eq) > MAX_EQ_BANDS:
        raise MixOutOfRangeError(
            target, "eq", f"{len(settings.eq)} bands", f"at most {MAX_EQ_BANDS} bands"
        )
    for band in settings.eq:
        if band.type not in get_args(EqType):
            raise MixOutOfRangeError(
                target, "eq.type", band.type, f"one of {', '.join(get_args(EqType))}"
            )
        check("eq.frequency_hz", band.frequency_hz)
        check("eq.gain_db", band.gain_db)
        check("eq.q", band.q)
    types = [item.type for item in settings.filters]
    if len(types) != len(set(types)):
        raise MixOutOfRangeError(target, "filters", ", ".join(types), "at most one of each type")
    for item in settings.filters:
        _check_filter(target, item)


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
