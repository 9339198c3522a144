"""Loudness, position, reverb, pitch and compression: a clause to changes of one setting.

Each reader takes a clause that is about its setting and the settings of the target now, and returns
a change, or raises `UnclearError` where the words leave open what is meant.
"""

from __future__ import annotations

import math
from dataclasses import replace

from mixdown.mix import TargetSettings
from services.interpreter.builtin.amounts import (
    decibels,
    degree_too,
    factor,
    is_addition,
    is_excess,
    is_insufficient,
    is_reduction,
    is_strong,
    is_weak,
    placement,
    share_of_one,
)
from services.interpreter.builtin.clauses import Clause
from services.interpreter.intent import Adjustment, CompressionChange
from services.interpreter.language.lexemes import Number

GAIN_STEP_DB = 3.0
REVERB_STEP = 0.15
REVERB_DEFAULT = 0.3
REVERB_STRONG = 0.7
PITCH_STEP_SEMITONES = 2.0
PAN_DEFAULT = 0.5
PAN_STEP = 0.25
LARGEST_PLAIN_DB = 24
LARGEST_PLAIN_SEMITONES = 36


class UnclearError(Exception):
    """The words leave open what is meant; the message is the question to ask."""


# --- Loudness ------------------------------------------------------------------------------------


def loudness_direction(clause: Clause) -> int:
    """Returns 1 for louder, −1 for quieter, 0 where neither is said."""
    if clause.has("up", "buried"):
        if clause.has("set"):
            raise UnclearError("By how many dB down?")  # "make the vocals barely audible"
        return 1
    if clause.has("volume") and is_insufficient(clause):
        return 1
    up = clause.any_of(("up",)) or (clause.has("more") and not clause.has("down"))
    down = clause.has("down") or (clause.has("less") and not clause.has("up"))
    down = down or (clause.has("tone", "soft") and bool(clause.numbers("db", "percent")))
    if is_insufficient(clause) and up:
        return 1
    if up and (is_excess(clause) or (is_reduction(clause) and not down) or clause.has("less")):
        return -1
    if down and degree_too(clause):
        return -1 if clause.has("down", "quiet") and "too hot" in clause.text else 1
    if clause.has("lowword") and degree_too(clause):
        return 1
    if up and down:
        if clause.text.startswith(("back", "turn back")) or clause.has("back"):
            return -1
        if clause.has("down", "quiet") and all(
            item.text == "push" for item in clause.with_kind("up")
        ):
            return -1  # "push the vocals to the background"
        raise UnclearError("Up or down?")
    if clause.has("toomuch"):
        return -1
    if is_insufficient(clause) and not down:
        return 1
    return 1 if up else -1 if down else 0


def gain_change(clause: Clause, settings: TargetSettings) -> Adjustment | None:
    """Reads a change of loudness; None where the clause says none."""
    direction = loudness_direction(clause)
    shares = clause.numbers("share") or _thirds(clause)
    if shares:
        return _shared_gain(clause, shares[0], direction)
    numbers = clause.numbers("db", "percent", "times", "")
    if clause.has("neutral") and not numbers and (clause.has("volume") or not direction):
        return Adjustment(0.0, False)
    if clause.has("half", "half") and clause.has("to") and clause.has("volume"):
        return Adjustment(decibels(0.5), False)
    scaled = _scaled_gain(clause, direction)
    if scaled is not None:
        return Adjustment(scaled, True)
    if len({number.value for number in numbers}) > 1:
        if len(numbers) == 2 and numbers[1].is_range_end:
            middle = (abs(numbers[0].value) + abs(numbers[1].value)) / 2
            return Adjustment(middle * (direction or 1), True)
        raise UnclearError("Which of those numbers should I use?")
    if numbers:
        return _numbered_gain(clause, numbers[0], direction)
    if clause.any_of(("max", "min")) and not direction:
        raise UnclearError("How many dB louder or quieter should that be?")
    if clause.has("max") or clause.has("min"):
        raise UnclearError("How many dB should that be?")
    if direction:
        return Adjustment(direction * GAIN_STEP_DB * factor(clause), True)
    return None


_PARTS = {"a third": 1 / 3, "a fourth": 0.25, "a fifth": 0.2, "a sixth": 1 / 6}


def says_part(clause: Clause) -> bool:
    """Whether "a third" is a part of the loudness, not an interval."""
    if says_share(clause):
        return True
    loudness = clause.has("volume") or clause.has("up", "loud") or clause.has("down", "quiet")
    return loudness and not clause.has("pitch") and bool(_thirds(clause))


