"""A prompt to pieces: cut at punctuation and joining words, reasons and stories dropped."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.adjuncts import without_adjunct, without_reasons
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    LONGEST,
    NAMED_KINDS,
    Clause,
    is_filler,
)
from services.interpreter.builtin.runon import starts_another
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import COPULAS


def pieces_of(lexemes: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into pieces, without what only tells why or for whom."""
    pieces = [without_adjunct(piece) for piece in _pieces(lexemes)]
    pieces = _without_tags(pieces)
    return _without_images(_without_bare_levels(_without_fillers(without_reasons(pieces))))


def pieces_of_speech(lexemes: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into pieces and drops nothing."""
    return _pieces(lexemes)


def _without_images(pieces: list[Clause]) -> list[Clause]:
    """Drops "…, like in a big empty church", which only paints what was said."""
    kept: list[Clause] = []
    for place, piece in enumerate(pieces):
        if place == 0 and _opens_with_image(pieces):
            continue
        paints = bool(piece.lexemes) and piece.lexemes[0].has("like") and not piece.numbers()
        if kept and paints and piece.joiner == "," and kept[-1].any_of(EFFECT_KINDS):
            continue
        kept.append(piece)
    return kept


def _opens_with_image(pieces: list[Clause]) -> bool:
    """Whether "like on those old records: …" only paints what follows."""
    first = pieces[0]
    opened = next((item for item in first.lexemes if not item.has("filler")), None)
    return (
        len(pieces) > 1
        and opened is not None
        and opened.has("like")
        and pieces[1].joiner in {":", ","}
        and not first.any_of((*EFFECT_KINDS, "up", "down", "mute", "remove"))
    )


_TAGS = {"right", "correct", "yes", "yeah", "no"}


def _without_tags(pieces: list[Clause]) -> list[Clause]:
    """Drops "…, right?", which asks whether what was told is so."""
    if len(pieces) < 2 or not pieces[-1].is_question or pieces[-1].text not in _TAGS:
        return pieces
    told = any(item.text in COPULAS for item in pieces[-2].lexemes)
    return pieces[:-1] if told else pieces


_BARE_LEVELS = {"loud", "quiet", "high", "low", "soft"}


def _without_bare_levels(pieces: list[Clause]) -> list[Clause]:
    """Drops "quiet, then loud", which only names levels beside something that is asked for."""
    kept = [
        piece
        for piece in pieces
        if piece.joiner == ":"
        or not all(item.text in _BARE_LEVELS or is_filler(item) for item in piece.lexemes)
    ]
    return kept or pieces


def _without_fillers(pieces: list[Clause]) -> list[Clause]:
    """Drops pieces that say nothing ("please", "thanks"), keeping the pause they make."""
    kept: list[Clause] = []
    pause = ""
    for piece in pieces:
        says_nothing = all(
            item.mark or item.has("filler") or item.has("greeting") for item in piece.lexemes
        )
        if says_nothing:
            pause = stronger(pause, piece.joiner)
            continue
        kept.append(replace(piece, joiner=stronger(pause, piece.joiner)) if pause else piece)
        pause = ""
    return kept


def _pieces(lexemes: list[Lexeme]) -> list[Clause]:
    pieces: list[Clause] = []
    current: list[Lexeme] = []
    joiner = ""
    start_of_sentence = 0

    def close(following: str) -> None:
        nonlocal current, joiner
        if current:
            pieces.append(Clause(tuple(current), joiner))
            joiner = following
        else:
            joiner = stronger(joiner, following)
        current = []

    for index, item in enumerate(lexemes):
        if starts_another(lexemes, index, current) or len(current) == LONGEST:
            close(",")
        kind = _joiner_kind(item, lexemes, index, current)
        if kind is None:
            current.append(item)
            continue
        close("." if kind == "?" else kind)
        if kind == "?":
            pieces[start_of_sentence:] = [
                replace(piece, is_question=True) for piece in pieces[start_of_sentence:]
            ]
        if kind in {".", "?"}:
            start_of_sentence = len(pieces)
    close("")
    return pieces


def stronger(first: str, second: str) -> str:
    """Returns the joiner that separates more."""
    order = ("", "with", "and", ",", "but", ":", ".")
    return max(first, second, key=lambda name: order.index(name) if name in order else 0)


def _joiner_kind(
    item: Lexeme, lexemes: list[Lexeme], index: int, current: list[Lexeme]
) -> str | None:
    if item.mark:
        return item.mark if item.mark in {",", ".", ":", "?"} else None
    if item.has("and"):
        return None if _joins_numbers(lexemes, index, current) else "and"
    if item.has("but"):
        return None if _is_exception(lexemes, index, current) else "but"
    if item.has("except") and _is_reservation(lexemes, index, current):
        return "but"
    if item.has("with") and current:
        return None if _is_bare_pronoun(current) else "with"
    if item.has("also") and not current:
        return None
    if item.has("or") and any(found.has("remove") or found.has("not") for found in current):
        return "and"  # "no reverb or compression"
    if item.text == "plus" and current:
        return "and"
    return None


def _is_bare_pronoun(current: list[Lexeme]) -> bool:
    """Whether only "both" stands before "with": "both with 20% reverb"."""
    said = [item for item in current if not is_filler(item)]
    return bool(said) and all(item.has("pronoun") for item in said)


def _is_reservation(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "except" opens a complaint: "everything is great except the bass is too loud"."""
    end = next((i for i in range(index + 1, len(lexemes)) if lexemes[i].mark), len(lexemes))
    told = any(item.has("complaint") or item.text in COPULAS for item in lexemes[index + 1 : end])
    return told and any(item.has("greeting", "praise") for item in current)


def _joins_numbers(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "and" stands between two ends: "between 200 and 2000 Hz"."""
    following = lexemes[index + 1 : index + 2]
    return (
        any(item.has("bound", "between") for item in current)
        and bool(current[-1].number)
        and bool(following and following[0].number)
    )


def _is_exception(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether "but" means "except": "everything but the drums"."""
    before = [item for item in current if not is_filler(item)]
    if before and before[-1].text.endswith((" all", " everything")):
        rest = next((item for item in lexemes[index + 1 :] if not is_filler(item)), None)
        return rest is not None and any(rest.has(kind) for kind in NAMED_KINDS)  # "undo all but …"
    if before and before[-1].text == "out" and any(item.has("group") for item in before):
        before.pop()  # "everything out but the piano"
    if not (before and (before[-1].has("group") or before[-1].has("target", "mix"))):
        return False
    following = next((item for item in lexemes[index + 1 :] if not is_filler(item)), None)
    if before[-1].has("group") and following is not None:
        return following.has("not") or any(following.has(kind) for kind in NAMED_KINDS)
    for item in lexemes[index + 1 :]:
        if item.mark or item.has("and"):
            break
        if any(item.has(kind) for kind in ("not", *ACTION_KINDS, "set", "add")):
            return item.has("not")
    return True
