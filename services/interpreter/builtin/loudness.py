"""Loudness: a clause to a change of gain."""

from __future__ import annotations

from mixdown.mix import TargetSettings
from services.interpreter.builtin.amounts import (
    PARTS,
    decibels,
    degree_too,
    factor,
    is_excess,
    is_insufficient,
    is_reduction,
    placement,
    thirds,
)
from services.interpreter.builtin.clauses import Clause
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.intent import Adjustment
from services.interpreter.language.lexemes import Number

GAIN_STEP_DB = 3.0
LARGEST_PLAIN_DB = 24


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
    shares = clause.numbers("share") or thirds(clause)
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


def _shared_gain(clause: Clause, number: Number, direction: int) -> Adjustment:
    """Reads "to a quarter of their volume" and "by a third"."""
    place = next(
        i
        for i, item in enumerate(clause.lexemes)
        if item.number and (item.number is number or item.text in PARTS)
    )
    before = [item for item in clause.lexemes[:place] if not item.has("filler")]
    if [item.text for item in clause.lexemes[place + 1 : place + 3]] == ["as", "loud"]:
        return Adjustment(decibels(number.value), True)
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