def says_share(clause: Clause) -> bool:
    """Whether "to a third" is what is to be left of the loudness."""
    for index, item in enumerate(clause.lexemes[:-1]):
        if item.has("to") and clause.lexemes[index + 1].text in _PARTS:
            return not clause.has("pitch")
    return False


def _thirds(clause: Clause) -> list[Number]:
    found = [item for item in clause.lexemes if item.number and item.text in _PARTS]
    return [replace(item.number, value=_PARTS[item.text]) for item in found if item.number]


def _shared_gain(clause: Clause, number: Number, direction: int) -> Adjustment:
    """Reads "to a quarter of their volume" and "by a third"."""
    place = next(
        i
        for i, item in enumerate(clause.lexemes)
        if item.number and (item.number is number or item.text in _PARTS)
    )
    before = [item for item in clause.lexemes[:place] if not item.has("filler")]
    if (before and before[-1].has("to")) or (clause.has("of") and not direction):
        return Adjustment(decibels(number.value), True)
    if not direction:
        raise UnclearError("Up or down by that much, or down to it?")
    return Adjustment(decibels(1 + direction * number.value), True)


def _scaled_gain(clause: Clause, direction: int) -> float | None:
    if clause.any_of(EFFECT_NUMBERS) and clause.numbers("db"):
        return None
    if clause.has("double", "double"):
        return decibels(0.5) if direction < 0 and not clause.has("up") else decibels(2)
    if clause.has("double", "triple"):
        return decibels(3 if direction >= 0 else 1 / 3)
    if clause.has("half", "half"):
        return decibels(0.5)
    times = clause.numbers("times")
    if times and times[0].value > 0:
        ratio = times[0].value
        return decibels(1 / ratio if direction < 0 and ratio > 1 else ratio)
    return None


EFFECT_NUMBERS = ("reverb", "pitch")


def _numbered_gain(clause: Clause, number: Number, direction: int) -> Adjustment:
    placed = placement(clause, number)
    if number.unit == "percent":
        return _percent_gain(clause, number, direction, placed)
    if number.unit == "" and not number.signed and not direction and placed != "to":
        raise UnclearError("Is that a number of dB, and up or down?")
    if number.unit == "" and abs(number.value) > LARGEST_PLAIN_DB and not number.signed:
        raise UnclearError("Is that in dB or percent?")
    if placed == "to" and not number.more:
        if number.value == 0:
            return Adjustment(0.0, False)  # "the bass back to 0"
        if clause.has("up") and number.unit == "" and number.value in _TOPS:
            raise UnclearError("Is that the top of the scale? By how many dB, then?")
        if number.unit == "" and not number.signed and not direction:
            raise UnclearError(f"To how many dB: +{number.value:g} or −{number.value:g}?")
        if direction < 0 and not number.signed and number.value > 0:
            raise UnclearError(f"To −{number.value:g} dB or to +{number.value:g} dB?")
        return Adjustment(number.value, False)
    if number.signed:
        value = -abs(number.value) if direction < 0 else number.value
        return Adjustment(value, True)
    if clause.has("remove") or clause.has("off"):
        direction = -1
    if direction:
        return Adjustment(direction * number.value, True)
    if clause.any_of(("add", "more")) or number.more:
        return Adjustment(number.value, True)
    raise UnclearError(f"{number.value:g} dB up or down?")


_TOPS = {10, 11, 100}
"""Where scales without a unit end: "turn it up to 11"."""


def _percent_gain(clause: Clause, number: Number, direction: int, placed: str) -> Adjustment:
    share = number.value / 100
    relative = (
        number.signed or placed == "by" or clause.has("up", "loud") or clause.has("down", "quiet")
    )
    if placed == "to" or not (direction or relative) or (clause.has("of") and not direction):
        return Adjustment(decibels(share), False)
    if number.signed and not direction:
        return Adjustment(decibels(1 + share), True)
    ratio = 1 + direction * abs(share) if direction else 1 + share
    if ratio <= 0:
        raise UnclearError("That would leave nothing; should I mute it?")
    return Adjustment(decibels(ratio), True)


# --- Reverb --------------------------------------------------------------------------------------


