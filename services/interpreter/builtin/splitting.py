"""A prompt to pieces: cut at punctuation and joining words, reasons and stories dropped."""

from __future__ import annotations

from dataclasses import replace

from services.interpreter.builtin.adjuncts import without_adjunct, without_reasons
from services.interpreter.builtin.clauses import (
    ACTION_KINDS,
    EFFECT_KINDS,
    NAMED_KINDS,
    TARGET_KINDS,
    Clause,
    is_filler,
    is_verb,
)
from services.interpreter.language.lexemes import Lexeme


def pieces_of(lexemes: list[Lexeme]) -> list[Clause]:
    """Cuts a prompt into pieces, without what only tells why or for whom."""
    pieces = [without_adjunct(piece) for piece in _pieces(lexemes)]
    pieces = _without_tags(pieces)
    return _without_images(_without_bare_levels(_without_fillers(without_reasons(pieces))))


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
    told = any(item.text in _COPULAS for item in pieces[-2].lexemes)
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
        if _starts_another(item, lexemes, index, current):
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


_QUANTIFIERS = (("more", "more"), ("less", "less"), ("up", "loud"), ("down", "quiet"))


def _starts_another(item: Lexeme, lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether a new instruction starts without a joining word: "more drums less vocals"."""
    following = next((found for found in lexemes[index + 1 :] if not is_filler(found)), None)
    if not current or following is None:
        return False
    if (item.has("mute") or item.has("unmute")) and _ends_with_name(current):
        # "mute vocals unmute drums"
        return _is_name(following) and Clause(tuple(current)).has_action
    if _is_name(item) and current[-1].number and following.number:
        return any(_is_name(found) for found in current)  # "vocals -3 dB drums +2 dB"
    if _asks_after_statement(lexemes, index, current) or _tells_of_next(
        item, lexemes, index, current
    ):
        return True
    moves = following.has("up") or following.has("down")
    if _is_name(item) and current[-1].number and moves and _is_complete(current):
        return _numbered(lexemes[index + 1 :])  # "vocals up 2 dB drums down 3"
    asks = current[0].has("question") or current[0].text in _AUXILIARIES
    if (
        not asks
        and _is_complete(current)
        and (_opens_command(item, following) or _tells_of_speaker(item))
    ):
        return True
    denies = item.text == "no" and _is_name(following) and _ends_with_name(current)
    if denies and Clause(tuple(current)).any_of(("more", "less", "up", "down")):
        return True  # "less drums more vocals no bass"
    quantified = any(found.has(*reading) for found in current for reading in _QUANTIFIERS)
    if any(item.has(*reading) for reading in _QUANTIFIERS) and _is_name(following):
        return quantified and _ends_with_name(current)
    if _starts_effect(item, following, current):
        return True
    # "treble up bass down", "guitar hard left piano hard right", "… with reverb piano hard left"
    directed = ("up", "down", "mute", "side")
    return (
        _is_name(item)
        and any(following.has(kind) for kind in (*directed, "hard"))
        and any(current[-1].has(kind) for kind in (*directed, "reverb", "compression"))
        and any(_is_name(found) for found in lexemes[:index])
    )


_HEADS = ("reverb", "compression", "pan", "pitch", "echo", "chorus", "distortion", "eq", "volume")


def _starts_effect(item: Lexeme, following: Lexeme, current: list[Lexeme]) -> bool:
    """Whether the next effect of a list begins: "vocals -1 dB reverb 20% pan left 10%"."""
    heads = [kind for kind in _HEADS if item.has(kind)]
    said = Clause(tuple(current))
    if not heads or said.any_of(heads) or item.has("side"):
        return False
    measured = current[-1].number is not None or current[-1].has("side")
    if not measured or not (following.number or following.has("side")):
        return False
    whole = said.any_of((*EFFECT_KINDS, "up", "down")) or bool(said.numbers("db"))
    opened = any(found.has("and") or found.has("bound") for found in current)
    return whole and not opened and not said.any_of(("set", "add", "give"))


def _numbered(rest: list[Lexeme]) -> bool:
    place = next((i for i, item in enumerate(rest) if not is_filler(item)), 0)
    return len(rest) > place + 1 and any(item.number for item in rest[place + 1 : place + 3])


_STATES = {"is", "are", "stay", "stays", "remain", "remains", "is fine", "are fine", "should stay"}


def _tells_of_next(item: Lexeme, lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether the next part is only told of: "drums down 2 dB please the vocals are fine"."""
    said = list(current)
    while said and said[-1].has("filler"):
        said.pop()
    if not (_is_name(item) and said and _is_complete(said)) or index + 1 >= len(lexemes):
        return False
    last = next((found for found in reversed(current) if not found.has("filler", "article")), None)
    if last is None or any(last.has(kind) for kind in (*_LEADING, "target", "six", "group")):
        return False
    following = lexemes[index + 1]
    return (
        following.text in _STATES
        or following.has("greeting", "praise")
        or (following.has("leave") and not following.has("remove"))
    )


def _is_complete(current: list[Lexeme]) -> bool:
    """Whether words already say what is to be done with what: "turn the drums up 5 dB"."""
    clause = Clause(tuple(current))
    last = current[-1]
    if any(last.has(kind) for kind in _LEADING) or last.has("filler", "article"):
        return False
    if not clause.any_of(TARGET_KINDS):
        return False
    return clause.any_of(_DONE)


_DONE = ("up", "down", "more", "less", "mute", "separate", "remove", "file", *EFFECT_KINDS)
_LEADING = (
    "to", "by", "in", "of", "for", "with", "and", "but", "or", "not", "set", "add", "like", "bound",
    "need", "give", "more", "less", "even", "too", "small", "big", "conditional", "reason",
    "told", "question", "than", "vague", "pronoun",
)  # fmt: skip
_OPENERS = {
    "pan", "mute", "unmute", "put", "add", "make", "turn", "boost", "raise", "compress", "pitch",
    "transpose", "bring", "lower", "squash", "give", "isolate", "remove", "take", "push", "pull",
    "cut", "drop", "crank", "move", "centre", "center", "solo", "lift", "bump",
}  # fmt: skip
_SPEAKERS = {
    "i", "i am", "i have", "we", "we are", "my", "its", "it is", "they are", "he is", "she is",
}  # fmt: skip


def _opens_command(item: Lexeme, following: Lexeme) -> bool:
    """Whether a verb opens the next command of a prompt without commas."""
    named = any(following.has(kind) for kind in TARGET_KINDS)
    if item.has("filler", "polite"):
        return item.text in _ASKED and is_verb(following)
    return item.text in _OPENERS and (named or following.has("up") or following.has("down"))


def _asks_after_statement(lexemes: list[Lexeme], index: int, current: list[Lexeme]) -> bool:
    """Whether a request follows a statement: "the guitar bugs me can you just get rid of it"."""
    if lexemes[index].text not in _ASKED or any(map(is_verb, current)):
        return False
    rest = lexemes[index + 1 :]
    following = next((i for i in rest if not (is_filler(i) or i.text == "just")), None)
    named = any(_is_name(item) for item in current) and len(current) > 2
    return named and following is not None and is_verb(following)


_AUXILIARIES = {"is", "are", "does", "do", "did", "was", "were", "would", "has", "have"}
_ASKED = {"could you", "can you", "would you", "please", "pls", "can we", "could we", "will you"}


def _tells_of_speaker(item: Lexeme) -> bool:
    """Whether a word opens what somebody tells of himself: "… louder pls im half deaf"."""
    return item.text in _SPEAKERS or item.text in {"i want to", "we want to", "i need to"}


def _is_name(item: Lexeme) -> bool:
    return any(item.has(kind) for kind in ("target", "six", "region"))


def _ends_with_name(current: list[Lexeme]) -> bool:
    return _is_name(current[-1])


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
    told = any(item.has("complaint") or item.text in _COPULAS for item in lexemes[index + 1 : end])
    return told and any(item.has("greeting", "praise") for item in current)


_COPULAS = {"is", "are", "was", "were"}


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
