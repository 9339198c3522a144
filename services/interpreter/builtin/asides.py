"""Pieces that command nothing themselves: "two files", "both of them", "one step up"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.clauses import Clause, is_filler
from services.interpreter.language.lexemes import Lexeme


def is_not_wanted(piece: Clause) -> bool:
    """Whether a piece only says what is not meant: "not the drums"."""
    first = next((item for item in piece.lexemes if not is_filler(item)), None)
    return first is not None and first.text == "not" and not piece.has_action


_STEPS = {
    "one", "step", "level", "notch", "stage", "step up", "step down", "up", "down", "higher",
    "lower", "further", "more", "a notch", "one notch", "click", "stronger", "notch down",
}  # fmt: skip
_STEP_NOUNS = {"step", "level", "notch", "stage", "step up", "step down", "a notch", "one notch",
               "notch down"}  # fmt: skip


def names_step(before: Clause, piece: Clause) -> bool:
    """Whether ", one step up" only tells how far "more compression" goes."""
    said = [item for item in piece.lexemes if not (is_filler(item) and item.text not in _STEPS)]
    return (
        piece.joiner in {",", "with"}
        and before.has("compression")
        and before.any_of(("more", "less"))
        and all(item.text in _STEPS or item.number for item in said)
        and any(item.text in _STEP_NOUNS for item in piece.lexemes)
    )


AS_FILES = Lexeme("as files", (("separate", "stems"),))
"""Says that what is named is wanted as files."""
_FILES = {"files", "stems", "separate files", "separate", "tracks", "wavs", "individual"}


def counts_files(piece: Clause) -> bool:
    """Whether a piece only tells how many files are wanted: "two files"."""
    counted = len(piece.numbers("")) == 1 and not any(n.signed for n in piece.numbers())
    return (
        counted
        and any(item.text in _FILES for item in piece.lexemes)
        and all(
            item.number or item.text in _FILES or is_filler(item) or item.has("group", "stems")
            for item in piece.lexemes
        )
    )


def says_both(before: Clause, piece: Clause) -> bool:
    """Whether ", both of them" only stresses the two parts that were named."""
    named = [item for item in before.lexemes if item.has("target") or item.has("six")]
    return (
        len(named) == 2
        and piece.joiner == ","
        and piece.has("pronoun", "both")
        and all(is_filler(item) or item.has("pronoun", "both") for item in piece.lexemes)
    )


def is_for_each(result: list[Clause], piece: Clause) -> bool:
    """Whether "by 2 dB each" tells the amount of several commands: "vocals up and drums down"."""
    each = any(item.text in {"each", "apiece", "both"} for item in piece.lexemes)
    if not each or len(piece.numbers()) != 1 or piece.has_named_target or piece.has_action:
        return False
    unit = piece.numbers()[0].unit
    open_ones = [found for found in result[-2:] if found.any_of(_WAYS)]
    return len(open_ones) == 2 and not any(found.numbers(unit) for found in open_ones)


_WAYS = ("up", "down", "side")


def with_number_each(result: list[Clause], piece: Clause) -> list[Clause]:
    """Gives the amount to every command that has none."""
    number = tuple(item for item in piece.lexemes if item.number or item.has("by"))
    return [
        replace(found, lexemes=(*found.lexemes, *number))
        if found.any_of(_WAYS) and not found.numbers(piece.numbers()[0].unit)
        else found
        for found in result
    ]