def reverb_change(clause: Clause, settings: TargetSettings) -> Adjustment:
    """Reads a change of the amount of reverb."""
    numbers = clause.numbers("percent", "", "times", "share")
    removed = clause.any_of(("remove", "off")) and not clause.has("up")
    if numbers:
        return _numbered_reverb(clause, numbers[0], settings, removed=removed)
    if clause.has("double", "double"):
        return Adjustment(settings.reverb * 2, False)
    if clause.has("half", "half") and not clause.has("up"):
        whole = settings.reverb if settings.reverb and not _is_half_way_up(clause) else 1.0
        return Adjustment(whole * 0.5, False)
    if is_excess(clause):
        sign = 1 if clause.any_of(("reverb",)) and clause.has("reverb", "dry", "drier") else -1
        return Adjustment(sign * REVERB_STEP * factor(clause), True)
    if clause.has("reverb", "drier") or (clause.has("reverb", "dry") and is_weak(clause)):
        return Adjustment(-REVERB_STEP * factor(clause), True)
    if removed and is_weak(clause):
        return Adjustment(-REVERB_STEP * factor(clause), True)
    if clause.has("max"):
        return Adjustment(1.0, False)
    if clause.has("reverb", "dry") or removed or clause.any_of(("neutral", "mute")):
        return Adjustment(0.0, False)
    if is_reduction(clause):
        return Adjustment(-REVERB_STEP * factor(clause), True)
    if is_addition(clause) or clause.has("reverb", "wet"):
        return Adjustment(REVERB_STEP * factor(clause), True)
    return _stated_reverb(clause, settings)


def _is_half_way_up(clause: Clause) -> bool:
    """Whether half of the scale is meant ("set it to half"), not of what is set."""
    place = clause.index("half", "half")
    led = place > 0 and clause.lexemes[place - 1].has("to")
    following = clause.lexemes[place + 1 : place + 2]
    return led and not following and not clause.any_of(("down", "less", "remove"))


def _numbered_reverb(
    clause: Clause, number: Number, settings: TargetSettings, *, removed: bool
) -> Adjustment:
    if number.unit == "times":
        return Adjustment(settings.reverb * number.value, False)
    share = share_of_one(number)
    assert share is not None
    placed = placement(clause, number)
    down = clause.any_of(("down", "less")) or removed
    relative = number.signed or number.more or placed == "by" or clause.any_of(("more", "less"))
    if placed != "to" and (relative or (clause.any_of(("up", "down")) and not placed)):
        return Adjustment(-abs(share) if down else share, True)
    return Adjustment(share, False)


def _stated_reverb(clause: Clause, settings: TargetSettings) -> Adjustment:
    if clause.has("reverb", "drenched", "big") or is_strong(clause):
        wanted = REVERB_STRONG
    elif clause.has("reverb", "hall"):
        wanted = 0.5
    else:
        wanted = REVERB_STEP if is_weak(clause) else REVERB_DEFAULT
    if clause.has("add") and settings.reverb >= wanted:
        return Adjustment(REVERB_STEP * (0.5 if is_weak(clause) else 1), True)
    return Adjustment(wanted, False)


# --- Pitch ---------------------------------------------------------------------------------------


def pitch_change(clause: Clause, settings: TargetSettings) -> Adjustment:
    """Reads a change of pitch in semitones."""
    numbers = clause.numbers("semitone", "")
    up = clause.any_of(("up",)) or clause.has("pitch", "high") or clause.has("more")
    down = clause.any_of(("down", "less", "lowword")) or clause.has("pitch", "deep")
    down = down or clause.has("bound", "below") or (bool(numbers) and "flat" in clause.text.split())
    if degree_too(clause) and (clause.has("up", "high") or clause.has("lowword")):
        up, down = clause.has("lowword"), clause.has("up", "high")
    if up and down:
        raise UnclearError("Up or down, and by how many semitones?")
    takes_back = clause.any_of(("neutral", "remove", "off")) or (
        clause.has("back") and not (up or down)
    )
    if takes_back and not numbers:
        return Adjustment(0.0, False)
    if len(numbers) > 1:
        return Adjustment(sum(n.value for n in numbers) * (-1 if down else 1), True)
    if _thirds(clause) and not clause.has("pitch") and "turn" in clause.text.split():
        raise UnclearError("Is that an interval, or a part of the loudness?")
    if not numbers:
        if clause.numbers():
            raise UnclearError("By how many semitones?")
        if not (up or down):
            raise UnclearError("Up or down, and by how many semitones?")
        return Adjustment((1 if up else -1) * PITCH_STEP_SEMITONES * factor(clause), True)
    number = numbers[0]
    if not number.unit and abs(number.value) > LARGEST_PLAIN_SEMITONES:
        raise UnclearError("By how many semitones?")  # "tune it to 432"
    if placement(clause, number) == "to" and not (up or down) and not number.more:
        return Adjustment(number.value, False)
    return Adjustment(-abs(number.value) if down else number.value, True)


