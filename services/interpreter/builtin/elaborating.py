"""Pieces that belong to the one before: "…, minus 3 dB", "… and 400 Hz", "but only 10%"."""

from __future__ import annotations

from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    DIRECTION_KINDS,
    EFFECT_KINDS,
    PARAMETER_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.language.word_classes import WANTING


def elaborates(before: Clause, piece: Clause) -> bool:
    """Whether a piece only completes the one before it."""
    return any(holds(before, piece) for holds in _ELABORATING)


def _shares_number(before: Clause, piece: Clause) -> bool:
    """Whether a number said last is for both: "boost vocals and drums by 2 dB"."""
    said = [item for item in before.lexemes if not is_filler(item)]
    return (
        piece.joiner in {"and", ","}
        and piece.has_named_target
        and bool(piece.numbers())
        and not (piece.has_action or piece.has_verb or piece.any_of(("volume", "half", "double")))
        and before.any_of(("up", "down", "reverb", "pitch"))
        and not before.numbers()
        and bool(said)
        and any(said[-1].has(kind) for kind in ("target", "six", "group"))
    )


def _shares_way(before: Clause, piece: Clause) -> bool:
    """Whether where to is said last, for both: "pan drums and bass left", "pitch … down 2"."""
    ways = ("up", "down", "side", "hard", "small", "big", "more", "less", "half", "neutral")
    return (
        piece.joiner in {"and", ","}
        and before.any_of(("pitch", "pan"))
        and before.has_named_target
        and piece.is_target_first
        and piece.any_of(("up", "down", "side"))
        and not (piece.has_verb or piece.any_of(("pitch", "pan", "reverb", "compression", "eq")))
        and not (before.any_of(ways) or before.numbers())
    )


def _tells_way(before: Clause, piece: Clause) -> bool:
    """Whether ", up" and ", muted" tell what becomes of what was named: "the mids, up"."""
    ways = ("up", "down", "side", "more", "less", "mute", "half", "toomuch", "remove", "file")
    wants = any(item.text in _WANTING for item in before.lexemes)
    open_ones = before.any_of(("region", "pitch", "pan", "volume")) or wants
    parts = ("up", "down", "side", "hard", "small", "big", "mute", "by")
    bare = all(
        item.number or is_filler(item) or any(item.has(kind) for kind in parts)
        for item in piece.lexemes
    )
    return (
        piece.joiner == ","
        and bare
        and piece.any_of(("up", "down", "side", "mute"))
        and open_ones
        and before.has_named_target
        and not (before.any_of(ways) or before.numbers())
    )


_WANTING = WANTING | {"would like"}


def excepts(before: Clause, piece: Clause) -> bool:
    """Whether ", but not on the drums" excepts parts from the clause before."""
    first = next((item for item in piece.lexemes if not is_filler(item)), None)
    acts = before.has_action and not before.any_of(("undo", "reset", "unsupported", "except"))
    return (
        first is not None
        and first.text == "but not"
        and acts
        and piece.joiner == ","
        and piece.has_named_target
        and not before.has_named_target
        and not piece.has_action
    )


def _tells_corner(before: Clause, piece: Clause) -> bool:
    """Whether "ninety hertz" tells where a filter sits: "high-pass, bass, ninety hertz"."""
    only = all(item.number or is_filler(item) for item in piece.lexemes)
    return only and before.has("filter") and bool(piece.numbers("hz")) and not before.numbers()


def _completes_eq(before: Clause, piece: Clause) -> bool:
    """Whether "minus 3 dB" tells the gain of "low shelf at 120 Hz", said before."""
    decibels = piece.numbers("db")
    return (
        bool(decibels)
        and piece.joiner in {",", "with"}
        and not piece.any_of(ACTION_KINDS)
        and not (piece.any_of(TARGET_KINDS) and before.any_of(TARGET_KINDS))
        and (bool(before.numbers("hz")) or before.has("region") or before.has("eq"))
        and not before.numbers("db")
        and not before.has("filter")
    )


def _lists_bands(before: Clause, piece: Clause) -> bool:
    """Whether a piece adds a band to the same change: "cut 200 Hz and 400 Hz by 3 dB"."""

    def is_band(clause: Clause) -> bool:
        return (bool(clause.numbers("hz")) or clause.has("region")) and not clause.any_of(
            ("filter", "pitch", "reverb", "compression", "tone")
        )

    return (
        piece.joiner in {"and", ","}
        and is_band(before)
        and is_band(piece)
        and before.any_of(DIRECTION_KINDS)
        and not piece.any_of(DIRECTION_KINDS)
        and not any(number.signed for number in piece.numbers("db"))
        and not before.has("none")
        and not (before.numbers("db") and piece.numbers("db"))
        and not (before.has_named_target and piece.has_named_target)
    )


