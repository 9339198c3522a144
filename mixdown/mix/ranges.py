"""The range of every number of a mix, and what breaks it.

Errors: `MixError` ← `MixOutOfRangeError`, `UnknownTargetError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


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
    "echo": Range(0, 1),
    "echo_time_ms": Range(20, 2000, neutral=350, unit="ms"),
    "echo_feedback": Range(0, 0.9, neutral=0.35),
    "chorus": Range(0, 1),
    "distortion": Range(0, 1),
    "width": Range(0, 2, neutral=1),
    "fade_in_s": Range(0, 600, unit="s"),
    "fade_out_s": Range(0, 600, unit="s"),
    "passages.start_s": Range(0, 86_400, unit="s"),
    "passages.end_s": Range(0, 86_400, unit="s"),
}
"""The range of every number of a mix, by setting. What is not said is neutral."""
