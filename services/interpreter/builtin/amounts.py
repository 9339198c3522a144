"""How much, and in which direction."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from services.interpreter.builtin.clauses import Clause
from services.interpreter.language.lexemes import Number

Placement = Literal["to", "by", ""]


def factor(clause: Clause) -> float:
    """Returns 0.5 for "a bit", 2 for "a lot", otherwise 1."""
    if clause.has("small"):
        return 0.5
    return 2.0 if clause.has("big", "big") or clause.text.startswith("way ") else 1.0


def is_weak(clause: Clause) -> bool:
    """Whether an amount is small: "a bit of", "light", "subtle"."""
    return clause.has("small")


def is_strong(clause: Clause) -> bool:
    """Whether an amount is large: "a lot of", "heavy", "huge"."""
    return clause.has("big") or clause.has("hard", "hard")


def placement(clause: Clause, number: Number) -> Placement:
    """Returns how a number is introduced: "to −6 dB" sets, "by 6 dB" adds."""
    place = next(i for i, item in enumerate(clause.lexemes) if item.number is number)
    for item in reversed(clause.lexemes[max(0, place - 3) : place]):
        if item.has("to"):
            return "to"
        if item.has("by"):
            return "by"
        if not (item.has("filler") or item.has("bound", "around") or item.has("volume")):
            break
    return ""


def is_reduction(clause: Clause) -> bool:
    """Whether there is to be less of something: "less", "too much", "reduce", "not so"."""
    return (
        clause.has("less")
        or clause.has("down")
        or is_excess(clause)
        or _is_not_so(clause)
        or (clause.has("lowword") and clause.has("set"))
    )


def is_excess(clause: Clause) -> bool:
    """Whether something is said to be too strong: "too bright", "too much"."""
    return (clause.has("toomuch") and not _is_not_too_much(clause)) or degree_too(clause)


def degree_too(clause: Clause) -> bool:
    """Whether "too" says a degree ("too loud"), not "also" ("the drums too")."""
    place = clause.index("too")
    if place < 0 or place + 1 >= len(clause.lexemes):
        return False
    following = clause.lexemes[place + 1]
    return any(
        following.has(kind)
        for kind in (
            "up",
            "down",
            "tone",
            "reverb",
            "lowword",
            "big",
            "filter",
            "compression",
            "pitch",
            "side",
            "hard",
        )
    )


def is_insufficient(clause: Clause) -> bool:
    """Whether there is said to be too little: "not bright enough", "needs more"."""
    return clause.has("enough", "enough") or (
        clause.has("not") and clause.has("enough", "enoughword")
    )


def is_addition(clause: Clause) -> bool:
    """Whether something comes on top: "more", "even", "not enough", "increase"."""
    return clause.has("more") or clause.has("even") or is_insufficient(clause) or clause.has("up")


def is_negated(clause: Clause) -> bool:
    """Whether the instruction is not to be done: "don't mute the drums"."""
    place = clause.index("not")
    if place < 0 or is_insufficient(clause) or _is_not_so(clause):
        return False
    following = clause.lexemes[place + 1 :]
    return Clause(tuple(following)).has_action or Clause(tuple(following)).any_of(
        ("set", "add", "give", "only")
    )


def _is_not_so(clause: Clause) -> bool:
    """Whether "not" lessens: "not so bright", "not as harsh"."""
    place = clause.index("not")
    if place < 0 or place + 2 >= len(clause.lexemes) + 0:
        return False
    items = clause.lexemes[place + 1 : place + 3]
    return items[0].text in {"so", "as", "too", "that", "quite"} and any(
        items[-1].has(kind) for kind in ("up", "tone", "reverb", "big", "compression")
    )


def _is_not_too_much(clause: Clause) -> bool:
    place = clause.index("toomuch")
    return place > 0 and clause.lexemes[place - 1].has("not")


def share_of_one(number: Number) -> float | None:
    """Reads an amount from 0 to 1: "30%", "0.3", "30"; None for another unit."""
    if number.unit == "percent":
        return number.value / 100
    if number.unit == "share":
        return number.value
    if number.unit == "":
        return number.value if abs(number.value) <= 1 else number.value / 100
    return None


def decibels(ratio: float) -> float:
    """Returns a ratio of amplitudes in dB; nothing left is −60 dB, the bottom of the range."""
    return 20 * math.log10(ratio) if ratio > 0.001 else -60.0


PARTS = {"a third": 1 / 3, "a fourth": 0.25, "a fifth": 0.2, "a sixth": 1 / 6}
"""Parts of the loudness that are intervals elsewhere."""


_LESSENING = {"reduce", "reduced", "decrease", "decreased", "attenuate", "attenuated"}
"""What is said of a level, but not of a pitch."""


def says_part(clause: Clause) -> bool:
    """Whether "a third" is a part of the loudness, not an interval."""
    if says_share(clause):
        return True
    loudness = clause.has("volume") or clause.has("up", "loud") or clause.has("down", "quiet")
    loudness = loudness or any(item.text in _LESSENING for item in clause.lexemes)
    return loudness and not clause.has("pitch") and bool(thirds(clause))


def says_share(clause: Clause) -> bool:
    """Whether "to a third" is what is to be left of the loudness."""
    for index, item in enumerate(clause.lexemes[:-1]):
        if item.has("to") and clause.lexemes[index + 1].text in PARTS:
            return not clause.has("pitch")
    return False


def thirds(clause: Clause) -> list[Number]:
    """Returns "a third", "a fifth" as parts of the loudness."""
    found = [item for item in clause.lexemes if item.number and item.text in PARTS]
    return [replace(item.number, value=PARTS[item.text]) for item in found if item.number]
