"""Position, reverb, pitch and compression: a clause to changes of one setting.

Each reader takes a clause that is about its setting and the settings of the target now, and returns
a change, or raises `UnclearError` where the words leave open what is meant.
"""

from __future__ import annotations

import math

from mixdown.mix import TargetSettings
from services.interpreter.builtin.amounts import (
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
    thirds,
)
from services.interpreter.builtin.clauses import Clause
from services.interpreter.intent import Adjustment, CompressionChange
from services.interpreter.language.lexemes import Number
from services.interpreter.language.word_classes import WHOLLY

REVERB_STEP = 0.15
REVERB_DEFAULT = 0.3
REVERB_STRONG = 0.7
PITCH_STEP_SEMITONES = 2.0
PAN_DEFAULT = 0.5
PAN_STEP = 0.25
LARGEST_PLAIN_SEMITONES = 36


class UnclearError(Exception):
    """The words leave open what is meant; the message is the question to ask."""


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
    if any(item.text in WHOLLY for item in clause.with_kind("hard")):
        wanted = 1.0  # "full reverb on the vocals"
    elif clause.has("reverb", "drenched", "big") or is_strong(clause):
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
    if thirds(clause) and not clause.has("pitch") and "turn" in clause.text.split():
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
    if any(item.text in NOT_SO_FAR for item in clause.lexemes):
        raise UnclearError("How far should it be, then?")
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


NOT_SO_FAR = {"not so far", "not that far", "not quite so far", "not as far"}


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
    if clause.has("compression", "squash") and is_weak(clause):
        return CompressionChange("medium")  # "squash it a bit"
    if clause.has("compression", "squash") or is_strong(clause) or clause.has("max"):
        return CompressionChange("high")
    if clause.has("up", "high"):
        return CompressionChange("high")
    if is_weak(clause) or clause.has("lowword"):
        return CompressionChange("low")
    if clause.numbers():
        raise UnclearError("Light, medium or heavy compression?")
    return CompressionChange("medium")