# --- Position ------------------------------------------------------------------------------------


def pan_change(clause: Clause, settings: TargetSettings) -> Adjustment:
    """Reads a change of position."""
    left, right = clause.has("side", "left"), clause.has("side", "right")
    if clause.has("side", "apart"):
        raise UnclearError("Which of them should go left, and which right?")
    if clause.has("side", "centre") or clause.any_of(("neutral",)):
        step = PAN_STEP if clause.has("small") else abs(settings.pan)  # "a bit towards the middle"
        return Adjustment(math.copysign(max(0.0, abs(settings.pan) - step), settings.pan), False)
    if clause.has("side", "other"):
        if settings.pan == 0:
            raise UnclearError("Left or right?")
        return Adjustment(-settings.pan, False)
    if left and right:
        raise UnclearError("Left or right?")
    numbers = clause.numbers("percent", "")
    if not (left or right):
        return _bare_pan(clause, numbers, settings)
    sign = -1 if left else 1
    if _is_loud_there(clause):
        raise UnclearError("Louder or quieter on that side only? I can move it, not split it.")
    if is_excess(clause) or clause.has("less"):
        return Adjustment(-sign * PAN_STEP * factor(clause), True)
    if numbers:
        share = abs(share_of_one(numbers[0]) or 0.0)
        return Adjustment(sign * share, relative=clause.has("more") or numbers[0].more)
    if clause.any_of(("more", "even")):
        return Adjustment(sign * PAN_STEP * factor(clause), True)
    if clause.has("halfway") or clause.has("half", "half"):
        return Adjustment(sign * PAN_DEFAULT, False)
    if clause.has("hard") or clause.has("max") or _is_only_there(clause):
        return Adjustment(sign * 1.0, False)
    return Adjustment(sign * PAN_DEFAULT * factor(clause), False)


def _is_loud_there(clause: Clause) -> bool:
    """Whether a side is only where something is to be louder: "turn it down in the left ear"."""
    place = clause.index("side")
    led = place > 0 and any(item.text in {"in", "on"} for item in clause.lexemes[:place][-2:])
    moved = clause.any_of(("up", "down")) and not clause.has("pan")
    places = any(item.text in _PLACING for item in clause.with_kind("set"))
    return led and moved and not (places or is_excess(clause))


_PLACING = {"put", "place", "move", "set", "position", "shift", "swing", "slide", "stick"}


def _is_only_there(clause: Clause) -> bool:
    """Whether "only" is about the side ("only in my left ear"), not about a part."""
    place = clause.index("only")
    rest = [item for item in clause.lexemes[place + 1 :] if not item.has("filler")]
    return place >= 0 and not (bool(rest) and (rest[0].has("target") or rest[0].has("six")))


def _bare_pan(clause: Clause, numbers: list[Number], settings: TargetSettings) -> Adjustment:
    if clause.any_of(("remove", "off", "back")):
        return Adjustment(0.0, False)
    if numbers and numbers[0].unit == "" and (numbers[0].signed or abs(numbers[0].value) <= 1):
        return Adjustment(share_of_one(numbers[0]) or 0.0, False)
    if settings.pan and (is_addition(clause) or is_reduction(clause)):
        sign = (1 if settings.pan > 0 else -1) * (-1 if is_reduction(clause) else 1)
        return Adjustment(sign * PAN_STEP * factor(clause), True)
    raise UnclearError("Left or right, and how far?")


# --- Compression ---------------------------------------------------------------------------------


def compression_change(clause: Clause, settings: TargetSettings) -> CompressionChange:
    """Reads a change of the level of compression."""
    removed = clause.any_of(("off", "mute", "neutral")) or (
        clause.has("remove") and not is_weak(clause)
    )
    if clause.has("compression", "uncompress") or removed:
        return CompressionChange("none")
    if is_reduction(clause) and not (clause.has("lowword") and not clause.has("down")):
        return CompressionChange(levels=-1)
    stepped = clause.any_of(("more", "even")) or is_insufficient(clause)
    if stepped or (clause.has("up") and not clause.has("up", "high", "loud")):
        return CompressionChange(levels=2 if clause.has("big", "big") else 1)
    if clause.has("compression", "squash") or is_strong(clause) or clause.has("max"):
        return CompressionChange("high")
    if clause.has("up", "high"):
        return CompressionChange("high")
    if is_weak(clause) or clause.has("lowword"):
        return CompressionChange("low")
    if clause.numbers():
        raise UnclearError("Light, medium or heavy compression?")
    return CompressionChange("medium")
