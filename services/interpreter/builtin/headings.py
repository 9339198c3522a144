"""Headings of lists: "compression: drums high, bass low", "two stems: drums and bass"."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.asides import AS_FILES
from services.interpreter.builtin.clauses import EFFECT_KINDS, TARGET_KINDS, Clause, is_filler
from services.interpreter.language.lexemes import Lexeme


def headed(pieces: list[Clause]) -> list[Clause]:
    """Gives each part of a list its heading."""
    return _with_headings(_without_counts(pieces))


def _without_counts(pieces: list[Clause]) -> list[Clause]:
    """Reads "I want two stems: drums and bass" as the two: the heading only counts them."""
    result: list[Clause] = []
    for piece in pieces:
        before = result[-1] if result else None
        if before is not None and piece.joiner == ":" and _counted(before) and _only_names(piece):
            kept = before.without(lambda item: item.has("group") or _counts(item)).lexemes
            wanted = () if before.any_of(("give", "separate")) else (AS_FILES,)
            result[-1] = replace(before, lexemes=(*kept, *wanted, *piece.lexemes))
        else:
            result.append(piece)
    return result


def _counted(heading: Clause) -> bool:
    """Whether stems are asked for, but not yet which: "split it into two stems:"."""
    asks = heading.any_of(("give", "separate")) or all(
        is_filler(item) or item.has("group") or _counts(item) for item in heading.lexemes
    )
    named = heading.any_of(("remove", "not", "except", "target", "six"))
    return heading.has("group", "stems") and asks and not named


def _only_names(piece: Clause) -> bool:
    named = piece.has("target") or piece.has("six")
    kinds = ("target", "six", "group", "also")
    return named and all(
        is_filler(item) or any(item.has(kind) for kind in kinds) for item in piece.lexemes
    )


def _counts(item: Lexeme) -> bool:
    return item.number is not None and not item.number.unit


def _with_headings(pieces: list[Clause]) -> list[Clause]:
    """Gives each part of a list its heading: "compression: drums high, bass low"."""
    result: list[Clause] = []
    heading: tuple[Lexeme, ...] = ()
    for index, piece in enumerate(pieces):
        following = pieces[index + 1] if index + 1 < len(pieces) else None
        heads = (
            following is not None
            and following.joiner == ":"
            and following.has_named_target
            and piece.any_of(("reverb", "compression", "pitch", "pan"))
            and not (piece.any_of(TARGET_KINDS) or piece.numbers() or piece.has_verb)
        )
        if heads:
            heading = piece.lexemes
            continue
        if (
            following is not None
            and following.joiner == ":"
            and piece.any_of(("swap", "opposite"))
            and following.has_named_target
            and following.has("side")
        ):
            continue  # "swap them: drums right, bass left"
        if (
            following is not None
            and following.joiner == ":"
            and piece.has("opposite")
            and following.any_of(("up", "down"))
        ):
            continue  # "the other way round: quieter"
        if piece.joiner == ".":
            heading = ()
        own = piece.any_of((*EFFECT_KINDS, "mute", "leave", "remove")) and not piece.has("side")
        if heading and piece.has_named_target and not own:
            piece = replace(piece, lexemes=(*heading, *piece.lexemes))  # noqa: PLW2901
        result.append(
            replace(piece, joiner="," if piece.joiner == ":" and heading else piece.joiner)
        )
    return result
