"""How much of a clause a reading accounts for; what it leaves over must not change the meaning."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from mixdown.mix import MASTER
from services.interpreter.builtin.amounts import is_insufficient
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.builtin.effects import UnclearError
from services.interpreter.builtin.statements import is_complaint, is_statement
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import PREPOSITIONS, WHOLLY

_CONTENT = (
    "reverb", "compression", "pitch", "pan", "side", "filter", "tone", "region", "eq", "mute",
    "file", "unsupported", "undo", "redo", "reset", "swap", "opposite", "onefile", "none",
    "before", "conditional", "q", "echo", "chorus", "distortion", "width", "fade",
)  # fmt: skip
"""Kinds of words that change what an instruction means."""

_READ_BY: Mapping[str, frozenset[str]] = {
    "gain": frozenset({"eq", "none", "before", "tone"}),
    "reverb": frozenset({"reverb", "tone", "region", "mute", "before", "none"}),
    "pitch": frozenset({"pitch", "before"}),
    "pan": frozenset({"pan", "side"}),
    "compression": frozenset({"compression", "mute", "tone", "none", "before"}),
    "eq": frozenset({"eq", "region", "q", "tone", "filter", "before", "none", "mute"}),
    "tone": frozenset({"tone", "region", "eq", "mute", "before", "q"}),
    "filter": frozenset({"filter", "region", "eq", "tone", "mute", "q", "before", "none"}),
    "mute": frozenset({"mute", "none"}),
    "echo": frozenset({"echo", "mute", "before", "none"}),
    "chorus": frozenset({"chorus", "mute", "before", "none"}),
    "distortion": frozenset({"distortion", "mute", "before", "none", "tone"}),
    "width": frozenset({"width", "q", "before", "none", "side"}),
    "fade": frozenset({"fade", "before", "none", "unsupported"}),
}
"""Which of them each reading uses."""

HIGHEST_HZ = 20_000
_UNITS: Mapping[str, frozenset[str]] = {
    "gain": frozenset({"db", "percent", "times", "share", "", "semitone"}),
    "reverb": frozenset({"percent", "times", "share", ""}),
    "pitch": frozenset({"semitone", "", "times"}),
    "pan": frozenset({"percent", ""}),
    "compression": frozenset(),
    "eq": frozenset({"hz", "db", "", "times"}),
    "tone": frozenset(),
    "filter": frozenset({"hz", ""}),
    "mute": frozenset(),
    "echo": frozenset({"percent", "", "millisecond", "second", "share", "times"}),
    "chorus": frozenset({"percent", "", "share"}),
    "distortion": frozenset({"percent", "", "share"}),
    "width": frozenset({"percent", "times"}),
    "fade": frozenset({"second", ""}),
}


def check_read(clause: Clause, kind: str) -> float:
    """Returns the share of the words with a meaning that a reading of this kind uses.

    Raises:
        UnclearError: a word that changes the meaning is left over: another effect, a number in
            another unit, a "not".
    """
    left_over = [item for item in clause.lexemes if _is_left_over(item, kind)]
    if kind == "pan" and clause.has("pronoun", "same") and not clause.has("pan"):
        raise UnclearError("The same there, or only to that side?")
    numbers = [n for n in clause.numbers() if n.unit not in _UNITS[kind]]
    if left_over or numbers:
        what = left_over[0].text if left_over else f"{numbers[0].value:g}"
        raise UnclearError(f"I did not understand what “{what}” means there; say it apart?")
    for item, following in pairwise(clause.lexemes):
        if item.number and not item.number.unit and following.is_unknown:
            raise UnclearError(f"How much is “{item.text} {following.text}”?")  # "two notches"
    if clause.has("bound", "between") and not clause.numbers():
        raise UnclearError("Between which frequencies?")
    if kind == "gain" and _grades_unknown(clause):
        raise UnclearError(
            f"I did not understand “{clause.unknown[0]}”; louder, or something else?"
        )
    if any(item.has("except") for item in clause.lexemes) and _has_open_exception(clause):
        raise UnclearError("Except what? Name the parts that should stay as they are.")
    beyond = any(number.value > HIGHEST_HZ for number in clause.numbers("hz"))
    if kind == "eq" and beyond and not clause.any_of(("up", "down", "more", "less")):
        raise UnclearError("Is that a sample rate? I hand out the rate of the song.")
    if kind == "eq" and clause.any_of(("separate", "file")):
        raise UnclearError("Hand it out, or change its tone?")
    if kind == "reverb" and clause.has("separate") and not clause.has_named_target:
        raise UnclearError("I can't hand out an effect alone. Which part do you mean?")
    if kind == "reverb" and any(i.has("tone") and i.text.endswith("er") for i in clause.lexemes):
        raise UnclearError("The tone of what? I can't change that of the reverb alone.")
    if kind == "pan" and _takes_a_side(clause):
        raise UnclearError("I can't take one side apart. Should I move it there instead?")
    if _has_open_not(clause):
        raise UnclearError("I am not sure what should not happen; what should I change?")
    words = [item for item in clause.lexemes if not (item.mark or is_filler(item))]
    return 1 - len(clause.unknown) / len(words) if words else 1.0


def _grades_unknown(clause: Clause) -> bool:
    """Whether "more" belongs to a word that is not known: "more wobbly in volume"."""
    if clause.any_of(("up", "down")) or clause.numbers():
        return False
    return any(
        item.has("more") or item.has("less")
        for item, following in pairwise(clause.lexemes)
        if following.is_unknown
    )


_CHANGING = (
    "up", "down", "mute", "unmute", "remove", "off", "half", "double", "separate", "file", "more",
    "less",
)  # fmt: skip


def asks_for_change(clause: Clause) -> bool:
    """Whether a clause that was not understood asks for a change, and not only speaks of a part."""
    if is_complaint(clause) or is_statement(clause) or clause.has("greeting"):
        return False
    measured = any(number.signed or number.unit for number in clause.numbers())
    repeats = clause.has("pronoun", "same") and not clause.has("target", MASTER)
    return measured or repeats or clause.any_of((*EFFECT_KINDS, *_CHANGING))


_SHARES = {"most", "some", "part", "parts", "bits", "much", "many"}
_IN_PART = {"partly", "partially", "mostly"}
_HANDED = ("side", "pan", "pitch", "compression", "before", "conditional", "q", "hard", "halfway")


def check_taken(clause: Clause) -> None:
    """Checks that what is handed out, left out or muted is meant as a whole.

    Raises:
        UnclearError: a side, a share or a number says that only some of it is meant.
    """
    for index, item in enumerate(clause.lexemes):
        following = clause.lexemes[index + 1 : index + 2]
        shares = item.text in _SHARES and bool(following) and following[0].has("of")
        shares = shares or item.text in _IN_PART or item.has("small") or item.has("toomuch")
        left_over = any(item.has(kind) for kind in _HANDED) and item.text not in WHOLLY
        if shares or left_over or _is_open_number(clause, index):
            said = item.text if not item.number else f"{item.number.value:g}"
            raise UnclearError(f"All of it, or only in part? I am not sure what “{said}” means.")


_MEASURING = {
    "db", "percent", "hz", "semitone", "share", "second", "millisecond", "clock",
}  # fmt: skip


def _is_open_number(clause: Clause, index: int) -> bool:
    """Whether a number measures instead of counting: "by 3", not "4 stems"."""
    number = clause.lexemes[index].number
    if number is None:
        return False
    before = next(
        (item for item in reversed(clause.lexemes[:index]) if not item.has("filler")), None
    )
    measured = number.signed or number.more or number.unit in _MEASURING
    return measured or (before is not None and before.has("by"))


def check_repeated(clause: Clause) -> None:
    """Checks that "the same on the bass" is not meant with a difference.

    Raises:
        UnclearError: a word says that it is to be another amount, or somewhere else.
    """
    differs = clause.any_of(("small", "big", "toomuch", "enough", "less", "more", "side"))
    if differs or _has_open_exception(clause):
        raise UnclearError("The same, but how much of it?")


def _has_open_exception(clause: Clause) -> bool:
    """Whether "but not" excepts something that is no part of the song."""
    for index, item in enumerate(clause.lexemes):
        if not (item.has("except") or item.has("not")):
            continue
        rest = clause.lexemes[index + 1 :]
        if not any(found.has(kind) for found in rest for kind in NAMED_KINDS):
            return True
    return False


def check_parts(clause: Clause) -> None:
    """Checks that several parts are named side by side.

    Raises:
        UnclearError: one is only a place: "reverb on the vocals on the drums", "up over the bass".
    """
    if _has_open_target(clause):
        raise UnclearError("Which of the two should I change, and how?")


def _has_open_target(clause: Clause) -> bool:
    last = -1
    for index, item in enumerate(clause.lexemes):
        if not (item.has("target") or item.has("six")) or item.has("target", MASTER):
            continue
        between = clause.lexemes[last + 1 : index]
        said = [found for found in between if not found.has("filler")]
        joined = any(found.mark or found.has("and") or found.has("except") for found in said)
        if last >= 0 and said and not joined and said[-1].text in PREPOSITIONS:
            return True
        last = index
    return False


def _takes_a_side(clause: Clause) -> bool:
    """Whether a side is a part of a sound: "just the left side of the drums"."""
    place = clause.index("side")
    if place < 0 or clause.has("pan"):
        return False
    said = [item for item in clause.lexemes[place + 1 :] if not item.has("filler")]
    before = [item for item in clause.lexemes[:place] if not item.has("filler")]
    placed = bool(before) and (before[-1].has("in") or before[-1].has("to"))
    sides = bool(said) and said[0].has("of") and clause.has("only")
    sides = sides or (clause.has("give") and not (placed or clause.has("set")))
    sides = sides or (clause.has("leave") and clause.has("only"))
    return sides or clause.any_of(("separate", "remove", "file"))


def _is_left_over(item: Lexeme, kind: str) -> bool:
    """Whether a word means something that this reading does not use."""
    found = [name for name, _ in item.readings if name in _CONTENT]
    others = [name for name, _ in item.readings if name not in _CONTENT]
    return bool(found) and not others and not _READ_BY[kind] & set(found)


def _has_open_not(clause: Clause) -> bool:
    """Whether a "not" was not taken for "less", "not enough" or "leave"."""
    place = clause.index("not")
    if place < 0 or is_insufficient(clause):
        return False
    skipped = ("in", "to", "of", "for")
    said = [item for item in clause.lexemes[place + 1 :] if not item.has("filler", "article")]
    following = tuple(i for i in said if not any(i.has(kind) for kind in skipped))[:1]
    if following and any(following[0].has(kind) for kind in NAMED_KINDS):
        return False  # an exception: "everything, not the bass"
    lessens = bool(following) and following[0].text in {
        "so", "as", "too", "that", "quite", "very", "overly",
    }  # fmt: skip
    return not lessens and clause.lexemes[place].text in {"not", "never"}


_REFERRING = (
    "pronoun", "more", "less", "even", "toomuch", "enough", "also", "small", "big", "instead",
    "too",
    "set", "add", "not", "give", "need", "accept", "only", "before", "effects", "like", "with",
    "hard", "light",
)  # fmt: skip


def has_own_content(clause: Clause, besides: tuple[str, ...] = ()) -> bool:
    """Whether a clause says more than what refers to an earlier change."""
    own = set(ACTION_KINDS) - set(besides) - {"more", "less", "even", "enough", "toomuch", "vague"}
    if (
        clause.any_of(tuple(own))
        or clause.numbers()
        or clause.any_of(("volume", "half", "max", "min"))
    ):
        return True
    return any(
        not (
            is_filler(item)
            or item.mark
            or any(
                item.has(kind)
                for kind in (
                    *_REFERRING,
                    *besides,
                    "in",
                    "and",
                    "target",
                    "six",
                    "group",
                    "except",
                    "but",
                    "greeting",
                    "ok",
                    "decline",
                )
            )
        )
        for item in clause.lexemes
    )
