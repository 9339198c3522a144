"""Equaliser, filters and tone words: a clause to bands and filters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

from mixdown.mix import EqBand, EqType, Filter, FilterType, TargetSettings
from services.interpreter.builtin.amounts import (
    degree_too,
    factor,
    is_excess,
    is_insufficient,
    is_reduction,
    placement,
)
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.edits import is_same_band
from services.interpreter.intent import Clearing
from services.interpreter.language.lexemes import Number
from services.interpreter.language.word_classes import STATING

EQ_STEP_DB = 3.0
NARROW_Q = 4.0
WIDE_Q = 0.5
SMALLEST_PLAIN_HZ = 30
"""A number without a unit is a frequency from here on."""

REGIONS: Mapping[str, tuple[EqType, float]] = {
    "sub": ("low_shelf", 60.0),
    "low": ("low_shelf", 100.0),
    "low_mid": ("peak", 300.0),
    "mid": ("peak", 1000.0),
    "high_mid": ("peak", 3000.0),
    "presence": ("peak", 4000.0),
    "high": ("high_shelf", 8000.0),
    "air": ("high_shelf", 12_000.0),
}
"""The band that a word of tone means."""

_LOW_UP = EqBand("low_shelf", 180.0, 3.0)
_LOW_DOWN = EqBand("low_shelf", 180.0, -3.0)
_HIGH_UP = EqBand("high_shelf", 3500.0, 3.5)
_HIGH_DOWN = EqBand("high_shelf", 3500.0, -3.5)

TONES: Mapping[str, tuple[EqBand, ...]] = {
    "warm": (_LOW_UP, EqBand("high_shelf", 3000.0, -2.5)),
    "bright": (_LOW_DOWN, EqBand("high_shelf", 2500.0, 3.5)),
    "dark": (_LOW_UP, EqBand("high_shelf", 2500.0, -3.5)),
    "muddy": (EqBand("low_shelf", 250.0, 3.0), EqBand("high_shelf", 4000.0, -2.5)),
    "crisp": (_LOW_DOWN, EqBand("high_shelf", 2500.0, 3.0)),
    "airy": (EqBand("low_shelf", 180.0, -2.5), EqBand("high_shelf", 8000.0, 4.0)),
    "thin": (EqBand("low_shelf", 250.0, -3.5), EqBand("high_shelf", 2000.0, 2.5)),
    "tinny": (EqBand("low_shelf", 250.0, -3.5), EqBand("high_shelf", 2000.0, 3.0)),
    "punchy": (EqBand("low_shelf", 150.0, 3.5), EqBand("high_shelf", 5000.0, -2.0)),
    "heavy": (EqBand("low_shelf", 150.0, 3.5), EqBand("high_shelf", 4500.0, -2.0)),
    "boomy": (EqBand("low_shelf", 120.0, 4.0), EqBand("high_shelf", 4000.0, -2.5)),
    "fat": (EqBand("low_shelf", 200.0, 3.5), EqBand("high_shelf", 5000.0, -2.0)),
    "mellow": (EqBand("low_shelf", 200.0, 2.5), EqBand("high_shelf", 2000.0, -3.0)),
    "soft": (EqBand("low_shelf", 200.0, 2.0), EqBand("high_shelf", 2000.0, -3.0)),
    "harsh": (EqBand("peak", 3200.0, 3.5, 0.7), EqBand("peak", 6000.0, 2.5, 0.9)),
    "sibilant": (EqBand("peak", 6500.0, 4.0, 1.0), EqBand("peak", 3000.0, 1.5, 0.8)),
    "boxy": (EqBand("peak", 450.0, 3.5, 1.0),),
    "nasal": (EqBand("peak", 1000.0, 3.5, 1.2),),
    "bassy": (EqBand("low_shelf", 100.0, 3.0),),
    "clear": (EqBand("peak", 300.0, -2.0), EqBand("peak", 4000.0, 3.0, 0.7)),
}
"""EQ moves for words of tone at their default strength, in the direction listeners agree on."""

TELEPHONE = Filter("bandpass", low_hz=300.0, high_hz=3400.0)
MUFFLED = Filter("lowpass", cutoff_hz=800.0)
RUMBLE = Filter("highpass", cutoff_hz=80.0)
DEFAULT_FILTERS: Mapping[FilterType, Filter] = {
    "lowpass": Filter("lowpass", cutoff_hz=1000.0),
    "highpass": Filter("highpass", cutoff_hz=200.0),
    "bandpass": TELEPHONE,
}


# --- Tone words ----------------------------------------------------------------------------------


def tone_bands(clause: Clause) -> tuple[EqBand, ...]:
    """Returns the EQ moves of a tone word, scaled by "a bit" and reversed by "less"."""
    sign = 1 if is_insufficient(clause) else -1 if _is_unwanted(clause) else 1
    if sign > 0 and clause.has("tone", *_BAD_TONES) and _is_only_named(clause):
        raise UnclearError("More of that, or less?")
    scale = sign * factor(clause)
    bands: list[EqBand] = []
    for value in clause.values("tone"):
        bands += [
            EqBand(band.type, band.frequency_hz, round(band.gain_db * scale, 3), band.q)
            for band in TONES[value]
        ]
    return tuple(bands)


def _is_unwanted(clause: Clause) -> bool:
    if is_stated_fault(clause):
        return True
    unwanted = is_reduction(clause) or clause.any_of(("remove", "off", "mute")) or is_excess(clause)
    return unwanted or (clause.has("vague") and any(v in clause.text for v in ("fix", "clean")))


def _is_only_named(clause: Clause) -> bool:
    """Whether nothing says that a bad tone is wanted: "the sss region on her voice"."""
    asks = clause.any_of(("set", "give", "add", "more", "up", "even", "need", "small", "big"))
    words = [item.text for item in clause.lexemes if item.has("tone")]
    compared = any(word.endswith(("er", "en")) for word in words)
    return not (asks or compared or clause.has("like") or is_insufficient(clause))


_DULL_WORDS = {"dull", "thin", "mushy", "lifeless", "woolly", "shrill", "dark"}
_BAD_TONES = ("muddy", "boomy", "harsh", "sibilant", "tinny", "boxy", "nasal")


def is_stated_fault(clause: Clause) -> bool:
    """Whether a bad tone is only stated: "the mix sounds muddy", "the esses are sibilant"."""
    places = [
        index
        for index, item in enumerate(clause.lexemes)
        if item.has("tone", *_BAD_TONES) or item.text in _DULL_WORDS
    ]
    if places and any(item.text == "still" for item in clause.lexemes[: places[0]]):
        return not clause.any_of(("set", "give", "add", "more"))  # "still muddy"
    if not places or clause.any_of(("set", "give", "add", "more", "up", "even", "need")):
        return False
    return any(
        item.text in STATING or item.has("complaint") for item in clause.lexemes[: places[-1]]
    )


# --- Equaliser -----------------------------------------------------------------------------------


def eq_changes(
    clause: Clause, settings: TargetSettings, *, bass_is_tone: bool = False
) -> tuple[EqBand | Clearing, ...]:
    """Reads bands of the equaliser."""
    frequencies = _frequencies(clause)
    if not frequencies and clause.has("eq", "eq") and _is_cleared(clause):
        return (Clearing("eq"),)
    places = _places(clause, frequencies, bass_is_tone=bass_is_tone)
    if not places:
        raise UnclearError("Which frequency should I change, and by how many dB?")
    cleared = _cleared_bands(clause, settings, places)
    if cleared:
        return cleared
    gain_db, absolute = _eq_gain(clause, {number.value for number in frequencies})
    q = _q(clause)
    bands: list[EqBand | Clearing] = []
    for kind, frequency_hz, natural_q in places:
        now = sum(
            band.gain_db
            for band in settings.eq
            if absolute and band.type == kind and is_same_band(band.frequency_hz, frequency_hz)
        )
        bands.append(EqBand(kind, frequency_hz, gain_db - now, q or natural_q))
    return tuple(bands)


def _frequencies(clause: Clause) -> list[Number]:
    found = clause.numbers("hz")
    if found:
        return [number for number in found if number.value > 0]
    plain = [n for n in clause.numbers("") if n.value >= SMALLEST_PLAIN_HZ and not n.signed]
    measured = clause.numbers("db") or any(number.signed for number in clause.numbers(""))
    placed = measured and clause.any_of(("to", "bound"))  # "-2 at 250", "3 dB of mud around 300"
    return plain if placed or clause.has("eq") or clause.any_of(("up", "down")) else []


def _is_cleared(clause: Clause) -> bool:
    return clause.any_of(("remove", "off", "neutral", "reset", "undo"))


def _places(
    clause: Clause, frequencies: list[Number], *, bass_is_tone: bool
) -> list[tuple[EqType, float, float]]:
    kind: EqType | None = None
    for name in ("peak", "low_shelf", "high_shelf"):
        if clause.has("eq", name):
            kind = name
    if clause.has("eq", "shelf"):
        low = clause.has("region", "low", "sub") or any(n.value < 1000 for n in frequencies)
        kind = "low_shelf" if low else "high_shelf"
    if frequencies:
        is_range = len(frequencies) == 2 and (
            frequencies[1].is_range_end
            or clause.has("bound", "between")
            or _is_one_to_other(clause)
            or "from" in clause.text.split()
        )
        if is_range:
            low_hz, high_hz = sorted(number.value for number in frequencies)
            centre_hz = math.sqrt(low_hz * high_hz)
            return [(kind or "peak", centre_hz, round(centre_hz / max(high_hz - low_hz, 1.0), 3))]
        below, above = clause.has("bound", "below"), clause.has("bound", "above")
        natural: EqType = "low_shelf" if below else "high_shelf" if above else "peak"
        return [(kind or natural, number.value, 1.0) for number in frequencies]
    regions = clause.values("region") or (["low"] if bass_is_tone else [])
    if not regions and kind in {"low_shelf", "high_shelf"}:
        regions = ["low" if kind == "low_shelf" else "high"]
    return [(kind or REGIONS[name][0], REGIONS[name][1], 1.0) for name in regions]


def _is_one_to_other(clause: Clause) -> bool:
    """Whether nothing but "to" stands between two numbers: "cut 200 to 400 by 3", "2k-4k"."""
    items = clause.lexemes
    return any(
        a.number and b.number and a.number.unit == b.number.unit == "hz" for a, b in pairwise(items)
    ) or any(
        item.number and items[i + 1].text == "to" and items[i + 2].number
        for i, item in enumerate(items[:-2])
    )


def _cleared_bands(
    clause: Clause, settings: TargetSettings, places: list[tuple[EqType, float, float]]
) -> tuple[Clearing, ...]:
    """Reads "remove the 3k boost" as taking that band away; asks where there is none."""
    if not clause.any_of(("remove", "off", "neutral", "undo", "reset")) or clause.numbers("db"):
        return ()
    if factor(clause) == 0.5 and not _frequencies(clause):
        return ()
    known = [
        Clearing("eq_band", frequency_hz=frequency_hz)
        for _, frequency_hz, _ in places
        if any(is_same_band(band.frequency_hz, frequency_hz) for band in settings.eq)
    ]
    if not known:
        raise UnclearError("By how many dB should I cut there?")
    return tuple(known)


def _eq_gain(clause: Clause, frequencies: set[float]) -> tuple[float, bool]:
    """Returns the gain in dB and whether it is the new gain of the band."""
    numbers = clause.numbers("db") or [
        number
        for number in clause.numbers("")
        if number.value not in frequencies and not _is_q(clause, number)
    ]
    up = clause.any_of(("up", "more", "add", "even")) or is_insufficient(clause)
    down = clause.any_of(("down", "less", "remove", "off")) or is_excess(clause)
    if degree_too(clause):
        up = False
    if clause.has("up", "plain") and clause.has("down") and not clause.has("more"):
        raise UnclearError("Up or down, and by how many dB?")
    if up and down and not clause.has("add"):
        up = clause.has("more") and not clause.has("less")
        down = not up
    if not numbers:
        wanted = clause.has("region") and clause.has("give")
        if not (up or down or wanted or clause.any_of(("medium", "small"))):
            raise UnclearError("Up or down, and by how many dB?")
        return (-1 if down else 1) * EQ_STEP_DB * factor(clause), False
    number = numbers[0]
    if abs(number.value) > 60:
        raise UnclearError("By how many dB?")
    if placement(clause, number) == "to" and number.unit == "db" and clause.has("set") and not up:
        return number.value, True
    return (-abs(number.value) if down else number.value), False


def _is_q(clause: Clause, number: Number) -> bool:
    place = next(i for i, item in enumerate(clause.lexemes) if item.number is number)
    return any(item.has("q", "q") for item in clause.lexemes[max(0, place - 3) : place])


def _q(clause: Clause) -> float | None:
    for number in clause.numbers(""):
        if _is_q(clause, number):
            return number.value
    if clause.has("q", "narrow"):
        return NARROW_Q
    if clause.has("q", "wide"):
        return WIDE_Q
    return NARROW_Q if "notch" in clause.text else None


# --- Filters -------------------------------------------------------------------------------------


def filter_change(clause: Clause, settings: TargetSettings) -> Filter | Clearing:
    """Reads a filter to set or to take away."""
    kinds = clause.values("filter")
    if not kinds and clause.any_of(("bound",)):
        return _moved_filter(clause, settings)
    removed = clause.any_of(("remove", "off", "neutral")) or (
        clause.has("mute") and not clause.has("filter", "muffled")
    )
    if "rumble" in kinds:
        if not (removed or clause.any_of(("down", "less", "toomuch", "too")) or len(kinds) > 1):
            raise UnclearError("Should I filter the rumble out with a high-pass?")
        kinds = [kind for kind in kinds if kind != "rumble"] or ["rumble"]
        removed = False
    kind = next((item for item in kinds if item != "any"), "any")
    if kind == "rumble":
        number = _corner(clause)
        return Filter("highpass", cutoff_hz=number) if number else RUMBLE
    if removed or (clause.any_of(("less", "too")) and kind in {"muffled", "telephone"}):
        return _without_filter(kind, settings)
    if kind == "any":
        return _moved_filter(clause, settings)
    if kind in {"telephone", "bandpass"}:
        return _bandpass(clause)
    if kind == "muffled":
        number = _corner(clause)
        return Filter("lowpass", cutoff_hz=number) if number else MUFFLED
    name: FilterType = "lowpass" if kind == "lowpass" else "highpass"
    number = _corner(clause)
    if number:
        return Filter(name, cutoff_hz=number)
    if clause.any_of(("more", "less", "even")):
        raise UnclearError("At which frequency should the filter sit?")
    return DEFAULT_FILTERS[name]


def _without_filter(kind: str, settings: TargetSettings) -> Clearing:
    types: Mapping[str, FilterType] = {
        "lowpass": "lowpass",
        "highpass": "highpass",
        "bandpass": "bandpass",
        "telephone": "bandpass",
        "muffled": "lowpass",
    }
    if kind == "any":
        return Clearing("filters")
    if not any(item.type == types[kind] for item in settings.filters) and kind == "muffled":
        raise UnclearError("Should I bring up the highs?")
    return Clearing("filter", filter_type=types[kind])


def _moved_filter(clause: Clause, settings: TargetSettings) -> Filter:
    number = _corner(clause)
    below, above = clause.has("bound", "below"), clause.has("bound", "above")
    if number and (below or above):
        return Filter("highpass" if below else "lowpass", cutoff_hz=number)
    if number and len(settings.filters) == 1 and settings.filters[0].type != "bandpass":
        return Filter(settings.filters[0].type, cutoff_hz=number)
    raise UnclearError("Which filter: low-pass, high-pass or band-pass, and at which frequency?")


def _bandpass(clause: Clause) -> Filter:
    numbers = [n for n in clause.numbers("hz", "") if n.value >= 20]
    if len(numbers) >= 2:
        low_hz, high_hz = sorted(number.value for number in numbers[:2])
        return Filter("bandpass", low_hz=low_hz, high_hz=high_hz)
    if numbers:
        # One frequency is the middle: an octave around it.
        centre_hz = numbers[0].value
        return Filter("bandpass", low_hz=centre_hz / math.sqrt(2), high_hz=centre_hz * math.sqrt(2))
    return TELEPHONE


def _corner(clause: Clause) -> float | None:
    numbers = clause.numbers("hz") or [n for n in clause.numbers("") if n.value >= 20]
    return numbers[-1].value if numbers else None