def _tells_how_much(before: Clause, piece: Clause) -> bool:
    """Whether "like 4 dB less" only tells how much, after "further back"."""
    if piece.any_of(TARGET_KINDS) or piece.joiner not in {",", "with"} or piece.has_verb:
        return False
    scales = bool(piece.numbers("db", "percent", "times")) or piece.any_of(("half", "double"))
    if not scales or before.numbers() or piece.numbers("hz"):
        return False

    def way(clause: Clause) -> int:
        return clause.any_of(("up", "more")) - clause.any_of(("down", "less", "toomuch"))

    factors = bool(piece.numbers("times")) or piece.any_of(("half", "double"))
    shrinks = piece.has("half")
    same = way(before) == way(piece) or (
        factors and way(piece) == 0 and way(before) == (-1 if shrinks else 1)
    )
    return way(before) != 0 and same and not before.has("up", "buried")


def _limits(before: Clause, piece: Clause) -> bool:
    """Whether "but only 10%" belongs to the clause before."""
    kinds = (*TARGET_KINDS, *ACTION_KINDS, "give", "set", "add")
    return (
        piece.joiner in {"but", ","}
        and piece.has("only")
        and (bool(piece.numbers()) or (piece.has("half") and before.has("pronoun", "same")))
        and not piece.any_of(kinds)
        and not before.numbers()
        and before.has_said_something
    )


def tells_manner(before: Clause, piece: Clause) -> bool:
    """Whether "but keep it subtle" and ": max" only tell how much of an effect is meant."""
    if piece.unknown or piece.numbers() or piece.is_question:
        return False
    grades = (*(kind for kind in PARAMETER_KINDS if kind != "medium"), "less", "toomuch")
    graded = before.any_of(grades) or bool(before.numbers())
    manners = piece.any_of(("small", "big", "max", "hard"))
    told = manners and all(
        is_filler(item)
        or any(item.has(k) for k in ("small", "big", "max", "hard", "leave", "set", "pronoun"))
        for item in piece.lexemes
    )
    graded = graded or before.any_of(("remove", "off", "undo", "reset"))
    return told and not graded and before.any_of((*EFFECT_KINDS, "up", "down"))


def manner_of(piece: Clause) -> Clause:
    """Returns of "keep it subtle" what tells how much."""
    kinds = ("leave", "set", "pronoun")
    return piece.without(lambda item: any(item.has(kind) for kind in kinds))


def _names_means(before: Clause, piece: Clause) -> bool:
    """Whether "with compression" only names what "smash the drums" does."""
    if _is_on_its_own(piece) and before.has_named_target:
        return True
    if piece.joiner != "with":
        return False
    if piece.has("filter") and before.has("bound") and before.numbers("hz"):
        return not (piece.numbers() or piece.has_named_target)  # "… with a lowpass"
    if piece.has("q") and (before.numbers("hz") or before.has("eq") or before.has("region")):
        return not piece.numbers("hz", "db")
    return piece.has("compression") and before.has("compression") and not piece.has_named_target


def _is_on_its_own(piece: Clause) -> bool:
    """Whether a piece says only how something is handed out: "…, on its own"."""
    return (
        piece.joiner in {",", "and"}
        and piece.has("separate")
        and not any(is_verb(item) and " " not in item.text for item in piece.lexemes)
        and all(item.has("separate") or is_filler(item) for item in piece.lexemes)
    )


def _names_other_side(before: Clause, piece: Clause) -> bool:
    """Whether "… left and right" names a side for each part; which is which has to be asked."""
    sides = piece.has("side", "left", "right") and before.has("side", "left", "right")
    return (
        sides
        and piece.joiner == "and"
        and all(item.has("side") or is_filler(item) for item in piece.lexemes)
    )


_ELABORATING = (
    _names_other_side,
    _shares_way,
    _tells_way,
    _tells_corner,
    excepts,
    _shares_number, _completes_eq, _tells_how_much, _limits, _lists_bands, _names_means,
)  # fmt: skip
"""What makes a piece part of the one before."""
