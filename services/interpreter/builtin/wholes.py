"""Words for all parts said plainly: "anything but the vocals", "of the four stems I want two"."""

from __future__ import annotations

from services.interpreter.builtin.clauses import FARTHEST, NAMED_KINDS, is_filler
from services.interpreter.language.lexemes import Lexeme
from services.interpreter.language.word_classes import COPULAS

_EVERYTHING = (("group", "all"),)


def with_wholes(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Says plainly what all parts are, and drops them where parts are only chosen from them."""
    return _without_choice(_anything_but(lexemes))


def _anything_but(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Reads "anything but the vocals can go" as everything but the vocals."""
    return [
        Lexeme("everything", _EVERYTHING, place=item.place)
        if item.text == "anything" and _is_all_but(lexemes, index)
        else item
        for index, item in enumerate(lexemes)
    ]


def _is_all_but(lexemes: list[Lexeme], place: int) -> bool:
    following = lexemes[place + 1 : place + 1 + FARTHEST]
    if not following or not (following[0].has("but") or following[0].has("except")):
        return False
    named = next((item for item in following[1:] if not item.has("filler")), None)
    names = named is not None and any(named.has(kind) for kind in NAMED_KINDS)
    # "the vocals are anything but loud", "don't touch anything but the vocals"
    before = lexemes[max(0, place - FARTHEST) : place]
    return names and not any(item.has("not") or item.text in COPULAS for item in before)


def _without_choice(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops what parts are chosen from: "of the four stems I want two: drums and bass"."""
    said = [index for index, item in enumerate(lexemes) if not item.has("filler")]
    if len(said) < 3 or not lexemes[said[0]].has("of"):
        return lexemes
    place = next((i for i in said[1:] if not lexemes[i].number), said[1])
    group = lexemes[place]
    if not (group.has("group", "all") or group.has("group", "stems")):
        return lexemes
    rest = lexemes[place + 1 :]
    wanted = any(item.has("give") or item.has("only") for item in rest)
    named = any(item.has("target") or item.has("six") for item in rest)
    return _without_count(rest) if wanted and named else lexemes


def _without_count(lexemes: list[Lexeme]) -> list[Lexeme]:
    """Drops how many are wanted: "I want two: drums and bass"."""
    end = next((i for i, item in enumerate(lexemes) if item.mark == ":"), -1)
    counted = end > 0 and lexemes[end - 1].number is not None
    kept = [*lexemes[: end - 1], *lexemes[end + 1 :]] if counted else lexemes
    while kept and (kept[0].mark or is_filler(kept[0])):
        kept = kept[1:]
    return kept
